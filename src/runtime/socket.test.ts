import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { socketName } from './socket.ts'

test.each([
  ['short', ''],
  ['longer than the name of a socket may be', 'x'.repeat(120)],
])('a socket in a directory whose path is %s is found there', async (_, name) => {
  const root = mkdtempSync(join(tmpdir(), 'millrace-socket-'))
  onTestFinished(() => rmSync(root, { recursive: true }))
  const directory = join(root, name)
  mkdirSync(directory, { recursive: true })
  if (name !== '' && process.platform !== 'linux') {
    const refused = expect.objectContaining({ code: 'MR6002' }) as Error
    expect(() => socketName(directory)).toThrow(refused)
    return
  }
  const served = socketName(directory)
  const server = createServer((socket) => socket.end('here'))
  await once(server.listen(served.path), 'listening')
  served.release()
  const asked = socketName(directory)
  const client = connect(asked.path)
  const [answer] = (await once(client, 'data')) as [Buffer]
  expect(answer.toString()).toBe('here')
  asked.release()
  server.close()
})

import { spawn, spawnSync } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { realEnv } from '../../src/core/env/real/index.ts'
import { lockByFlock, lockBySocket } from '../../src/core/env/real/lock.ts'

const holder = join(import.meta.dirname, 'holder.ts')
const hasFlock = spawnSync('flock', ['--version']).error === undefined

let directory: string
let children: ChildProcess[]

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'millrace-lock-'))
  children = []
})

afterEach(async () => {
  await Promise.all(children.map(kill))
  rmSync(directory, { recursive: true })
})

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill('SIGKILL')
  await once(child, 'exit')
}

interface Other {
  readonly child: ChildProcess
  readonly said: string
  readonly grandchild: number
}

/** Another process that tries to take the lock; resolves when it has said how it went. */
async function other(method: string, ...options: string[]): Promise<Other> {
  const args = [holder, join(directory, 'LOCK'), method, ...options]
  const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] })
  children.push(child)
  const [line] = (await once(child.stdout.setEncoding('utf8'), 'data')) as [string]
  const [said = '', grandchild = ''] = line.trim().split(' ')
  return { child, said, grandchild: Number(grandchild) }
}

const methods = hasFlock ? ['flock', 'socket'] : ['socket']

describe.each(methods)('the lock of a data directory by %s', (method) => {
  const lock = (): unknown => {
    const path = join(directory, 'LOCK')
    return method === 'flock' ? lockByFlock(path, ['flock']) : lockBySocket(path)
  }

  test('is refused to a second process, and free when the first is killed', async () => {
    const first = await other(method)
    expect(first.said).toBe('held')
    expect((await other(method)).said).toBe('refused')
    expect(lock()).toBeUndefined()
    await kill(first.child)
    expect((await other(method)).said).toBe('held')
  })

  test('does not live on in a child of the process that was killed', async () => {
    const first = await other(method, 'with-child')
    try {
      await kill(first.child)
      expect(process.kill(first.grandchild, 0)).toBe(true)
      expect(lock()).toBeDefined()
    } finally {
      process.kill(first.grandchild, 'SIGKILL')
    }
  })

  test('is held by at most one of many that start at once', async () => {
    const said = (await Promise.all(Array.from({ length: 5 }, () => other(method)))).map(
      (one) => one.said,
    )
    expect(said.filter((word) => word === 'held').length).toBeLessThanOrEqual(1)
  })
})

test('the sockets of dead holders are removed by the next one', async () => {
  await kill((await other('socket')).child)
  expect(readdirSync(directory)).toHaveLength(2)
  const next = lockBySocket(join(directory, 'LOCK'))
  const names = readdirSync(directory)
  expect(names.filter((name) => name.endsWith('.sock'))).toHaveLength(1)
  next?.release()
})

test('a directory too deep for a socket is refused with what to do', () => {
  const path = join(directory, 'd'.repeat(100), 'LOCK')
  expect(() => lockBySocket(path)).toThrow(/install flock or use a shorter directory/)
})

test('the real disk takes its lock where a process can hold it, and says no to all others', async () => {
  const { disk } = realEnv()
  const held = disk.lock(join(directory, 'LOCK'))
  expect(held).toBeDefined()
  expect((await other(hasFlock ? 'flock' : 'socket')).said).toBe('refused')
  held?.release()
  expect((await other(hasFlock ? 'flock' : 'socket')).said).toBe('held')
})

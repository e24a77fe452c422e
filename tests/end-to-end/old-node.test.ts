import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'

const bin = fileURLToPath(new URL('../../src/cli/bin.ts', import.meta.url))

function under(version: string): { status: number | null; stdout: string; stderr: string } {
  const versions = `{ ...process.versions, node: '${version}' }`
  const pretend = `data:text/javascript,Object.defineProperty(process, 'versions', { value: ${versions} })`
  return spawnSync(process.execPath, ['--import', pretend, bin, '--version'], {
    encoding: 'utf8',
    env: { ...process.env, NODE_OPTIONS: '' },
  })
}

it.each(['18.20.0', '20.20.2', '22.21.9'])('says to a Node %s that it is too old', (version) => {
  const { status, stderr } = under(version)
  expect(stderr).toContain(`MR6017: Millrace runs on Node 22.22 and newer; this is ${version}.`)
  expect(status).toBe(4)
})

it.each(['22.22.0', '24.0.0'])('starts on a Node %s', (version) => {
  expect(under(version)).toMatchObject({
    status: 0,
    stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/),
  })
})

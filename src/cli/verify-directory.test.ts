/** Verification of what lies beside the log. */
import { describe, expect, test } from 'vitest'
import type { SimulatedEnv } from '../core/env/simulated/index.ts'
import { makeDirectories } from '../core/directories.ts'
import { golden, restored, small } from '../log/embedded/damage.suite.ts'
import { saveJson } from '../runtime/data-files.ts'
import { verifyDirectory } from './verify-directory.ts'
import type { DirectoryReport } from './verify-directory.ts'

function verify(env: SimulatedEnv): DirectoryReport {
  const run = verifyDirectory(env.disk, small.directory)
  for (let step = run.next(); ; step = run.next()) if (step.done === true) return step.value
}

function flip(env: SimulatedEnv, name: string): void {
  const file = env.disk.open(`${small.directory}/${name}`, 'write')
  const byte = new Uint8Array(1)
  file.read(byte, 9)
  file.write(
    byte.map((value) => value ^ 4),
    9,
  )
  file.close()
}

test('a damaged snapshot is named, and costs nothing', async () => {
  const { env } = restored(await golden())
  const folder = `${small.directory}/state/p.main.counts.changelog/3`
  makeDirectories(env.disk, folder)
  const file = env.disk.open(`${folder}/17.snap`, 'create')
  file.write(new Uint8Array(100), 0)
  file.close()
  expect(verify(env)).toMatchObject({
    verdict: 'harmless',
    snapshots: 1,
    findings: [{ grade: 'harmless', file: 'state/p.main.counts.changelog/3/17.snap' }],
  })
})

describe('the small files beside the log', () => {
  test('are damage where the engine would not start, and harmless where it makes them anew', async () => {
    const { env } = restored(await golden())
    saveJson(env, small.directory, 'plans.json', [])
    saveJson(env, small.directory, 'paused.json', { paused: ['shop/main/0'] })
    expect(verify(env)).toMatchObject({ verdict: 'sound', findings: [] })
    flip(env, 'plans.json')
    expect(verify(env)).toMatchObject({
      verdict: 'harmless',
      findings: [{ grade: 'harmless', file: 'plans.json' }],
    })
    flip(env, 'paused.json')
    expect(verify(env)).toMatchObject({
      verdict: 'damaged',
      findings: [
        { file: 'plans.json' },
        { grade: 'damage', file: 'paused.json', what: expect.stringContaining('MR6016') as string },
      ],
    })
  })
})

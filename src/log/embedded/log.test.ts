import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { realEnv } from '../../core/env/real/index.ts'
import { Simulation } from '../../core/env/simulated/index.ts'
import { withOffsetGaps } from '../../testing/gaps.ts'
import type { Log } from '../log.ts'
import { describeLogModel } from '../log-model.suite.ts'
import { describeLog } from '../log.suite.ts'
import type { LogHarness, RunLog } from '../log.suite.ts'
import { openEmbeddedLog } from './index.ts'
import type { EmbeddedLogOptions, LocalLog } from './index.ts'

// Small segments and checkpoints, so that every test crosses some.
const small = { segmentBytes: 6_000, checkpointBytes: 4_000, reserve: { low: 0, high: 0 } }

type Options = EmbeddedLogOptions & { readonly stepped?: boolean }

async function withLog(
  options: Options,
  wrap: (log: Log) => Log,
  time: Pick<LogHarness, 'advance' | 'now'>,
  body: (h: LogHarness) => Promise<void>,
): Promise<void> {
  let current: LocalLog = await openEmbeddedLog(options)
  const reopen = async (): Promise<Log> => {
    await current.stop()
    current = await openEmbeddedLog(options)
    return wrap(current)
  }
  const connect = async (): Promise<Log> => wrap(await current.connect())
  await body({ log: wrap(current), connect, reopen, ...time })
  await current.stop()
}

const same = (log: Log): Log => log

const simulated =
  (stepped: boolean, wrap: (log: Log) => Log) => async (body: (h: LogHarness) => Promise<void>) => {
    const sim = new Simulation({ seed: 'log suite' })
    const env = sim.env('engine')
    const time = { now: () => env.clock.now(), advance: (ms: number) => env.timers.sleep(ms) }
    const options = { env, directory: 'data', stepped, ...small }
    let ended = false
    const running = withLog(options, wrap, time, body).finally(() => (ended = true))
    running.catch(() => {})
    await sim.runUntil(() => ended)
    await running
  }

const onRealDisk: RunLog = async (body) => {
  const directory = mkdtempSync(join(tmpdir(), 'millrace-log-'))
  // Real time, but it moves only when a test says so.
  let skew = 0
  const real = realEnv()
  const env = {
    ...real,
    clock: { now: () => 1_700_000_000_000 + skew, monotonic: () => real.clock.monotonic() },
  }
  const time = {
    now: () => env.clock.now(),
    advance: async (ms: number) => {
      skew += ms
    },
  }
  try {
    await withLog({ env, directory, ...small }, same, time, body)
  } finally {
    rmSync(directory, { recursive: true })
  }
}

const logs: readonly (readonly [string, RunLog])[] = [
  ['the embedded log on the simulated disk', simulated(false, same)],
  ['the embedded log, one disk operation per turn', simulated(true, same)],
  ['the embedded log with gaps in its offsets', simulated(false, withOffsetGaps)],
  ['the embedded log on the real disk', onRealDisk],
]

for (const [name, run] of logs) {
  describeLog(name, run)
  describeLogModel(name, run)
}

import { describe, expect, it } from 'vitest'
import { realEnv } from '../core/env/real/index.ts'
import type { TaskReport, TaskStatus } from '../process/runner.ts'
import { Watch } from './watch.ts'

const counters = {
  read: 0,
  processed: 0,
  deadLettered: 0,
  late: 0,
  skipped: 0,
  shed: 0,
  expired: 0,
  emitted: 0,
}

function task(id: string, status: TaskStatus, message?: string, shed = 0): TaskReport {
  const told = { ...counters, read: shed, shed }
  const report = {
    id,
    status,
    counters: told,
    lag: 0,
    watermark: undefined,
    stateKeys: 0,
    stateBytes: 0,
  }
  return message === undefined ? report : { ...report, error: { code: 'MR5007', message } }
}

function watched() {
  const lines: string[] = []
  const say =
    (level: string) =>
    (_fields: object, message: string): void =>
      void lines.push(`${level} ${message}`)
  const facts = { tasks: [] as TaskReport[], phase: 'idle', now: 0 }
  const clock = { now: () => facts.now, monotonic: () => facts.now }
  const watch = new Watch({
    env: { ...realEnv(), clock },
    logger: { debug: say('debug'), info: say('info'), warn: say('warn'), error: say('error') },
    workers: () => [
      {
        slot: 0,
        state: 'running',
        restarts: 0,
        phase: facts.phase,
        lastError: undefined,
      },
    ],
    tasks: () => Promise.resolve(facts.tasks),
  })
  const look = async (): Promise<string[]> => {
    await watch.look()
    return lines.splice(0)
  }
  return { facts, look }
}

describe('the watch', () => {
  it('writes down once that something stopped, and once that it goes on', async () => {
    const { facts, look } = watched()
    expect(await look()).toEqual([])
    facts.tasks = [task('p/hook/0', 'retrying', 'It is down.'), task('p/main/0', 'paused')]
    facts.phase = 'disk full'
    const began = [
      'warn Worker 0 waits for space on the disk.',
      'warn Task p/hook/0 is retrying: It is down.',
    ]
    expect(await look()).toEqual(began)
    expect(await look()).toEqual([])
    facts.tasks = [task('p/hook/0', 'failed', 'It is gone.')]
    facts.phase = 'idle'
    expect(await look()).toEqual([
      'warn Task p/hook/0 is failed: It is gone.',
      'info Worker 0 goes on.',
    ])
    facts.tasks = [task('p/hook/0', 'running')]
    expect(await look()).toEqual(['info Task p/hook/0 goes on.'])
  })

  it('writes down when a task begins to shed, and when it no longer does', async () => {
    const { facts, look } = watched()
    const told = async (shed: number): Promise<string[]> => {
      facts.now += 30_000
      facts.tasks = [task('p/main/0', 'running', undefined, shed), task('p/main/1', 'running')]
      return look()
    }
    // What was shed before this process began is no news.
    expect(await told(7)).toEqual([])
    const sheds = 'warn Task p/main/0 sheds records: it is further behind than its stream allows.'
    expect(await told(8)).toEqual([sheds])
    // Now and then is one trouble.
    expect(await told(8)).toEqual([])
    expect(await told(500)).toEqual([])
    expect(await told(500)).toEqual([])
    expect(await told(500)).toEqual(['info Task p/main/0 goes on.'])
    // Its worker starts over, and has not read its counters yet.
    expect(await told(0)).toEqual([])
    expect(await told(500)).toEqual([])
    expect(await told(501)).toEqual([sheds])
  })

  it('writes few lines where everything stops at once', async () => {
    const { facts, look } = watched()
    facts.tasks = Array.from({ length: 500 }, (_, at) =>
      task(`p/hook/${at}`, 'failed', 'It is down.'),
    )
    const lines = await look()
    expect(lines).toHaveLength(11)
    expect(lines.at(-1)).toContain('490 more')
    expect(await look()).toEqual([])
  })
})

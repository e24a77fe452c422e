import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { AssertionError } from '../core/assert.ts'
import { Simulation } from '../core/env/simulated/index.ts'
import type { SimulatedEnv } from '../core/env/simulated/index.ts'
import { MillraceError } from '../errors.ts'
import { limits } from '../limits.ts'
import type { CommitResult, Log, Writer } from '../log/log.ts'
import type { Runner, StepResult } from './runner.ts'
import { afterRound, intervalOf, WorkerLoop } from './worker.ts'
import type { RunnerFailure, WorkerEnd, WorkerPhase } from './worker.ts'

const full = new MillraceError('MR2007', 'There are 0 bytes free.')
const unknown = new MillraceError('MR2008', 'The sync failed.')
const fenced = new MillraceError('MR2006', 'Epoch 2 is open.')
const closed = new MillraceError('MR2009', 'The log stopped.')
const tooLarge = new MillraceError('MR2013', 'It has too many sections.')

type Ending = 'committed' | 'full' | 'unknown' | 'unknown but done' | 'fenced' | 'closed'

/** A log of integers: positions are a set per group, commits end as scripted and take a millisecond. */
class ScriptedLog {
  readonly done = new Map<string, number[]>()
  readonly commits: { bytes: number; at: number; owners: string[] }[] = []
  endings: Ending[] = []
  opened = 0
  /** What the next openings end with. */
  refusals: MillraceError[] = []
  /** Sections that each value takes; a commit of more than a log takes is refused. */
  sectionsEach = 1
  readonly #env: SimulatedEnv

  constructor(env: SimulatedEnv) {
    this.#env = env
  }

  open(owner: string): Promise<Writer> {
    const refusal = this.refusals.shift()
    if (refusal !== undefined) return Promise.reject(refusal)
    const epoch = ++this.opened
    const { sectionsEach } = this
    let staged: { group: string; value: number; bytes: number }[] = []
    const bytes = (): number => staged.reduce((sum, entry) => sum + entry.bytes, 0)
    const commit = async (): Promise<CommitResult> => {
      await this.#env.timers.sleep(1)
      const ending = epoch < this.opened ? 'fenced' : (this.endings.shift() ?? 'committed')
      const entries = staged
      if (entries.length * this.sectionsEach >= limits.commitSections) {
        staged = []
        return { outcome: 'refused', error: tooLarge }
      }
      const size = bytes()
      staged = []
      if (ending === 'committed' || ending === 'unknown but done') {
        this.commits.push({
          bytes: size,
          at: this.#env.clock.monotonic(),
          owners: entries.map((e) => e.group),
        })
        for (const { group, value } of entries)
          this.done.set(group, [...(this.done.get(group) ?? []), value])
      }
      switch (ending) {
        case 'committed':
          return { outcome: 'committed', lsn: 0, commitNumber: 0, appended: [] }
        case 'full':
          return { outcome: 'refused', error: full }
        case 'fenced':
          return { outcome: 'refused', error: fenced }
        case 'closed':
          return { outcome: 'refused', error: closed }
        default:
          return { outcome: 'unknown', error: unknown }
      }
    }
    return Promise.resolve({
      owner,
      epoch,
      get stagedBytes() {
        return bytes()
      },
      get stagedSections() {
        return staged.length * sectionsEach
      },
      append: (topic, _partition, block, count) => {
        staged.push({ group: topic, value: count, bytes: block.length })
      },
      control: () => undefined,
      position: () => undefined,
      state: () => undefined,
      commit,
      close: () => Promise.resolve(),
    })
  }

  get log(): Log {
    return { open: (owner: string) => this.open(owner) } as Log
  }
}

/** Counts from what is committed up to `target`, `perStep` at a time; input arrives in jumps at given times. */
class Counter implements Runner {
  readonly id: string
  readonly tasks: readonly string[]
  readonly #log: ScriptedLog
  readonly #env: SimulatedEnv
  readonly #arrivals: { at: number; target: number }[]
  readonly #bytesEach: number
  #at = 0
  #staged: number[] = []
  failAt = Infinity
  failure: unknown = new AssertionError('broken')
  opens = 0
  closes = 0
  resets: (string | undefined)[] = []

  constructor(
    log: ScriptedLog,
    env: SimulatedEnv,
    id: string,
    arrivals: { at: number; target: number }[],
    bytesEach = 10,
  ) {
    this.id = id
    this.tasks = [`${id}/0`]
    this.#log = log
    this.#env = env
    this.#arrivals = arrivals
    this.#bytesEach = bytesEach
  }

  #target(): number {
    const now = this.#env.clock.monotonic()
    return Math.max(0, ...this.#arrivals.filter((a) => a.at <= now).map((a) => a.target))
  }

  open(): Promise<void> {
    this.opens++
    this.#at = this.#log.done.get(this.id)?.at(-1) ?? 0
    return Promise.resolve()
  }

  step(): StepResult {
    if (this.#at >= this.#target()) return 'idle'
    if (this.stagedBytes >= 100) return 'full'
    this.#staged.push(++this.#at)
    if (this.#at >= this.failAt) throw this.failure
    return this.#at < this.#target() ? 'worked' : 'idle'
  }

  get stagedBytes(): number {
    return this.#staged.length * this.#bytesEach
  }

  get wakeAt(): number | undefined {
    const now = this.#env.clock.monotonic()
    return this.#arrivals.find((a) => a.at > now)?.at
  }

  stage(writer: Writer): void {
    for (const value of this.#staged)
      writer.append(this.id, 0, new Uint8Array(this.#bytesEach), value)
  }

  committed(): void {
    this.#staged = []
  }

  reset(cause?: MillraceError): void {
    this.resets.push(cause?.code)
    this.#staged = []
  }

  wait(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) =>
      signal.addEventListener('abort', () => resolve(), { once: true }),
    )
  }

  pause(): void {}
  resume(): boolean {
    return false
  }
  report(): [] {
    return []
  }

  close(): Promise<void> {
    this.closes++
    return Promise.resolve()
  }
}

interface World {
  readonly world: Simulation
  readonly env: SimulatedEnv
  readonly log: ScriptedLog
  readonly phases: WorkerPhase[]
  readonly failures: RunnerFailure[]
  loop: WorkerLoop | undefined
  run(
    runners: Runner[],
    ms: number,
    options?: { commitBytes?: number },
  ): Promise<WorkerEnd | undefined>
}

function newWorld(seed = 1): World {
  const world = new Simulation({ seed })
  const env = world.env('worker')
  const log = new ScriptedLog(env)
  const phases: WorkerPhase[] = []
  const failures: RunnerFailure[] = []
  const run: World['run'] = async (runners, ms, options = {}) => {
    const stop = new AbortController()
    let end: WorkerEnd | undefined
    made.loop = new WorkerLoop({
      env,
      log: log.log,
      owner: 'w',
      runners,
      options,
      onBeat: (phase) => phases.push(phase),
      onFailed: (failure) => failures.push(failure),
      signal: stop.signal,
    })
    void made.loop.run().then((ended) => (end = ended))
    await world.advance(ms)
    stop.abort()
    await world.advance(10_000)
    return end
  }
  const made: World = { world, env, log, phases, failures, run, loop: undefined }
  return made
}

const upTo = (n: number): number[] => Array.from({ length: n }, (_, i) => i + 1)

describe('a worker', () => {
  test('commits at once when there is nothing more to read, and does not wait for a batch to fill', async () => {
    const { env, log, run } = newWorld()
    const runner = new Counter(log, env, 'a/1', [
      { at: 5, target: 1 },
      { at: 100, target: 2 },
    ])
    await run([runner], 200)
    expect(log.commits.map((commit) => Math.round(commit.at))).toEqual([6, 101])
  })

  test('does everything exactly once, whatever becomes of its commits', async () => {
    const ending = fc.constantFrom<Ending>('committed', 'full', 'unknown', 'unknown but done')
    const arrivals = fc
      .array(
        fc.record({ at: fc.integer({ min: 0, max: 300 }), more: fc.integer({ min: 1, max: 30 }) }),
        {
          minLength: 1,
          maxLength: 6,
        },
      )
      .map((jumps) => {
        let target = 0
        return jumps
          .toSorted((a, b) => a.at - b.at)
          .map(({ at, more }) => ({ at, target: (target += more) }))
      })
    await fc.assert(
      fc.asyncProperty(
        fc.array(ending, { maxLength: 12 }),
        fc.array(arrivals, { minLength: 1, maxLength: 4 }),
        fc.integer(),
        async (endings, inputs, seed) => {
          const { env, log, run } = newWorld(seed)
          log.endings = endings
          const runners = inputs.map((input, i) => new Counter(log, env, `p${i}/s`, input))
          const end = await run(runners, 60_000)
          expect(end).toEqual({ why: 'stopped' })
          for (const [i, input] of inputs.entries()) {
            expect(log.done.get(`p${i}/s`)).toEqual(upTo(input.at(-1)!.target))
          }
          expect(runners.map((runner) => runner.closes)).toEqual(runners.map(() => 1))
        },
      ),
      { numRuns: 150 },
    )
  })

  test('keeps a commit within its bound and leaves no runner out for long', async () => {
    const { env, log, run } = newWorld()
    const sizes = [100, 200, 110, 210]
    const runners = sizes.map(
      (size, i) => new Counter(log, env, `p${i}/s`, [{ at: 0, target: 50 }], size),
    )
    await run(runners, 5_000, { commitBytes: 250 })
    expect(Math.max(...log.commits.map((commit) => commit.bytes))).toBeLessThanOrEqual(250)
    for (const runner of runners) {
      expect(log.done.get(runner.id)).toEqual(upTo(50))
      expect(log.commits.slice(0, 8).some((commit) => commit.owners.includes(runner.id))).toBe(true)
    }
  })

  test('stops a pipeline whose runner breaks an invariant, and no other', async () => {
    const { env, log, failures, run } = newWorld()
    const broken = new Counter(log, env, 'p/one', [
      { at: 0, target: 10 },
      { at: 50, target: 20 },
    ])
    const same = new Counter(log, env, 'p/two', [
      { at: 0, target: 5 },
      { at: 100, target: 10 },
    ])
    const other = new Counter(log, env, 'q/one', [
      { at: 0, target: 5 },
      { at: 100, target: 10 },
    ])
    broken.failAt = 15
    expect(await run([broken, same, other], 500)).toEqual({ why: 'stopped' })
    expect(log.done.get('p/one')).toEqual(upTo(10))
    expect(log.done.get('p/two')).toEqual(upTo(5))
    expect(log.done.get('q/one')).toEqual(upTo(10))
    expect(failures.map((failure) => [failure.runner, failure.error.code])).toEqual([
      ['p/one', 'MR6000'],
      ['p/two', 'MR6000'],
    ])
    expect([broken.closes, same.closes, other.closes]).toEqual([1, 1, 1])
  })

  test('opens what failed again when it is resumed, with all that stopped with it', async () => {
    const world = newWorld()
    const { env, log, failures } = world
    const broken = new Counter(log, env, 'p/one', [{ at: 0, target: 20 }])
    const same = new Counter(log, env, 'p/two', [
      { at: 0, target: 5 },
      { at: 100, target: 10 },
    ])
    const other = new Counter(log, env, 'q/one', [{ at: 0, target: 5 }])
    broken.failAt = 15
    const stood: unknown[] = []
    const resume = (task: string): void => {
      const reports = world.loop?.report().map(({ id, status, error }) => [id, status, error?.code])
      stood.push(reports, world.loop?.resume(task))
    }
    env.timers.after(50, () => resume('p/two/0'))
    env.timers.after(80, () => {
      broken.failAt = Infinity
      resume('p/one/0')
    })
    env.timers.after(200, () => resume('p/one/0'))
    expect(await world.run([broken, same, other], 500)).toEqual({ why: 'stopped' })
    const failed = ['p/one/0', 'p/two/0'].map((id) => [id, 'failed', 'MR6000'])
    expect(stood).toEqual([failed, true, failed, true, [], false])
    expect(failures.map(({ runner }) => runner)).toEqual(['p/one', 'p/two', 'p/one', 'p/two'])
    expect(log.done.get('p/one')).toEqual(upTo(20))
    expect(log.done.get('p/two')).toEqual(upTo(10))
    expect([broken, same, other].map(({ opens, closes }) => [opens, closes])).toEqual([
      [3, 3],
      [3, 3],
      [1, 1],
    ])
  })

  test('splits what has too many sections for one commit', async () => {
    const { env, log, phases, failures, run } = newWorld()
    log.sectionsEach = 3_000
    const runners = [0, 1, 2, 3].map(
      (i) => new Counter(log, env, `p${i}/s`, [{ at: 0, target: 60 }]),
    )
    expect(await run(runners, 5_000)).toEqual({ why: 'stopped' })
    for (const runner of runners) expect(log.done.get(runner.id)).toEqual(upTo(60))
    expect(failures).toEqual([])
    expect(phases.filter((phase) => phase === 'opening')).toHaveLength(1)
  })

  test('does in smaller commits what was refused as too large, and stops only what is too large alone', async () => {
    const { env, log, failures, run } = newWorld()
    // The first leaves half of a commit free, and each of the others needs more than that.
    log.sectionsEach = 16_000
    const runners = ['a', 'b', 'c'].map(
      (name, i) => new Counter(log, env, `${name}/s`, [{ at: 0, target: 2 + i }]),
    )
    const huge = new Counter(log, env, 'd/s', [{ at: 0, target: 5 }])
    expect(await run([...runners, huge], 20_000)).toEqual({ why: 'stopped' })
    for (const [i, runner] of runners.entries())
      expect(log.done.get(runner.id)).toEqual(upTo(2 + i))
    expect(log.done.get('d/s')).toBeUndefined()
    expect(failures.map(({ runner, error }) => [runner, error.code])).toEqual([['d/s', 'MR2013']])
  })

  test('ends when a newer writer took over, and when the log is closed', async () => {
    for (const why of ['fenced', 'closed'] as const) {
      const { env, log, run } = newWorld()
      log.endings = ['committed', why]
      const runner = new Counter(log, env, 'a/s', [
        { at: 0, target: 1 },
        { at: 50, target: 2 },
      ])
      const end = await run([runner], 500)
      expect(end).toEqual({ why, error: why === 'fenced' ? fenced : closed })
      expect(log.done.get('a/s')).toEqual([1])
      expect(runner.closes).toBe(1)
    }
  })

  test('backs off while the disk is full, says so, and goes on by itself', async () => {
    const { env, log, phases, run } = newWorld()
    log.endings = ['full', 'full', 'full', 'full', 'full']
    const runner = new Counter(log, env, 'a/s', [{ at: 0, target: 3 }])
    await run([runner], 60_000)
    expect(log.done.get('a/s')).toEqual([1, 2, 3])
    expect(phases.filter((phase) => phase === 'disk full')).toHaveLength(5)
    expect(runner.resets).toEqual(Array.from({ length: 5 }, () => 'MR2007'))
    // 50, 100, 200, 400 and 800 ms: rising pauses, not a busy loop.
    expect(log.commits[0]!.at).toBeGreaterThan(1_500)
  })

  test('opens a log again that could not be opened, and does not take that for a full disk', async () => {
    const { env, log, phases, run } = newWorld()
    log.refusals = [unknown, unknown, unknown]
    await run([new Counter(log, env, 'a/s', [{ at: 0, target: 3 }])], 60_000)
    expect(log.done.get('a/s')).toEqual([1, 2, 3])
    expect(phases).not.toContain('disk full')
    expect(log.commits[0]!.at).toBeGreaterThan(100)
  })

  test('commits at the interval while there is more to read', async () => {
    const { env, log, run } = newWorld()
    await run([new Counter(log, env, 'a/s', [{ at: 0, target: 1e6 }], 0.001)], 70)
    const pauses = log.commits
      .map((commit, i) => commit.at - (log.commits[i - 1]?.at ?? 0))
      .slice(0, 3)
    expect(Math.min(...pauses)).toBeGreaterThan(19)
    expect(Math.max(...pauses)).toBeLessThan(23)
  })

  test('lets time pass even when a runner wakes for nothing', async () => {
    const { env, log, run } = newWorld()
    const eager = new Counter(log, env, 'a/s', [{ at: 50, target: 1 }])
    eager.wait = () => Promise.resolve()
    await run([eager], 100)
    expect(log.done.get('a/s')).toEqual([1])
  })

  test('sleeps while there is nothing to do', async () => {
    const { env, log, phases, run } = newWorld()
    await run([new Counter(log, env, 'a/s', [{ at: 0, target: 1 }])], 3_600_000)
    expect(phases.length).toBeLessThan(12)
  })

  test('commits what it has when it is told to stop', async () => {
    const { env, log, run } = newWorld()
    const runner = new Counter(log, env, 'a/s', [{ at: 0, target: 100_000 }], 1)
    await run([runner], 0.5)
    const done = log.done.get('a/s') ?? []
    expect(done.length).toBeGreaterThan(0)
    expect(done).toEqual(upTo(done.length))
  })
})

test('a worker that is behind collects for as long as it is behind, up to five times the usual', () => {
  expect([0, 19, 20, 50, 100, 1e9, -5].map((behind) => intervalOf(20, behind))).toEqual([
    20, 20, 20, 50, 100, 100, 20,
  ])
  expect(intervalOf(20, Infinity)).toBe(100)
})

test('after a round of steps a worker commits only for a reason', () => {
  const facts = { staged: 0, more: false, full: false, age: 0, intervalMs: 20 }
  expect(afterRound(facts)).toBe('wait')
  expect(afterRound({ ...facts, more: true })).toBe('step')
  expect(afterRound({ ...facts, staged: 1 })).toBe('commit')
  expect(afterRound({ ...facts, staged: 1, more: true, age: 19 })).toBe('step')
  expect(afterRound({ ...facts, staged: 1, more: true, age: 20 })).toBe('commit')
  expect(afterRound({ ...facts, staged: 1, more: true, full: true })).toBe('commit')
})

/** Runs the stages of a pipeline over a log in memory, with as many workers as a test wants, stopping where it wants. */
import { Arena } from '../../src/core/arena.ts'
import type { Env } from '../../src/core/env/env.ts'
import { BlockBuilder, BlockView } from '../../src/log/block.ts'
import type { Log, Writer } from '../../src/log/log.ts'
import type { PipelineDefinition, StreamNode, TableNode } from '../../src/pipeline/definition.ts'
import { planOf } from '../../src/plan/of.ts'
import type { Plan } from '../../src/plan/plan.ts'
import type { ProcessRunnerOptions } from '../../src/process/process-runner.ts'
import { ProcessRunner } from '../../src/process/process-runner.ts'
import type { StepBudget, TaskReport } from '../../src/process/runner.ts'
import { WatermarkBoard } from '../../src/process/time/board.ts'
import { MemoryLog } from './memory-log.ts'

export interface TestRecord {
  readonly partition: number
  readonly timestamp: number
  readonly key?: string | undefined
  /** Undefined is a tombstone; bytes are written as they are. */
  readonly value?: unknown
}

export interface ReadBack {
  readonly partition: number
  readonly offset: number
  readonly timestamp: number
  readonly key: string | undefined
  readonly value: unknown
}

class TestWorker {
  readonly owner: string
  readonly runners: readonly ProcessRunner[]
  writer: Writer | undefined

  constructor(owner: string, runners: readonly ProcessRunner[]) {
    this.owner = owner
    this.runners = runners
  }
}

export type WorldOptions = Omit<
  ProcessRunnerOptions,
  'env' | 'log' | 'plan' | 'stage' | 'definition' | 'partitions' | 'board'
> & {
  readonly workers?: number
  readonly gap?: () => number
  readonly env?: Env
  /** Default: one in memory. */
  readonly log?: Log
}

export class StageWorld {
  readonly plan: Plan
  readonly definition: PipelineDefinition
  readonly log: Log
  readonly env: Env
  workers: readonly TestWorker[] = []
  /** Wall and monotonic time, in milliseconds. */
  now = Date.UTC(2024, 0, 1)
  readonly #options: WorldOptions

  constructor(definition: PipelineDefinition, options: WorldOptions = {}) {
    this.definition = definition
    this.plan = planOf(definition)
    this.#options = options
    this.env = options.env ?? this.#env()
    const gap = options.gap === undefined ? {} : { gap: options.gap }
    this.log = options.log ?? new MemoryLog({ now: () => this.now, ...gap })
    // In memory a topic is there at once; on another log the test creates them.
    if (options.log === undefined)
      for (const topic of this.plan.topics) void this.log.topics.create(topic)
    this.start(options.workers ?? 1)
  }

  /** The log in memory, with what only it can do. */
  get memory(): MemoryLog {
    if (this.log instanceof MemoryLog) return this.log
    throw new Error('this world has another log')
  }

  /** Fresh workers, as after a restart: partition p lives on worker p mod `count`. */
  start(count: number): void {
    const boards = new Map(
      this.plan.stages.map(({ id, partitions }) => [id, new WatermarkBoard(partitions)]),
    )
    this.workers = Array.from({ length: count }, (_, worker) => {
      const runners = this.plan.stages.flatMap((stage) => {
        const partitions = Array.from({ length: stage.partitions }, (_unused, p) => p).filter(
          (p) => p % count === worker,
        )
        if (partitions.length === 0) return []
        const { env, log, plan, definition } = this
        const board = boards.get(stage.id)!
        return [
          new ProcessRunner({
            ...this.#options,
            env,
            log,
            plan,
            definition,
            stage,
            partitions,
            board,
          }),
        ]
      })
      return new TestWorker(`worker-${worker}`, runners)
    })
  }

  /** Writes records of a user topic as ingest would. */
  async produce(
    topic: string,
    records: readonly TestRecord[],
    schemaVersion = this.#schemaVersion(topic),
  ): Promise<void> {
    const writer = await this.log.open('producer')
    const builders = new Map<number, BlockBuilder>()
    for (const { partition, timestamp, key, value } of records) {
      const builder = builders.get(partition) ?? new BlockBuilder()
      builders.set(partition, builder)
      builder.add(timestamp, key === undefined ? undefined : Buffer.from(key), bytesOf(value))
    }
    for (const [partition, builder] of builders) {
      const { count } = builder
      writer.append(topic, partition, builder.finish(this.env.clock.now(), schemaVersion), count)
    }
    await writer.commit()
  }

  /** One worker's steps and commit; it starts over when the commit does not end well. */
  async turn(worker: TestWorker, budget: StepBudget, steps = 1): Promise<boolean> {
    if (worker.writer === undefined) {
      worker.writer = await this.log.open(worker.owner)
      for (const runner of worker.runners) await runner.open()
    }
    let worked = false
    for (const runner of worker.runners) {
      for (let i = 0; i < steps; i++) {
        const result = runner.step(budget)
        if (result !== 'idle') worked = true
        if (result !== 'worked') break
      }
    }
    const staged = worker.runners.filter((runner) => runner.stagedBytes > 0)
    if (staged.length === 0) return worked
    for (const runner of staged) runner.stage(worker.writer)
    const result = await worker.writer.commit()
    if (result.outcome === 'committed') for (const runner of staged) runner.committed(result)
    else this.crash(worker)
    return true
  }

  /** The worker forgets everything; it opens again with its next turn. */
  crash(worker: TestWorker): void {
    for (const runner of worker.runners) runner.reset()
    worker.writer = undefined
  }

  /** Turns until nobody has anything to do. */
  async drain(budget: StepBudget = { rows: 16_384, bytes: 1e7 }): Promise<void> {
    for (let idle = 0; idle < 2; idle++) {
      for (const worker of this.workers) if (await this.turn(worker, budget, 4)) idle = -1
      if (this.#options.env === undefined) this.now += 125
      else await this.env.timers.sleep(125)
    }
  }

  async read(topic: string): Promise<ReadBack[]> {
    const partitions = this.plan.topics.find(({ name }) => name === topic)?.partitions ?? 0
    const reader = await this.log.reader(
      Array.from({ length: partitions }, (_, p) => ({ topic, partition: p, offset: 0 })),
    )
    const arena = new Arena(1e7)
    const view = new BlockView()
    const records: ReadBack[] = []
    for (;;) {
      const next = reader.next(arena)
      if (next.result === 'arena-full') arena.reset()
      else if (next.result !== 'block') return records
      else if (next.kind === 'records' && view.read(next.bytes)) {
        for (let i = 0; i < view.count; i++) {
          const key = view.key(i)
          const value = view.value(i)
          records.push({
            partition: next.partition,
            offset: next.baseOffset + i,
            timestamp: view.timestamps[i]!,
            key: key === undefined ? undefined : Buffer.from(key).toString(),
            value: value === undefined ? undefined : JSON.parse(Buffer.from(value).toString()),
          })
        }
      }
    }
  }

  reports(): TaskReport[] {
    return this.workers.flatMap(({ runners }) => runners.flatMap((runner) => runner.report()))
  }

  #schemaVersion(topic: string): number {
    const node = this.definition.nodes.find(
      (each): each is StreamNode | TableNode =>
        (each.kind === 'stream' || each.kind === 'table') && each.topic === topic,
    )
    return node?.schema.version ?? 0
  }

  #env(): Env {
    const none = new Proxy(
      {},
      {
        get: () => () => {
          throw new Error('not in this test')
        },
      },
    ) as never
    const clock = { now: (): number => this.now, monotonic: (): number => this.now }
    return { clock, random: none, timers: none, disk: none, net: none }
  }
}

function bytesOf(value: unknown): Uint8Array | undefined {
  if (value === undefined) return undefined
  return value instanceof Uint8Array ? value : Buffer.from(JSON.stringify(value))
}

/** A log on a simulated disk, a producer and workers that deliver: what the tests of deliver tasks stand on. */
import { Arena } from '../core/arena.ts'
import { assert } from '../core/assert.ts'
import { Simulation } from '../core/env/simulated/index.ts'
import type { SimulatedEnv } from '../core/env/simulated/index.ts'
import { BlockBuilder, BlockView } from '../log/block.ts'
import { openEmbeddedLog } from '../log/embedded/index.ts'
import type { LocalLog } from '../log/embedded/index.ts'
import type { Log, Writer } from '../log/log.ts'
import type { DeliverPlan } from '../plan/plan.ts'
import type { MemorySink, Sink } from '../sinks/index.ts'
import { decodeLetterRecord } from './dead-letters.ts'
import type { DeadLetter } from './dead-letters.ts'
import { DeliverRunner } from './deliver-runner.ts'
import type { DeliverOptions } from './deliver-runner.ts'
import type { TaskReport } from './runner.ts'
import { runWorker } from './worker.ts'

export const topic = 'shop.sales'
export const letters = 'shop.dead-letters'
const encoder = new TextEncoder()

/** A log on a simulated disk, a producer, and workers that deliver. */
export class World {
  readonly simulation: Simulation
  env: SimulatedEnv
  log: LocalLog | undefined
  producer: Writer | undefined
  epoch = 0
  stop = new AbortController()
  ended: Promise<unknown> = Promise.resolve()
  runners: DeliverRunner[] = []

  constructor(seed = 1) {
    this.simulation = new Simulation({ seed })
    this.env = this.simulation.env('p')
  }

  async start(
    options: Partial<Parameters<typeof openEmbeddedLog>[0]> & { retentionMs?: number } = {},
  ): Promise<void> {
    const { retentionMs, ...rest } = options
    this.log = await this.inTime(openEmbeddedLog({ env: this.env, directory: '/data', ...rest }))
    const { topics } = this.log
    const kept = retentionMs === undefined ? {} : { retentionMs }
    await this.inTime(topics.create({ name: topic, kind: 'internal', partitions: 3, ...kept }))
    await this.inTime(topics.create({ name: letters, kind: 'internal', partitions: 1 }))
    this.producer = await this.inTime(this.log.open('producer'))
  }

  deliver(sinks: Readonly<Record<string, Sink>>, log: Log = this.log!): void {
    this.epoch++
    this.stop = new AbortController()
    this.runners = Object.entries(sinks).map(([name, sink]) => this.runner(log, name, sink))
    this.ended = runWorker({
      env: this.env,
      log,
      owner: 'worker',
      runners: this.runners,
      signal: this.stop.signal,
    })
  }

  runner(log: Log, name: string, sink: Sink): DeliverRunner {
    return new DeliverRunner(this.options(log, name, sink))
  }

  options(log: Log, name: string, sink: Sink): DeliverOptions {
    const plan: DeliverPlan = {
      id: `shop/${name}`,
      node: 3,
      topic,
      partitions: 3,
      kind: sink.kind,
      describe: sink.describe,
      guarantee: sink.guarantee,
      replay: `shop.${name}.replay`,
      hold: sink.hold ?? { ms: 1_000_000_000, bytes: 1_000_000_000 },
    }
    const { env, epoch } = this
    return {
      env,
      log,
      plan,
      sink,
      pipeline: 'shop',
      planHash: 'h1',
      logId: 'log-a',
      epoch,
      deadLetters: letters,
      partitions: [0, 1, 2],
    }
  }

  produce(partition: number, values: readonly unknown[]): Promise<void> {
    return this.produceTo(topic, partition, values)
  }

  async produceTo(topicName: string, partition: number, values: readonly unknown[]): Promise<void> {
    const block = new BlockBuilder()
    for (const value of values) {
      const bytes = value instanceof Uint8Array ? value : encoder.encode(JSON.stringify(value))
      block.add(1_000, encoder.encode('k'), value === undefined ? undefined : bytes)
    }
    this.producer!.append(topicName, partition, block.finish(this.env.clock.now()), values.length)
    const result = await this.inTime(this.producer!.commit())
    assert(result.outcome === 'committed', 'the producer commits')
  }

  /** Lets virtual time pass until it settles. */
  async inTime<T>(promise: Promise<T>): Promise<T> {
    let done = false
    const watched = promise.finally(() => (done = true))
    watched.catch(() => {})
    await this.simulation.runUntil(() => done)
    return watched
  }

  until(done: () => boolean): Promise<void> {
    return this.simulation.runUntil(done)
  }

  async halt(): Promise<void> {
    this.stop.abort()
    await this.inTime(this.ended)
  }

  /** The process dies; another one starts on what it left. */
  async restart(kind: 'kill' | 'power'): Promise<void> {
    this.env.crash(kind)
    this.env = this.simulation.env('p')
    await this.start()
  }

  report(name: string): readonly TaskReport[] {
    return this.runners.find((runner) => runner.id === `shop/${name}`)!.report()
  }

  get delivered(): (name: string, count: number) => () => boolean {
    return (name, count) => () => sum(this.report(name), (r) => r.counters.read) >= count
  }

  async letters(): Promise<DeadLetter[]> {
    const reader = await this.inTime(
      this.log!.reader([{ topic: letters, partition: 0, offset: 0 }]),
    )
    const arena = new Arena(1 << 20)
    const view = new BlockView()
    const found: DeadLetter[] = []
    for (let read = reader.next(arena); read.result === 'block'; read = reader.next(arena)) {
      assert(view.read(read.bytes), 'the block is well formed')
      for (let i = 0; i < view.count; i++) {
        const record = decodeLetterRecord(view.value(i)!)
        if (record?.kind === 'letter') found.push(record.letter)
      }
    }
    reader.close()
    return found
  }
}

export function sum(reports: readonly TaskReport[], of: (report: TaskReport) => number): number {
  return reports.reduce((total, report) => total + of(report), 0)
}

export const row = (n: number): { id: string; n: number } => ({ id: `k${n}`, n })
export const rowsOf = (sink: MemorySink, partition: number): unknown[] =>
  sink.records.filter((r) => r.partition === partition).map((r) => r.value?.['n'])
export const range = (from: number, to: number): number[] =>
  Array.from({ length: to - from }, (_, i) => from + i)

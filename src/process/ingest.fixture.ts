/** For tests: a log on a simulated disk, a worker with ingest runners on it, crashes, and what is stored in the end. */
import { Arena } from '../core/arena.ts'
import { Simulation } from '../core/env/simulated/index.ts'
import type { SimulatedEnv } from '../core/env/simulated/index.ts'
import { BlockView } from '../log/block.ts'
import { openEmbeddedLog } from '../log/embedded/index.ts'
import type { LocalLog } from '../log/embedded/index.ts'
import type { Schema } from '../schema/schema.ts'
import type { EventRules } from './ingest-event.ts'
import type { IngestAnswer, IngestRequest, ProducerRef } from './ingest-request.ts'
import { IngestQueue, PushIngestRunner } from './ingest-runner.ts'
import type { PushIngestOptions } from './ingest-runner.ts'
import type { Runner } from './runner.ts'
import { runWorker } from './worker.ts'
import type { WorkerEnd } from './worker.ts'

/** Wants an object with a string `name`; enough to be refused by. */
export const nameSchema: Schema = {
  json: undefined,
  checkedBy: 'validator',
  root: { type: 'object', optional: false },
  version: 7,
  check(value) {
    if (typeof value !== 'object' || value === null) return 'the event is not an object'
    const { name } = value as { name?: unknown }
    return typeof name === 'string' || name === undefined
      ? undefined
      : `name is ${typeof name}, not string`
  },
}

export const rules: EventRules = {
  schema: nameSchema,
  key: { path: 'id' },
  time: 'at',
  futureMs: 60_000,
  partitions: 4,
}

export const topic = 'events'
export const sessionsTopic = 'ingest.events.sessions.changelog'
export const lettersTopic = 'p.dead-letters'
export const bucketCount = 8

export interface StoredRecord {
  readonly partition: number
  readonly offset: number
  readonly key: string | undefined
  readonly value: string
  readonly timestamp: number
  readonly schemaVersion: number
}

export class IngestWorld {
  readonly world: Simulation
  env: SimulatedEnv
  #log: LocalLog | undefined
  #stop = new AbortController()
  ended: WorkerEnd | undefined
  failures: string[] = []

  constructor(seed = 1) {
    this.world = new Simulation({ seed, order: 'fifo' })
    this.env = this.world.env('engine')
  }

  get log(): LocalLog {
    if (this.#log === undefined) throw new Error('start the world first')
    return this.#log
  }

  get now(): number {
    return this.world.nowMs
  }

  /** Opens the log, with `commitLimit` bytes free before its disk is full, and lets the runners run. */
  async start(make: (env: SimulatedEnv, log: LocalLog) => Runner[]): Promise<void> {
    const { env } = this
    const opening = openEmbeddedLog({
      env,
      directory: '/data',
      stepped: true,
      segmentBytes: 1024 * 1024,
    }).then(async (log) => {
      await log.topics.create({ name: topic, kind: 'user', partitions: rules.partitions })
      await log.topics.create({ name: sessionsTopic, kind: 'changelog', partitions: bucketCount })
      await log.topics.create({ name: lettersTopic, kind: 'internal', partitions: 1 })
      this.#log = log
    })
    await this.until(opening)
    this.#stop = new AbortController()
    this.ended = undefined
    const ended = runWorker({
      env,
      log: this.log,
      owner: 'worker-0',
      runners: make(env, this.log),
      onFailed: ({ runner, error }) => this.failures.push(`${runner} ${error.message}`),
      signal: this.#stop.signal,
    })
    void ended.then((end) => (this.ended = end))
    await this.world.advance(5)
  }

  /** Everything in the process is gone; what is on the disk stays. */
  kill(): void {
    this.env.crash('kill')
    this.env = this.world.env('engine')
    this.#log = undefined
  }

  async stop(): Promise<void> {
    this.#stop.abort()
    await this.world.runUntil(() => this.ended !== undefined)
  }

  /** Lets virtual time pass until the promise has settled. */
  async until<T>(promise: Promise<T>): Promise<T> {
    let settled = false
    const done = (): void => void (settled = true)
    promise.then(done, done)
    await this.world.runUntil(() => settled)
    return promise
  }

  async records(name = topic, partitions = rules.partitions): Promise<StoredRecord[]> {
    const from = Array.from({ length: partitions }, (_, partition) => ({
      topic: name,
      partition,
      offset: 0,
    }))
    const reader = await this.until(this.log.reader(from))
    const found: StoredRecord[] = []
    const arena = new Arena(1024 * 1024)
    const view = new BlockView()
    for (;;) {
      const read = reader.next(arena)
      if (read.result === 'caught-up') break
      if (read.result === 'corrupt') throw read.error
      if (read.result === 'block' && view.read(read.bytes)) {
        for (let i = 0; i < view.count; i++) {
          found.push({
            partition: read.partition,
            offset: read.baseOffset + i,
            key: text(view.key(i)),
            value: text(view.value(i)) ?? '',
            timestamp: view.timestamps[i]!,
            schemaVersion: view.schemaVersion,
          })
        }
      }
      arena.reset()
    }
    reader.close()
    return found
  }

  async values(name = topic, partitions = rules.partitions): Promise<string[]> {
    return (await this.records(name, partitions)).map((record) => record.value)
  }
}

function text(bytes: Uint8Array | undefined): string | undefined {
  return bytes === undefined ? undefined : Buffer.from(bytes).toString()
}

export function ndjson(lines: readonly unknown[], producer?: ProducerRef): IngestRequest {
  const body = Buffer.from(
    lines.map((line) => (typeof line === 'string' ? line : JSON.stringify(line))).join('\n'),
  )
  return producer === undefined ? { body, format: 'ndjson' } : { body, format: 'ndjson', producer }
}

export interface ReadAnswer {
  readonly status: number
  readonly accepted?: number
  readonly refused?: number
  readonly deadLettered?: number
  readonly verdicts?: readonly { index: number; code: string; message: string }[]
  readonly error?: { code: string; kind: string; message: string }
  readonly retryAfterSeconds?: number
}

export function readAnswer(answer: IngestAnswer): ReadAnswer {
  const json = JSON.parse(Buffer.from(answer.body).toString()) as Omit<ReadAnswer, 'status'>
  const { status, retryAfterSeconds } = answer
  return { status, ...json, ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }) }
}

export class PushWorld extends IngestWorld {
  runner: PushIngestRunner | undefined
  readonly #changes: Partial<PushIngestOptions>

  constructor(seed = 1, changes: Partial<PushIngestOptions> = {}) {
    super(seed)
    this.#changes = changes
  }

  async begin(): Promise<void> {
    await this.start((env, log) => {
      this.runner = new PushIngestRunner({ ...options(env, log), ...this.#changes })
      return [this.runner]
    })
  }

  /** Sends and waits for the answer; undefined when the engine died before it. */
  async send(request: IngestRequest, bucket = 0): Promise<ReadAnswer> {
    return readAnswer(await this.until(this.runner!.submit(bucket, request)))
  }
}

function options(env: SimulatedEnv, log: LocalLog): PushIngestOptions {
  return {
    env,
    log,
    topic,
    rules,
    onInvalid: 'refuse',
    deadLetters: lettersTopic,
    planHash: 'abc',
    buckets: Array.from({ length: bucketCount }, (_, bucket) => bucket),
    bucketCount,
    sessions: sessionsTopic,
    queue: new IngestQueue(),
  }
}

export async function begun(changes: Partial<PushIngestOptions> = {}): Promise<PushWorld> {
  const world = new PushWorld(1, changes)
  await world.begin()
  return world
}

export const at = '2024-01-01T00:00:00Z'
export const event = (id: string, more: object = {}): object => ({ id, at, ...more })

/**
 * The log thread's side: answers clients on ports, and runs the one group loop: drain what waits, run one group,
 * answer, repeat. While a group is on its way to the disk the next one collects.
 */
import { DiskError } from '../../core/env/env.ts'
import type { Env } from '../../core/env/env.ts'
import type { Port } from '../../core/port.ts'
import { MillraceError } from '../../errors.ts'
import { decideCreate, decideHold, decideOpen, decideTrim, topicNamed } from './catalog.ts'
import type { Decision } from './catalog.ts'
import type { CommitAnswer, Engine } from './engine.ts'
import type { CommitRequest } from './plan-commit.ts'
import type { Call, CommitReply, ToClient, ToHost } from './protocol.ts'
import { findOffsetAt, listTopics, offsetsOf, placeFor, positionsOf } from './queries.ts'
import { Sleep } from './published.ts'
import { Retention } from './retain.ts'
import { Segments } from './segments.ts'
import { placeOf } from './state.ts'
import { runSteps } from './steps.ts'
import type { Steps } from './steps.ts'

/** Runs disk work: at once in a real log thread, an operation per turn in the simulator. */
export type Drive = <T>(steps: Steps<T>) => T | Promise<T>

export interface HostOptions {
  readonly env: Env
  readonly engine: Engine
  readonly drive?: Drive
  /** How often retention looks for what may go (ms). */
  readonly retentionCheckMs: number
  readonly archiveBytes: number
  readonly archiveGain: number
  /** The log can do nothing more: the process has to end. Called once. */
  readonly onFailed?: (error: unknown) => void
}

interface Client {
  readonly port: Port
  sleep: Sleep | undefined
}

type Job =
  | {
      readonly type: 'commit'
      readonly request: CommitRequest
      readonly done: (answer: CommitAnswer) => void
    }
  | { readonly type: 'other'; readonly run: () => Promise<void> }

/** A group ends when it has this many bytes: what waits behind it makes the next one. */
const GROUP_BYTES = 32 * 1024 * 1024

export class LogHost {
  readonly engine: Engine
  readonly #env: Env
  readonly #drive: Drive
  readonly #options: HostOptions
  readonly #segments: Segments
  readonly #retention: Retention
  readonly #clients = new Set<Client>()
  readonly #queue: Job[] = []
  #running = false
  #stopping: Promise<void> | undefined
  #cancelCheck: () => void = () => {}
  #failed = false

  constructor(options: HostOptions) {
    this.#options = options
    this.#env = options.env
    this.engine = options.engine
    this.#drive = options.drive ?? runSteps
    const { directory, uuid } = this.engine.log
    this.#segments = new Segments(this.#env.disk, `${directory}/log`, uuid, () =>
      this.engine.end.read(),
    )
    this.#retention = new Retention(this.engine, this.#segments, options)
    this.#scheduleRetention()
  }

  /** Serves a client on this port until the other end closes. */
  attach(port: Port): void {
    const client: Client = { port, sleep: undefined }
    this.#clients.add(client)
    port.onClose(() => this.#clients.delete(client))
    port.onMessage((message) => this.#receive(client, message as ToHost))
  }

  /** Commits what waits, then lets go of the directory. Requests that come later are refused. */
  stop(): Promise<void> {
    this.#cancelCheck()
    return (this.#stopping ??= this.#enqueueOther(async () => {
      await this.#drive(this.engine.close())
      this.#segments.close()
    }))
  }

  /** Looks now for what retention may remove; it also does so by itself, every `retentionCheckMs`. */
  retain(): Promise<void> {
    return this.#enqueueOther(() => this.#retain())
  }

  #receive(client: Client, message: ToHost): void {
    switch (message.type) {
      case 'hello': {
        client.sleep = new Sleep(message.sleep)
        const { log, end } = this.engine
        const { directory, uuid } = log
        // In the middle of a commit it has what nobody may see yet.
        const [appended, shown] = [log.published, end.read()]
        const all = appended.end === shown.end && appended.segmentBase === shown.segmentBase
        const newest = all ? log.newest : undefined
        const welcome = { published: end.shared, directory, uuid, newest }
        const moved = newest === undefined ? [] : [newest.index.buffer as ArrayBuffer]
        return send(client, { type: 'welcome', ...welcome }, moved)
      }
      case 'commit': {
        const { id, request } = message
        const done = (answer: CommitAnswer): void => {
          const { payload } = request
          const back =
            payload.length > 0 && payload.buffer instanceof ArrayBuffer ? [payload.buffer] : []
          send(client, { type: 'committed', id, reply: replyOf(answer), payload }, back)
        }
        return this.#enqueue({ type: 'commit', request, done })
      }
      case 'call': {
        const { id } = message
        void this.#call(message.call).then(
          (value) => send(client, { type: 'answer', id, value }),
          (error: unknown) => send(client, { type: 'error', id, error: asError(error).toJSON() }),
        )
      }
    }
  }

  async #call(call: Call): Promise<unknown> {
    const { log, state } = this.engine
    switch (call.method) {
      case 'list':
        return listTopics(state, call.name)
      case 'offsets':
        return offsetsOf(state, call.name)
      case 'positions':
        return positionsOf(state, call.group)
      case 'places':
        return call.from.map((from) => placeFor(state, log.published.segmentBase, from))
      case 'offsetAt':
        return findOffsetAt(state, this.#segments, call.name, call.partition, call.timeMs)
      case 'create':
        return this.#change(() => decideCreate(state, call.spec, call.change))
      case 'hold':
        return this.#change(() => decideHold(state, call.group, call.name, call.ms, call.bytes))
      case 'open':
        return this.#change(() => decideOpen(state, call.owner))
      case 'trim':
        await this.#change(() => decideTrim(state, call.name, call.partition, call.before))
        return this.#tellEarliest([
          [placeOf(topicNamed(state, call.name).info.id, call.partition), call.before],
        ])
      case 'delete':
        return this.#delete(call.name)
    }
  }

  async #delete(name: string): Promise<void> {
    const { info } = topicNamed(this.engine.state, name)
    await this.#change(() => {
      const { id } = topicNamed(this.engine.state, name).info
      return { changes: [{ type: 'topic-deleted', topic: id }], value: undefined }
    })
    const places = Array.from({ length: info.partitions }, (_, p) => placeOf(info.id, p))
    this.#tellEarliest(places.map((place) => [place, Infinity]))
  }

  /** Decides in turn with the commits, so that the decision sees what came before it. */
  #change<T>(decide: () => Decision<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#enqueueOther(async () => {
        const { changes, value } = decide()
        if (changes.length > 0) await this.#drive(this.engine.change(changes))
        resolve(value)
      }).catch(reject)
    })
  }

  #enqueueOther(run: () => Promise<void>): Promise<void> {
    return new Promise((resolve, reject) =>
      this.#enqueue({ type: 'other', run: () => run().then(resolve, reject) }),
    )
  }

  #enqueue(job: Job): void {
    this.#queue.push(job)
    if (!this.#running) void this.#run().catch((error: unknown) => this.#fail(error))
  }

  async #run(): Promise<void> {
    this.#running = true
    // Lets the messages of other ports come in, so that the first group is not a group of one.
    await this.#env.timers.yield()
    while (this.#queue.length > 0) {
      const commits = this.#takeGroup()
      if (commits.length > 0) {
        const answers = await this.#drive(this.engine.commit(commits.map((job) => job.request)))
        this.#wake()
        for (const [i, answer] of answers.entries()) commits[i]!.done(answer)
      } else {
        const job = this.#queue.shift()
        if (job?.type === 'other') await job.run()
        this.#wake()
      }
      await this.#checkpoint()
      if (this.engine.failure?.code === 'MR2008') this.#fail(this.engine.failure)
      await this.#env.timers.yield()
    }
    this.#running = false
  }

  #takeGroup() {
    const group: Extract<Job, { type: 'commit' }>[] = []
    let bytes = 0
    for (
      let job = this.#queue[0];
      job?.type === 'commit' && bytes < GROUP_BYTES;
      job = this.#queue[0]
    ) {
      this.#queue.shift()
      group.push(job)
      bytes += job.request.payload.length
    }
    return group
  }

  async #checkpoint(): Promise<void> {
    try {
      await this.#drive(this.engine.checkpoint())
    } catch (error) {
      // Full or failed: the first comes back by itself, the second is seen by whoever commits next.
      if (!(error instanceof MillraceError)) throw error
    }
  }

  async #retain(): Promise<void> {
    if (this.engine.failure !== undefined) return
    this.engine.checkSpace()
    // Retention comes back.
    if (!this.#segments.tryAdvance()) return
    const before = this.engine.log.sealed
    const moved = await this.#drive(this.#retention.run())
    // Who has a file open that is gone keeps its space.
    if (moved.length > 0 || this.engine.log.sealed !== before) this.#tellEarliest(moved)
  }

  #scheduleRetention(): void {
    this.#cancelCheck = this.#env.timers.after(this.#options.retentionCheckMs, () => {
      void this.retain()
        .catch((error: unknown) => {
          if (!(error instanceof MillraceError)) this.#fail(error)
        })
        .then(() => {
          if (this.#stopping === undefined) this.#scheduleRetention()
        })
    })
  }

  #tellEarliest(moved: readonly (readonly [place: number, offset: number])[]): void {
    for (const client of this.#clients) send(client, { type: 'earliest', moved })
  }

  #wake(): void {
    for (const client of this.#clients) {
      if (client.sleep?.ends() === true) send(client, { type: 'published' })
    }
  }

  #fail(error: unknown): void {
    if (this.#failed) return
    this.#failed = true
    this.#cancelCheck()
    this.#options.onFailed?.(error)
  }
}

function send(client: Client, message: ToClient, transfer: readonly ArrayBuffer[] = []): void {
  client.port.post(message, transfer)
}

function replyOf(answer: CommitAnswer): CommitReply {
  return answer.outcome === 'committed'
    ? answer
    : { outcome: answer.outcome, error: answer.error.toJSON() }
}

function asError(error: unknown): MillraceError {
  if (error instanceof MillraceError) return error
  if (error instanceof DiskError)
    return new MillraceError('MR2005', `Reading ${error.path} failed with ${error.code}.`, {
      cause: error,
    })
  return new MillraceError('MR6000', `The log failed at a request: ${String(error)}.`, {
    cause: error,
  })
}

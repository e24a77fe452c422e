/** The Log as every thread but the log thread sees it: calls go over a port, reading happens here, from the files. */
import type { Env } from '../../core/env/env.ts'
import type { Port } from '../../core/port.ts'
import { MillraceError, reviveError } from '../../errors.ts'
import { limits } from '../../limits.ts'
import type {
  Log,
  PartitionOffsets,
  Position,
  ReadFrom,
  Reader,
  TopicInfo,
  TopicSpec,
  Topics,
  Writer,
} from '../log.ts'
import type { CommitRequest } from './plan-commit.ts'
import type { Call, CommitReply, ToClient, ToHost } from './protocol.ts'
import { PublishedEnd, Sleep } from './published.ts'
import { EarliestOffsets, SegmentReader } from './reader.ts'
import type { Place, ReaderHost } from './reader.ts'
import { Segments } from './segments.ts'
import { placeOf } from './state.ts'
import { StagingWriter } from './staging.ts'

interface Pending {
  readonly resolve: (value: unknown) => void
  readonly reject: (error: MillraceError) => void
}

type Committed = { readonly reply: CommitReply; readonly payload: Uint8Array }

const NOTHING = new Uint8Array(0)

export class LogClient implements Log {
  readonly topics: Topics
  readonly #port: Port
  readonly #end: PublishedEnd
  readonly #segments: Segments
  readonly #sleep: Sleep
  readonly #calls = new Map<number, Pending>()
  readonly #commits = new Map<number, (committed: Committed) => void>()
  readonly #waiters = new Set<() => void>()
  readonly #earliest = new EarliestOffsets()
  #lastId = 0
  #closed: MillraceError | undefined

  private constructor(
    env: Env,
    port: Port,
    sleep: Sleep,
    welcome: Extract<ToClient, { type: 'welcome' }>,
  ) {
    this.#port = port
    this.#sleep = sleep
    const { published, directory, uuid, newest } = welcome
    const end = (this.#end = new PublishedEnd(published))
    this.#segments = new Segments(env.disk, `${directory}/log`, uuid, () => end.read(), newest)
    this.topics = this.#topics()
    port.onClose(() => this.#ended('The log thread ended.'))
  }

  /** Resolves when the host answered. The client owns the port from then on. */
  static connect(env: Env, port: Port): Promise<LogClient> {
    const sleep = new Sleep()
    return new Promise((resolve, reject) => {
      let client: LogClient | undefined
      port.onClose(() =>
        reject(new MillraceError('MR2009', 'The log thread ended before it answered.')),
      )
      port.onMessage((received) => {
        const message = received as ToClient
        if (message.type !== 'welcome')
          return client === undefined ? undefined : client.#receive(message)
        client = new LogClient(env, port, sleep, message)
        resolve(client)
      })
      port.post({ type: 'hello', sleep: sleep.shared } satisfies ToHost)
    })
  }

  /** Whether the log takes no records for want of space. */
  get full(): boolean {
    return this.#end.full
  }

  async open(owner: string): Promise<Writer> {
    const opened = (await this.#call({ method: 'open', owner })) as {
      readonly id: number
      readonly epoch: number
    }
    return new StagingWriter(owner, opened, (request) => this.#commit(request), limits.commitBytes)
  }

  async reader(from: readonly ReadFrom[]): Promise<Reader> {
    const places = (await this.#call({ method: 'places', from })) as readonly Place[]
    for (const place of places)
      this.#earliest.note(placeOf(place.topicId, place.partition), place.earliest)
    const host: ReaderHost = {
      segments: this.#segments,
      earliest: this.#earliest,
      wait: (seenLsn, signal) => this.#wait(seenLsn, signal),
      publishedLsn: () => this.#end.read().lsn,
    }
    return new SegmentReader(host, places)
  }

  async positions(group: string): Promise<readonly Position[]> {
    return (await this.#call({ method: 'positions', group })) as readonly Position[]
  }

  /** Ends this thread's use of the log. Commits that are under way end as unknown; waits resolve. */
  close(): void {
    this.#ended('The log client was closed.')
    this.#port.close()
    this.#segments.close()
  }

  #topics(): Topics {
    const call = this.#call.bind(this)
    return {
      list: async (name) => (await call({ method: 'list', name })) as readonly TopicInfo[],
      create: async (spec: TopicSpec, { change } = { change: false }) =>
        (await call({ method: 'create', spec, change })) as TopicInfo,
      delete: async (name) => void (await call({ method: 'delete', name })),
      offsets: async (name) =>
        (await call({ method: 'offsets', name })) as readonly PartitionOffsets[],
      offsetAt: async (name, partition, timeMs) =>
        (await call({ method: 'offsetAt', name, partition, timeMs })) as number,
      hold: async (group, name, ms, bytes) =>
        void (await call({ method: 'hold', group, name, ms, bytes })),
      trim: async (name, partition, before) =>
        void (await call({ method: 'trim', name, partition, before })),
    }
  }

  #call(call: Call): Promise<unknown> {
    const closed = this.#closed
    if (closed !== undefined) return Promise.reject(closed)
    const id = ++this.#lastId
    return new Promise((resolve, reject) => {
      this.#calls.set(id, { resolve, reject })
      this.#port.post({ type: 'call', id, call } satisfies ToHost)
    })
  }

  #commit(request: CommitRequest): Promise<Committed> {
    const closed = this.#closed
    if (closed !== undefined) {
      return Promise.resolve({
        reply: { outcome: 'refused', error: closed.toJSON() },
        payload: request.payload,
      })
    }
    const id = ++this.#lastId
    return new Promise((resolve) => {
      this.#commits.set(id, resolve)
      const moved = [request.head, request.payload]
        .filter((bytes) => bytes.length > 0)
        .map((bytes) => bytes.buffer)
      this.#port.post(
        { type: 'commit', id, request } satisfies ToHost,
        moved.filter((b) => b instanceof ArrayBuffer),
      )
    })
  }

  #receive(message: Exclude<ToClient, { type: 'welcome' }>): void {
    switch (message.type) {
      case 'answer':
        this.#taken(message.id)?.resolve(message.value)
        return
      case 'error':
        this.#taken(message.id)?.reject(reviveError(message.error))
        return
      case 'committed': {
        const resolve = this.#commits.get(message.id)
        this.#commits.delete(message.id)
        resolve?.({ reply: message.reply, payload: message.payload })
        return
      }
      case 'published':
        return this.#wakeAll()
      case 'earliest':
        for (const [place, offset] of message.moved) this.#earliest.note(place, offset)
        this.#segments.letGo()
        return this.#wakeAll()
    }
  }

  #taken(id: number): Pending | undefined {
    const pending = this.#calls.get(id)
    this.#calls.delete(id)
    return pending
  }

  #wait(seenLsn: number, signal?: AbortSignal): Promise<void> {
    const ended = signal?.aborted === true || this.#closed !== undefined
    if (ended || !this.#sleep.begins(this.#end, seenLsn)) return Promise.resolve()
    return new Promise((resolve) => {
      const done = (): void => {
        this.#waiters.delete(done)
        signal?.removeEventListener('abort', done)
        resolve()
      }
      this.#waiters.add(done)
      signal?.addEventListener('abort', done)
    })
  }

  #wakeAll(): void {
    for (const done of [...this.#waiters]) done()
  }

  #ended(why: string): void {
    if (this.#closed !== undefined) return
    const error = (this.#closed = new MillraceError('MR2009', why))
    const unknown = new MillraceError('MR2008', `${why} A commit was under way.`)
    for (const { reject } of this.#calls.values()) reject(error)
    this.#calls.clear()
    for (const resolve of this.#commits.values()) {
      resolve({ reply: { outcome: 'unknown', error: unknown.toJSON() }, payload: NOTHING })
    }
    this.#commits.clear()
    this.#wakeAll()
  }
}

/**
 * Clients beside the load that behave as networks let them: some send half a request and are gone, some read slowly and
 * lose their connection. Half a request must leave nothing; what a reader was shown must be what the topic holds at the
 * end, at the same offsets, with nothing left out (I3, I9). They know the engine by its HTTP alone.
 */
import { request } from 'node:http'
import { connect } from 'node:net'
import { WebSocket } from 'ws'
import { eachRecord } from './read-topic.ts'

interface Shown {
  readonly partition: number
  readonly offset: number
  readonly value: { readonly id: string }
}

interface Gone {
  readonly partition: number
  readonly from: number
  readonly earliest: number
}

/** A connection lives about so long, and then is cut by its client; the engine is killed about as often. */
const CONNECTION_MS = 1_500
/** A reader stands still for this long at a time. */
const PAUSE_MS = 120
const BODY_EVENTS = 40

export class Neighbours {
  /** Requests of which a part was sent. */
  halves = 0
  readonly #readers: readonly Reader[]
  readonly #url: URL
  readonly #stop = new AbortController()
  readonly #tasks: readonly Promise<void>[]

  constructor(url: string, topic: string) {
    this.#url = new URL(url)
    const records = new URL(`/topics/${topic}/records`, url)
    this.#readers = [new HttpReader(records), new SocketReader(records)]
    const { signal } = this.#stop
    this.#tasks = [...this.#readers.map((reader) => reader.run(signal)), this.#sendHalves(signal)]
  }

  /** Records that readers were shown. */
  get shown(): number {
    return this.#readers.reduce((all, reader) => all + reader.shown, 0)
  }

  async stop(): Promise<void> {
    this.#stop.abort()
    await Promise.all(this.#tasks)
  }

  /** Of an engine that has ended. */
  async differences(dataDir: string, topic: string): Promise<string[]> {
    const held = new Map<number, Map<number, string>>()
    await eachRecord<{ id: string }>(dataDir, topic, ({ id }, partition, offset) => {
      // Slow readers see little of a long topic, and only that is held here.
      if (this.#readers.every((reader) => reader.end(partition) < offset)) return
      const records = held.get(partition) ?? new Map<number, string>()
      held.set(partition, records.set(offset, id))
    })
    const found = this.#readers.flatMap((reader) => reader.differences(held))
    if (this.shown === 0) found.push('no reader was shown anything')
    if (this.halves === 0) found.push('no half of a request was sent')
    return found
  }

  /** The ids are in nobody's books: should one of them be in the topic, the comparison with the books says so. */
  async #sendHalves(signal: AbortSignal): Promise<void> {
    const { hostname, port, pathname } = this.#url
    for (let n = 0; !signal.aborted; n++) {
      const at = Date.now()
      const events = Array.from({ length: BODY_EVENTS }, (_, i) =>
        JSON.stringify({ id: `half-${n}-${i}`, user: `h${i % 5}`, page: '/half', n, at }),
      )
      const body = `${events.join('\n')}\n`
      const chunked = Math.random() < 0.5
      const producer =
        Math.random() < 0.5
          ? ''
          : `millrace-producer: half\r\nmillrace-epoch: 0\r\nmillrace-sequence: 0\r\n`
      const size = chunked ? 'transfer-encoding: chunked' : `content-length: ${body.length}`
      const head = `POST ${pathname} HTTP/1.1\r\nhost: ${hostname}:${port}\r\ncontent-type: application/x-ndjson\r\n${producer}${size}\r\n\r\n`
      const sent = chunked ? `${body.length.toString(16)}\r\n${body}\r\n` : body
      // With chunks, all of it without the end that says so is half a request too.
      const cut = 1 + Math.floor(Math.random() * (head.length + sent.length - 1))
      const socket = connect({ host: hostname, port: Number(port) })
      socket.on('error', () => undefined)
      socket.resume()
      socket.write((head + sent).slice(0, cut), (error) => {
        if (error === undefined || error === null) this.halves++
      })
      await pause(20 + Math.random() * 200, signal)
      if (Math.random() < 0.5) socket.resetAndDestroy()
      else socket.end()
      await pause(Math.random() * 50, signal)
      socket.destroy()
    }
  }
}

interface Connection {
  /** Aborts when its client is to be gone. */
  readonly end: AbortSignal
  /** It has ended: what it still holds, the next one is given again. */
  readonly over: () => boolean
  readonly done: () => void
}

/** Reads on from where it stood, over whatever connections it takes. */
abstract class Reader {
  shown = 0
  protected resume = 'earliest'
  /** By partition: what was shown, in order, and where retention was faster. */
  readonly #seen = new Map<number, { offset: number; id: string }[]>()
  readonly #gone: Gone[] = []
  readonly #wrong: string[] = []

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const cut = new AbortController()
      const abort = (): void => cut.abort()
      // Signals made of two would hold on to every connection until the last of them has ended.
      signal.addEventListener('abort', abort, { once: true })
      const timer = setTimeout(abort, CONNECTION_MS * (0.5 + Math.random()))
      await new Promise<void>((ended) => {
        let over = false
        const done = (): void => {
          over = true
          ended()
        }
        this.connect({ end: cut.signal, over: () => over, done })
      })
      clearTimeout(timer)
      signal.removeEventListener('abort', abort)
      await pause(20, signal)
    }
  }

  protected abstract connect(connection: Connection): void

  protected see({ partition, offset, value }: Shown): void {
    const seen = this.#seen.get(partition) ?? []
    const last = seen.at(-1)
    if (last !== undefined && last.offset >= offset)
      this.#wrong.push(`${partition}:${offset} was shown after ${partition}:${last.offset}`)
    seen.push({ offset, id: value.id })
    this.#seen.set(partition, seen)
    this.shown++
  }

  protected missed(gone: Gone): void {
    this.#gone.push(gone)
  }

  /** The last offset that was shown. */
  end(partition: number): number {
    return this.#seen.get(partition)?.at(-1)?.offset ?? -1
  }

  differences(held: ReadonlyMap<number, ReadonlyMap<number, string>>): string[] {
    const found = this.#wrong.map((what) => `${this.constructor.name}: ${what}`)
    for (const [partition, seen] of this.#seen) {
      const records = held.get(partition) ?? new Map<number, string>()
      const offsets = [...records.keys()]
      // What is before it, retention took.
      const earliest = offsets[0] ?? Infinity
      const shown = new Map(seen.map(({ offset, id }) => [offset, id]))
      for (const [offset, id] of shown)
        if (offset >= earliest && records.get(offset) !== id)
          found.push(
            `${partition}:${offset} was shown as ${id}, and is ${records.get(offset) ?? 'not there'}`,
          )
      const excused = this.#gone.filter((gone) => gone.partition === partition)
      for (const offset of offsets)
        if (
          offset < this.end(partition) &&
          !shown.has(offset) &&
          !excused.some((gone) => gone.from <= offset && offset < gone.earliest)
        )
          found.push(`${partition}:${offset} was left out for ${this.constructor.name}`)
    }
    return found
  }
}

/** NDJSON, followed. */
class HttpReader extends Reader {
  readonly #url: URL

  constructor(url: URL) {
    super()
    this.#url = url
  }

  protected connect({ end, over, done }: Connection): void {
    const url = new URL(this.#url)
    url.searchParams.set('follow', 'true')
    url.searchParams.set('from', this.resume)
    const asked = request(url, { agent: false }, (answer) => {
      let left = ''
      answer.setEncoding('utf8')
      answer.on('data', (text: string) => {
        if (over()) return
        const lines = (left + text).split('\n')
        left = lines.pop() ?? ''
        for (const line of lines) if (line !== '') this.#take(line)
        answer.pause()
        setTimeout(() => answer.resume(), Math.random() * PAUSE_MS)
      })
      answer.on('error', done)
      answer.on('close', done)
    })
    asked.on('error', done)
    asked.on('close', done)
    end.addEventListener('abort', () => asked.destroy(), { once: true })
    asked.end()
  }

  /** A line that lacks its end is not counted as read: it comes again. */
  #take(line: string): void {
    const message = JSON.parse(line) as Shown | { gone: Gone } | { error: object }
    if ('error' in message) return
    if ('gone' in message) {
      this.missed(message.gone)
      this.#goOn(message.gone.partition, message.gone.earliest)
    } else {
      this.see(message)
      this.#goOn(message.partition, message.offset + 1)
    }
  }

  readonly #next = new Map<number, number>()

  #goOn(partition: number, offset: number): void {
    this.#next.set(partition, offset)
    this.resume = [...this.#next].map(([one, next]) => `${one}:${next}`).join(',')
  }
}

class SocketReader extends Reader {
  readonly #url: URL

  constructor(url: URL) {
    super()
    this.#url = new URL(url)
    this.#url.protocol = 'ws:'
  }

  protected connect({ end, over, done }: Connection): void {
    const url = new URL(this.#url)
    url.searchParams.set('from', this.resume)
    const socket = new WebSocket(url)
    socket.on('error', done)
    socket.on('close', done)
    socket.on('message', (data: Buffer) => {
      if (over()) return
      this.#take(data.toString('utf8'))
      socket.pause()
      setTimeout(() => socket.resume(), Math.random() * PAUSE_MS)
    })
    end.addEventListener('abort', () => socket.terminate(), { once: true })
  }

  #take(text: string): void {
    const message = JSON.parse(text) as
      | { type: 'hello'; resume: string }
      | { type: 'records'; resume: string; records: Shown[] }
      | ({ type: 'gone' } & Gone)
    if (message.type === 'gone') return this.missed(message)
    if (message.type === 'records') for (const record of message.records) this.see(record)
    this.resume = message.resume
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(end, ms)
    function end(): void {
      clearTimeout(timer)
      signal.removeEventListener('abort', end)
      resolve()
    }
    signal.addEventListener('abort', end, { once: true })
  })
}

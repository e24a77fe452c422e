/**
 * A process of its own that sends requests to schedule, whether or not earlier ones were answered, and keeps the books.
 * Sockets are bounded: a request that is due while every connection waits for an answer is counted and not sent. It speaks
 * HTTP/1.1 itself, with requests that are laid out once, so that one core can ask for many times what another can serve.
 */
import { writeFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { createHistogram } from 'node:perf_hooks'
import {
  eventsPerRequest,
  firstNumber,
  outcome,
  type Phase,
  type PhaseReport,
  type ToGenerator,
} from './books.ts'

const port = Number(process.argv[2])
/** By number of the request: when its events happened, and what became of it. */
let times = new Float64Array(1 << 20)
let outcomes = new Uint8Array(1 << 20)
let requests = 0

type Answered = (connection: Connection, status: number, head: string, body: string) => void

class Connection {
  readonly #request: Buffer
  /** Where in the request its number stands, and where its time. */
  readonly #numbersAt: number[]
  readonly #timesAt: number[]
  readonly #answered: Answered
  #socket: Socket | undefined
  #answer = ''
  /** The request under way, or -1. */
  number = -1
  sentAt = 0

  constructor(index: number, answered: Answered) {
    this.#answered = answered
    const lines = Array.from({ length: eventsPerRequest }, (_, i) => {
      const user = `u${index}-${i}`
      return `{"id":"NNNNNNNNNN-${i}","user":"${user}","page":"/p${i}","n":NNNNNNNNNN,"at":TTTTTTTTTTTTT}`
    })
    const body = lines.join('\n')
    const head = `POST /views HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\nContent-Length: ${body.length}\r\n\r\n`
    const text = head + body
    this.#request = Buffer.from(text, 'latin1')
    this.#numbersAt = [...text.matchAll(/N{10}/g)].map(({ index: at }) => at)
    this.#timesAt = [...text.matchAll(/T{13}/g)].map(({ index: at }) => at)
  }

  send(number: number, at: number): void {
    this.number = number
    this.#write(this.#numbersAt, String(firstNumber + number))
    this.#write(this.#timesAt, String(at))
    this.sentAt = performance.now()
    this.#opened().write(this.#request)
  }

  close(): void {
    this.#socket?.destroy()
  }

  #write(places: readonly number[], digits: string): void {
    for (const place of places) this.#request.write(digits, place, 'latin1')
  }

  #opened(): Socket {
    if (this.#socket !== undefined) return this.#socket
    const socket = connect({ port, host: '127.0.0.1', noDelay: true })
    socket.setEncoding('latin1')
    socket.on('data', (text: string) => this.#receive(text))
    socket.on('error', () => undefined)
    socket.on('close', () => {
      if (this.#socket !== socket) return
      this.#socket = undefined
      this.#answer = ''
      if (this.number >= 0) this.#answered(this, 0, '', '')
    })
    return (this.#socket = socket)
  }

  #receive(text: string): void {
    const answer = this.#answer + text
    const end = answer.indexOf('\r\n\r\n') + 4
    const length = Number(/content-length: (\d+)/i.exec(answer)?.[1])
    if (end < 4 || answer.length < end + length) {
      this.#answer = answer
      return
    }
    this.#answer = ''
    const head = answer.slice(0, end)
    if (/connection: close/i.test(head)) {
      this.#socket?.destroy()
      this.#socket = undefined
    }
    this.#answered(this, Number(answer.slice(9, 12)), head, answer.slice(end))
  }
}

/** Runs one phase, until every request of it has its answer. */
function run({ seconds, connections, perSecond }: Phase): Promise<PhaseReport> {
  const counts = { due: 0, sent: 0, unsent: 0, withoutRetryAfter: 0, broken: 0 }
  const statuses: Record<string, number> = {}
  const odd: string[] = []
  const stored = createHistogram()
  const refused = createHistogram()
  const began = performance.now()
  const until = began + seconds * 1_000
  return new Promise((resolve) => {
    let waiting = 0
    /** Nothing more becomes due. */
    let over = false
    const send = (connection: Connection): void => {
      const number = requests++
      if (number === outcomes.length) grow()
      const at = (times[number] = Date.now())
      waiting++
      counts.sent++
      connection.send(number, at)
    }
    const answered = (connection: Connection, status: number, head: string, body: string): void => {
      const { number, sentAt } = connection
      connection.number = -1
      waiting--
      outcomes[number] = judge(status, body)
      if (status === 0) counts.broken++
      else {
        statuses[status] = (statuses[status] ?? 0) + 1
        const took = Math.max(1, Math.round((performance.now() - sentAt) * 1_000))
        ;(status === 200 ? stored : refused).record(took)
        if (status !== 200 && !/^retry-after: \d/im.test(head)) counts.withoutRetryAfter++
        if (outcomes[number] === outcome.none && odd.length < 10) odd.push(`${status} ${body}`)
      }
      if (perSecond === 0) {
        if (performance.now() < until) return send(connection)
        over = true
      }
      free.push(connection)
      if (over && waiting === 0) end()
    }
    const free = Array.from({ length: connections }, (_, i) => new Connection(i, answered))
    const all = [...free]
    const tick = (): void => {
      const now = performance.now()
      const due = Math.floor((Math.min(now, until) - began) * (perSecond / 1_000))
      for (; counts.due < due; counts.due++) {
        const connection = free.shift()
        if (connection === undefined) counts.unsent++
        else send(connection)
      }
      over = now >= until
      if (!over) setTimeout(tick, 1)
      else if (waiting === 0) end()
    }
    const end = (): void => {
      for (const connection of all) connection.close()
      const ms = (of: typeof stored, p: number): number => of.percentile(p) / 1_000
      resolve({
        seconds,
        ...counts,
        statuses,
        odd,
        storedMs: { p50: ms(stored, 50), p99: ms(stored, 99) },
        refusedMs: { p50: ms(refused, 50), p99: ms(refused, 99) },
      })
    }
    if (perSecond > 0) tick()
    else for (const connection of free.splice(0)) send(connection)
  })
}

function judge(status: number, body: string): number {
  if (status === 0) return outcome.unknown
  if (status === 200)
    return body.startsWith(`{"accepted":${eventsPerRequest},`) ? outcome.stored : outcome.none
  if (status !== 429 && status !== 503) return outcome.none
  return /MR1042|MR2008|MR600[5-8]/.test(body) ? outcome.unknown : outcome.refused
}

function grow(): void {
  const [more, moreTimes] = [new Uint8Array(requests * 2), new Float64Array(requests * 2)]
  more.set(outcomes)
  moreTimes.set(times)
  outcomes = more
  times = moreTimes
}

process.on('message', (message: ToGenerator) => {
  if ('write' in message) {
    writeFileSync(`${message.write}.outcomes`, outcomes.subarray(0, requests))
    writeFileSync(`${message.write}.times`, times.subarray(0, requests))
    process.send?.({ written: requests })
  } else void run(message).then((report) => process.send?.(report))
})
process.on('disconnect', () => process.exit(0))

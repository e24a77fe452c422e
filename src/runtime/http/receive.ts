/** Receives the body of one request, within bounds: bytes, pace, and what all connections together may hold. */
import type { IncomingMessage } from 'node:http'
import { gunzip } from 'node:zlib'
import type { Env } from '../../core/env/env.ts'
import { limits } from '../../limits.ts'
import type { Refusal } from '../../process/ingest-request.ts'

export type Encoding = 'identity' | 'gzip'

export interface ReceiveLimits {
  readonly bodyBytes: number
  readonly inflatedBytes: number
  readonly inflateRatio: number
  readonly bytesPerSecond: number
  readonly graceMs: number
  /** Of all bodies being received together. */
  readonly receivingBytes: number
}

export const receiveLimits: ReceiveLimits = {
  bodyBytes: limits.bodyBytes,
  inflatedBytes: limits.bodyInflatedBytes,
  inflateRatio: limits.inflateRatio,
  bytesPerSecond: limits.bodyBytesPerSecond,
  graceMs: limits.bodyGraceMs,
  receivingBytes: limits.receivingBytes,
}

/** Small bodies may have any ratio: their size is bound enough. */
const freelyInflated = 64 * 1024

export class Receiver {
  readonly #env: Env
  readonly #limits: ReceiveLimits
  #held = 0

  constructor(env: Env, bounds: ReceiveLimits = receiveLimits) {
    this.#env = env
    this.#limits = bounds
  }

  /** Bytes of bodies that are being received now. */
  get held(): number {
    return this.#held
  }

  /** The body as sent and inflated; undefined when the client went away. */
  async receive(
    request: IncomingMessage,
    encoding: Encoding,
  ): Promise<Uint8Array | Refusal | undefined> {
    const declared = Number(request.headers['content-length'] ?? 0)
    if (declared > this.#limits.bodyBytes) return this.#tooLarge(declared)
    const received = await this.#collect(request)
    if (!(received instanceof Uint8Array) || encoding === 'identity') return received
    this.#held += received.length
    try {
      return await this.#inflate(received)
    } finally {
      this.#held -= received.length
    }
  }

  #collect(request: IncomingMessage): Promise<Uint8Array | Refusal | undefined> {
    const { bodyBytes, receivingBytes } = this.#limits
    return new Promise((resolve) => {
      const chunks: Buffer[] = []
      let length = 0
      const stopWatching = this.#watchPace(
        () => length,
        (refusal) => finish(refusal),
      )
      const finish = (result: Uint8Array | Refusal | undefined): void => {
        stopWatching()
        this.#held -= length
        request.off('data', onData).off('end', onEnd).off('close', onClose).off('error', onClose)
        request.on('error', () => undefined)
        resolve(result)
      }
      const onData = (chunk: Buffer): void => {
        length += chunk.length
        this.#held += chunk.length
        chunks.push(chunk)
        if (length > bodyBytes) finish(this.#tooLarge(length))
        else if (this.#held > receivingBytes) {
          const what = `Bodies of ${this.#held} bytes are being received; at most ${receivingBytes} may.`
          finish({ code: 'MR1039', what })
        }
      }
      const onEnd = (): void => finish(joined(chunks, length))
      const onClose = (): void => finish(undefined)
      request.on('data', onData).on('end', onEnd).on('close', onClose).on('error', onClose)
    })
  }

  /** Calls `slow` once the body has been slower than allowed; the returned function stops watching. */
  #watchPace(length: () => number, slow: (refusal: Refusal) => void): () => void {
    const { bytesPerSecond, graceMs } = this.#limits
    const { clock, timers } = this.#env
    const begun = clock.monotonic()
    const look = (): void => {
      const seconds = (clock.monotonic() - begun) / 1000
      if (length() < seconds * bytesPerSecond) {
        const what = `${length()} bytes came in ${seconds.toFixed(1)} s; at least ${bytesPerSecond} per second are expected.`
        slow({ code: 'MR1038', what })
      } else cancel = timers.after(1_000, look)
    }
    let cancel = timers.after(graceMs, look)
    return () => cancel()
  }

  #inflate(bytes: Uint8Array): Promise<Uint8Array | Refusal> {
    const { inflatedBytes, inflateRatio } = this.#limits
    const byRatio = Math.max(freelyInflated, bytes.length * inflateRatio)
    const maxOutputLength = Math.min(inflatedBytes, byRatio)
    return new Promise((resolve) => {
      // With `info`, an undocumented corner of the types: the result is {buffer, engine}.
      gunzip(bytes, { maxOutputLength, info: true }, (error, result) => {
        if (error !== null) {
          if (!('code' in error) || error.code !== 'ERR_BUFFER_TOO_LARGE') {
            resolve({
              code: 'MR1033',
              what: `The gzip body of ${bytes.length} bytes cannot be inflated (${error.message}).`,
            })
          } else if (byRatio < inflatedBytes) {
            resolve({
              code: 'MR1031',
              what: `${bytes.length} bytes inflate to more than ${inflateRatio} times as much.`,
            })
          } else
            resolve({
              code: 'MR1030',
              what: `The body inflates to more than ${inflatedBytes} bytes.`,
            })
          return
        }
        const { buffer, engine } = result as unknown as {
          buffer: Buffer
          engine: { bytesWritten: number }
        }
        // Node keeps small results in memory it shares: what is given to another thread must be its own.
        if (engine.bytesWritten === bytes.length) resolve(new Uint8Array(buffer))
        else
          resolve({
            code: 'MR1033',
            what: `${bytes.length - engine.bytesWritten} bytes follow the gzip stream.`,
          })
      })
    })
  }

  #tooLarge(length: number): Refusal {
    return {
      code: 'MR1030',
      what: `The body has ${length} bytes or more; at most ${this.#limits.bodyBytes} are taken.`,
    }
  }
}

/** One piece of memory of its own, so that it can be given to another thread. */
function joined(chunks: readonly Buffer[], length: number): Uint8Array {
  const bytes = new Uint8Array(length)
  let at = 0
  for (const chunk of chunks) {
    bytes.set(chunk, at)
    at += chunk.length
  }
  return bytes
}

/** What a refused request may still send before its connection is closed. */
const restBytes = 8 * 1024 * 1024

/** Lets a client finish sending what is not wanted, so that it gets to read the answer; but not for ever. */
export function passOver(request: IncomingMessage): void {
  let left = restBytes
  request.on('data', (chunk: Buffer) => {
    left -= chunk.length
    if (left < 0) request.socket.destroy()
  })
  request.resume()
}

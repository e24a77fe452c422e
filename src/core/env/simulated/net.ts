import { NetError } from '../env.ts'
import type { Net, NetAnswer, NetRequest } from '../env.ts'

export type NetHandler = (request: NetRequest) => NetAnswer | Promise<NetAnswer>

/**
 * - `refuse`: no connection; nothing reaches the peer.
 * - `lose-answer`: the peer acts, the connection breaks before its answer arrives.
 * - `silence`: the peer acts and never answers; the deadline ends it.
 * - `delay`: the answer takes this many milliseconds longer.
 */
export type NetOutcome =
  | { readonly kind: 'refuse' }
  | { readonly kind: 'lose-answer' }
  | { readonly kind: 'silence' }
  | { readonly kind: 'delay'; readonly ms: number }

interface Host {
  readonly handler: NetHandler
  readonly private: boolean
  readonly script: NetOutcome[]
}

/** Schedules an event; the function returned takes it back. */
type After = (ms: number, event: () => void) => () => void

/** Peers by host name (with the port where the URL has one), and what happens to the requests made to them. */
export class SimulatedNetwork {
  readonly #hosts = new Map<string, Host>()
  readonly #after: After
  readonly #trace: (line: string) => void
  /** One way, in milliseconds. */
  latencyMs = 1

  constructor(after: After, trace: (line: string) => void) {
    this.#after = after
    this.#trace = trace
  }

  /** Lets `handler` answer for `host`; it counts as public unless `options.private`. */
  handle(host: string, handler: NetHandler, options: { private?: boolean } = {}): void {
    this.#hosts.set(host, { handler, private: options.private ?? false, script: [] })
  }

  /** What happens to the next requests to `host`, in order; those after them go well. */
  script(host: string, ...outcomes: NetOutcome[]): void {
    const known = this.#hosts.get(host)
    if (known === undefined) throw new Error(`no handler for ${host}: call handle() first`)
    known.script.push(...outcomes)
  }

  /** The network as one process uses it; `after` schedules events that die with the process. */
  attach(label: string, after: After): Net {
    return { request: (request) => this.#request(label, after, request) }
  }

  async #request(label: string, after: After, request: NetRequest): Promise<NetAnswer> {
    const url = new URL(request.url)
    const host = this.#hosts.get(url.host)
    const outcome = host?.script.shift()
    this.#trace(`${label} ${request.method} ${request.url} ${outcome?.kind ?? 'ok'}`)
    if (host === undefined || outcome?.kind === 'refuse') {
      await new Promise<void>((resolve) => void after(this.latencyMs, resolve))
      throw new NetError('refused', `${url.host} refused the connection`)
    }
    if (host.private && !request.allowPrivate) {
      throw new NetError('private-address', `${url.host} is not a public address`)
    }
    return await new Promise<NetAnswer>((resolve, reject) => {
      const cancel = after(request.timeoutMs, () => {
        reject(new NetError('timeout', `${url.host} did not answer in ${request.timeoutMs} ms`))
      })
      const deliver = (): void => {
        void this.#act(host, request).then((answer) => {
          const delay = outcome?.kind === 'delay' ? outcome.ms : 0
          if (outcome?.kind === 'silence') return
          after(this.latencyMs + delay, () => {
            cancel()
            if (answer instanceof NetError) reject(answer)
            else if (outcome?.kind === 'lose-answer') reject(lost(url))
            else if (answer.body.length > request.maxAnswerBytes) reject(tooLong(request))
            else resolve(answer)
          })
        })
      }
      this.#after(this.latencyMs, deliver)
    })
  }

  async #act(host: Host, request: NetRequest): Promise<NetAnswer | NetError> {
    try {
      return await host.handler(request)
    } catch (error) {
      return new NetError('unknown', `the handler threw: ${String(error)}`)
    }
  }
}

function lost(url: URL): NetError {
  return new NetError('unknown', `${url.host} closed the connection`)
}

function tooLong(request: NetRequest): NetError {
  const limit = request.maxAnswerBytes
  return new NetError('unknown', `the answer is longer than the limit of ${limit} bytes`)
}

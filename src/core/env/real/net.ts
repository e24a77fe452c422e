import * as dns from 'node:dns'
import * as http from 'node:http'
import * as https from 'node:https'
import { isIP } from 'node:net'
import type { LookupFunction } from 'node:net'
import { NetError } from '../env.ts'
import type { Net, NetAnswer, NetRequest } from '../env.ts'
import { isPublicAddress } from './address.ts'

export type Resolve = (
  hostname: string,
  done: (error: Error | null, addresses: readonly dns.LookupAddress[]) => void,
) => void

const resolveBySystem: Resolve = (hostname, done) => dns.lookup(hostname, { all: true }, done)

/**
 * Outgoing HTTP over node:http. Redirects are answers, never followed. Where private addresses are not allowed, the
 * check is on the very addresses that are then connected to, so a name that changes its mind in between gains nothing.
 */
export function realNet(resolve: Resolve = resolveBySystem): Net {
  const everywhere = connections(plainLookup(resolve))
  // Kept apart, so that a connection opened where private addresses are allowed is never used where they are not.
  const publicOnly = connections(publicLookup(resolve))
  return {
    request: async (request) => {
      const url = parseUrl(request)
      if (!request.allowPrivate) refuseLiteral(url)
      return send(request, url, request.allowPrivate ? everywhere : publicOnly)
    },
  }
}

interface Connections {
  readonly http: http.Agent
  readonly https: https.Agent
}

function connections(lookup: LookupFunction): Connections {
  const options = { keepAlive: true, maxFreeSockets: 16, lookup }
  return { http: new http.Agent(options), https: new https.Agent(options) }
}

function parseUrl(request: NetRequest): URL {
  if (!URL.canParse(request.url)) throw new NetError('refused', `"${request.url}" is not a URL`)
  const url = new URL(request.url)
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    throw new NetError('refused', `${url.protocol} is not http: or https:`)
  }
  return url
}

/** An address written into the URL is connected to without a lookup. URL has already put 0x7f.1 into plain form. */
function refuseLiteral(url: URL): void {
  const host = url.hostname.startsWith('[') ? url.hostname.slice(1, -1) : url.hostname
  if (isIP(host) !== 0 && !isPublicAddress(host)) throw privateAddress(host, host)
}

function privateAddress(host: string, address: string): NetError {
  return new NetError('private-address', `${host} is ${address}, which is not a public address`)
}

function plainLookup(resolve: Resolve): LookupFunction {
  return (hostname, options, done) =>
    resolve(hostname, (error, addresses) => answer(error, addresses, options, done))
}

/** Refuses a name with any address that is not public: a mixed answer is how rebinding starts. */
function publicLookup(resolve: Resolve): LookupFunction {
  return (hostname, options, done) =>
    resolve(hostname, (error, addresses) => {
      const bad = addresses?.find(({ address }) => !isPublicAddress(address))
      const refusal = bad === undefined ? error : privateAddress(hostname, bad.address)
      answer(refusal, addresses, options, done)
    })
}

function answer(
  error: Error | null,
  addresses: readonly dns.LookupAddress[],
  options: dns.LookupOptions,
  done: Parameters<LookupFunction>[2],
): void {
  const first = addresses?.[0]
  if (error !== null || first === undefined) {
    done(error ?? new Error('the name has no address'), '', 0)
  } else if (options.all === true) {
    done(null, [...addresses])
  } else {
    done(null, first.address, first.family)
  }
}

function send(request: NetRequest, url: URL, agents: Connections): Promise<NetAnswer> {
  const secure = url.protocol === 'https:'
  return new Promise((resolve, reject) => {
    let connected = false
    let outgoing: http.ClientRequest
    const fail = (error: unknown): void => {
      clearTimeout(deadline)
      reject(netError(error, connected, url))
    }
    const deadline = setTimeout(() => {
      const late = new NetError('timeout', `${url.host} did not answer in ${request.timeoutMs} ms`)
      fail(late)
      outgoing.destroy(late)
    }, request.timeoutMs)
    const options = {
      method: request.method,
      headers: withLength(request),
      agent: secure ? agents.https : agents.http,
    }
    try {
      outgoing = (secure ? https : http).request(url, options)
    } catch (error) {
      fail(error)
      return
    }
    outgoing.on('socket', (socket) => {
      // One that is used again never connects again: what waits for that would wait for ever.
      if (!socket.connecting) connected = true
      else socket.once(secure ? 'secureConnect' : 'connect', () => (connected = true))
    })
    outgoing.on('error', fail)
    outgoing.on('response', (incoming) => {
      collect(incoming, request.maxAnswerBytes, fail, (body) => {
        clearTimeout(deadline)
        resolve({ status: incoming.statusCode ?? 0, headers: plain(incoming.headers), body })
      })
    })
    outgoing.end(request.body)
  })
}

function withLength({ headers, body, method }: NetRequest): Record<string, string> {
  const bodiless = body === undefined && (method === 'GET' || method === 'HEAD')
  return bodiless ? { ...headers } : { ...headers, 'content-length': String(body?.length ?? 0) }
}

function collect(
  incoming: http.IncomingMessage,
  limit: number,
  fail: (error: unknown) => void,
  done: (body: Uint8Array) => void,
): void {
  const chunks: Buffer[] = []
  let length = 0
  incoming.on('data', (chunk: Buffer) => {
    length += chunk.length
    if (length > limit) {
      const error = new NetError('unknown', `the answer is longer than the limit of ${limit} bytes`)
      fail(error)
      incoming.destroy(error)
    } else {
      chunks.push(chunk)
    }
  })
  incoming.on('error', fail)
  incoming.on('end', () => done(new Uint8Array(Buffer.concat(chunks))))
}

function plain(headers: http.IncomingHttpHeaders): Record<string, string> {
  const all: Record<string, string> = {}
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined) all[name] = Array.isArray(value) ? value.join(', ') : value
  }
  return all
}

/** Before the connection stood, nothing was sent; after it, nobody can say what the peer did. */
function netError(error: unknown, connected: boolean, url: URL): NetError {
  if (error instanceof NetError) return error
  const text = error instanceof Error ? error.message : String(error)
  return new NetError(connected ? 'unknown' : 'refused', `${url.host}: ${text}`)
}

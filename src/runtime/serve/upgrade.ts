/** Edge: the WebSocket endpoints. Every refusal is an HTTP answer before the upgrade, so that a client can read why. */
import type { IncomingMessage, Server } from 'node:http'
import type { Duplex } from 'node:stream'
import { WebSocketServer } from 'ws'
import type { Env } from '../../core/env/env.ts'
import { MillraceError } from '../../errors.ts'
import { limits } from '../../limits.ts'
import type { Log } from '../../log/log.ts'
import { hostRefusal } from '../http/headers.ts'
import { TopicCursor } from './cursor.ts'
import { follow } from './follow.ts'
import type { Followers } from './followers.ts'
import type { LiveHub } from './live.ts'
import { askedBy } from './records.ts'
import { Client } from './socket.ts'

export interface UpgradeOptions {
  readonly env: Env
  readonly log: Log
  readonly followers: Followers
  readonly live: LiveHub
  /** Paths of websocket sinks, each with its topic. */
  readonly paths: readonly { readonly path: string; readonly topic: string }[]
  /** The address the server listens on. */
  readonly host: string
  /** Origins of other sites whose pages may connect, e.g. `https://shop.example`. */
  readonly origins: readonly string[]
}

/** Whether a request wants a WebSocket. Others offer HTTP/2 (Java does, always) and are to be answered as they are. */
export function isWebSocket({ headers }: IncomingMessage): boolean {
  return headers.upgrade?.toLowerCase() === 'websocket'
}

/** Takes the upgrades of a server. WebSockets at `/live`, at the sinks' paths, and at `/topics/<topic>/records`. */
export function serveUpgrades(server: Server, options: UpgradeOptions): void {
  const sockets = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    maxPayload: limits.followerMessageBytes,
    perMessageDeflate: false,
  })
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    // Until the upgrade is done nobody else listens, and an error without a listener would end the process.
    const onError = (): void => void socket.destroy()
    socket.on('error', onError)
    accept(sockets, options, request, socket, head)
      .catch((error: unknown) => refuse(socket, error))
      .finally(() => socket.off('error', onError))
  })
}

async function accept(
  sockets: WebSocketServer,
  options: UpgradeOptions,
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
): Promise<void> {
  checkCaller(options, request)
  const { pathname, searchParams } = new URL(request.url ?? '/', 'http://localhost')
  const topic = pathname === '/live' ? undefined : topicAt(options, pathname)
  const place = options.followers.join()
  try {
    const asked = askedBy(topic ?? '', Object.fromEntries(searchParams))
    const cursor = topic === undefined ? undefined : await TopicCursor.open(options.log, asked)
    let taken = false
    const gone = (): void => {
      // A follower closes its cursor itself.
      if (!taken) cursor?.close()
      place.leave()
    }
    if (socket.destroyed) return gone()
    // However it ends, also where the handshake turns out to be none and nobody ever becomes a client.
    socket.once('close', gone)
    sockets.handleUpgrade(request, socket, head, (webSocket) => {
      taken = true
      const client = new Client(options.env, webSocket, place.signal)
      if (cursor === undefined) options.live.join(client)
      else void follow(options.env, client, cursor, topic ?? '')
    })
  } catch (error) {
    place.leave()
    throw error
  }
}

/**
 * Browsers let any page connect anywhere and only tell from where. A page may if it came from this server or from a site on
 * the list; and a server that listens on this machine only answers to no other name, or a page could rename itself.
 */
function checkCaller({ host, origins }: UpgradeOptions, { headers }: IncomingMessage): void {
  const refusal = hostRefusal(host, headers.host)
  if (refusal !== undefined) throw new MillraceError(refusal.code, refusal.what)
  const { origin } = headers
  if (origin === undefined || origins.includes(origin)) return
  if (URL.canParse(origin) && new URL(origin).host === headers.host?.toLowerCase()) return
  throw new MillraceError('MR6031', `The page is from ${JSON.stringify(origin.slice(0, 100))}.`)
}

function topicAt({ paths }: UpgradeOptions, pathname: string): string {
  const served = paths.find(({ path }) => path === pathname)
  if (served !== undefined) return served.topic
  const named = /^\/topics\/([^/]{1,600})(\/records)?$/.exec(pathname)?.[1]
  if (named !== undefined) return decodeName(named)
  throw new MillraceError('MR6010', `There is no WebSocket at ${pathname.slice(0, 200)}.`)
}

function decodeName(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw new MillraceError('MR6010', `There is no topic "${text.slice(0, 200)}".`)
  }
}

const reasons: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  403: 'Forbidden',
  404: 'Not Found',
  421: 'Misdirected Request',
  503: 'Service Unavailable',
}

function refuse(socket: Duplex, error: unknown): void {
  const told =
    error instanceof MillraceError
      ? error
      : new MillraceError('MR6000', 'The WebSocket could not be opened.')
  const body = JSON.stringify({ error: told.toJSON() })
  const head = [
    `HTTP/1.1 ${told.status} ${reasons[told.status] ?? 'Internal Server Error'}`,
    'Content-Type: application/json; charset=utf-8',
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Connection: close',
  ]
  socket.on('error', () => socket.destroy())
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`)
}

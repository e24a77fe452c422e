/** What concerns connections and not requests: how many there may be, and answers to what is no proper HTTP. */
import type { Server } from 'node:http'
import type { Socket } from 'node:net'
import { MillraceError } from '../../errors.ts'
import type { ErrorCode } from '../../errors.ts'
import { limits } from '../../limits.ts'

/** For fastify's `clientErrorHandler`: a code of ours for what Node's parser refuses. */
export function answerClientError(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || socket.destroyed || !socket.writable) {
    socket.destroy()
    return
  }
  const refusal = clientRefusal(error.code ?? '')
  end(socket, new MillraceError(refusal.code, refusal.what))
}

function clientRefusal(code: string): { code: ErrorCode; what: string } {
  if (code === 'HPE_HEADER_OVERFLOW') {
    return { code: 'MR1037', what: `The headers have more than ${limits.headerBytes} bytes.` }
  }
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') {
    const what = `Headers have ${limits.headersTimeoutMs / 1000} s and a whole request ${limits.requestTimeoutMs / 1000} s to arrive.`
    return { code: 'MR1038', what }
  }
  return {
    code: 'MR1053',
    what: `The request cannot be read (${/^[A-Z_]{1,50}$/.test(code) ? code : 'unknown'}).`,
  }
}

/** Connections past the limit that are still told why, before the rest is dropped without a word. */
const toldConnections = 64

/** Answers connections past `most` with 503 and closes them. */
export function boundConnections(server: Server, most: number = limits.connections): void {
  let open = 0
  server.maxConnections = most + toldConnections
  server.on('connection', (socket: Socket) => {
    open++
    socket.once('close', () => open--)
    if (open > most)
      end(socket, new MillraceError('MR1040', `${most} connections are open; that is the limit.`))
  })
}

/** Long enough for the client to read the answer, whatever it was still sending. */
const lingerMs = 1_000

function end(socket: Socket, error: MillraceError): void {
  const { code, kind, message, status } = error
  const body = Buffer.from(JSON.stringify({ error: { code, kind, message } }))
  const head = [
    `HTTP/1.1 ${status} ${reasons[status] ?? 'Error'}`,
    'Content-Type: application/json; charset=utf-8',
    `Content-Length: ${body.length}`,
    ...(kind === 'unavailable' ? ['Retry-After: 1'] : []),
    'Connection: close',
  ]
  socket.on('error', () => socket.destroy())
  socket.setTimeout(lingerMs, () => socket.destroy())
  socket.end(Buffer.concat([Buffer.from(`${head.join('\r\n')}\r\n\r\n`), body]))
}

const reasons: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  408: 'Request Timeout',
  431: 'Request Header Fields Too Large',
  503: 'Service Unavailable',
}

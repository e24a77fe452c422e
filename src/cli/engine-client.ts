import { request } from 'node:http'
import type { IncomingMessage } from 'node:http'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { MillraceError, reviveError } from '../errors.ts'
import { socketName } from '../runtime/socket.ts'

/** Talks to the engine that runs on a data directory, through its socket. */
export interface EngineClient {
  /** Sends JSON and gives the JSON answer. Throws the engine's own error, or MR6003 when none runs. */
  call(
    method: 'GET' | 'POST' | 'DELETE',
    path: string,
    body?: unknown,
    /** For what may take long: without it an answer is waited for so long and no longer. */
    signal?: AbortSignal,
  ): Promise<unknown>
  /** Sends bytes as they are; gives status and JSON answer whatever the status. */
  send(
    path: string,
    headers: Readonly<Record<string, string>>,
    body: Uint8Array,
  ): Promise<SendAnswer>
  /** The answer's lines as they come. */
  lines(path: string, signal?: AbortSignal): AsyncIterable<string>
}

export interface SendAnswer {
  readonly status: number
  /** Seconds after which to send the same again; 0 where the answer does not say. */
  readonly retryAfter: number
  readonly body: unknown
}

const answerTimeoutMs = 60_000

export function engineClient(dataDir: string): EngineClient {
  return {
    call: async (method, path, body, signal) => {
      const bytes = body === undefined ? undefined : Buffer.from(JSON.stringify(body))
      const headers = { 'content-type': 'application/json' }
      const answer = await exchange(dataDir, { method, path, headers, body: bytes, signal })
      const json = await jsonOf(answer)
      if ((answer.statusCode ?? 500) >= 400) throw answerError(json, answer.statusCode ?? 500)
      return json
    },
    send: async (path, headers, body) => {
      const answer = await exchange(dataDir, {
        method: 'POST',
        path,
        headers,
        body: Buffer.from(body),
      })
      const retryAfter = Number(answer.headers['retry-after'] ?? 0)
      return { status: answer.statusCode ?? 500, retryAfter, body: await jsonOf(answer) }
    },
    lines: (path, signal) => linesOf(dataDir, path, signal),
  }
}

/** Whether an engine answers on this directory. A socket file alone may be what a killed one left. */
export async function isRunning(dataDir: string): Promise<boolean> {
  if (!existsSync(join(dataDir, 'admin.sock'))) return false
  try {
    await engineClient(dataDir).call('GET', '/admin/status')
    return true
  } catch (error) {
    if (error instanceof MillraceError && error.code === 'MR6003') return false
    throw error
  }
}

interface Exchange {
  readonly method: string
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: Buffer | undefined
  readonly signal?: AbortSignal | undefined
}

function exchange(
  dataDir: string,
  { method, path, body, signal, ...rest }: Exchange,
): Promise<IncomingMessage> {
  if (!existsSync(dataDir)) return Promise.reject(notRunning(dataDir))
  const name = socketName(dataDir)
  const headers = {
    host: 'localhost',
    ...(body === undefined ? {} : { ...rest.headers, 'content-length': body.length }),
  }
  return new Promise<IncomingMessage>((resolve, reject) => {
    const options = {
      socketPath: name.path,
      method,
      path,
      headers,
      ...(signal === undefined ? {} : { signal }),
    }
    const outgoing = request(options, resolve)
    outgoing.setTimeout(signal === undefined ? answerTimeoutMs : 0, () =>
      outgoing.destroy(new Error('no answer in time')),
    )
    outgoing.on('error', (error: NodeJS.ErrnoException) => {
      const gone =
        error.code === 'ENOENT' || error.code === 'ECONNREFUSED' || error.code === 'ECONNRESET'
      reject(gone ? notRunning(dataDir) : error)
    })
    outgoing.end(body)
  }).finally(() => name.release())
}

async function* linesOf(
  dataDir: string,
  path: string,
  signal: AbortSignal | undefined,
): AsyncIterable<string> {
  const answer = await exchange(dataDir, {
    method: 'GET',
    path,
    signal: signal ?? new AbortController().signal,
  })
  if ((answer.statusCode ?? 500) >= 400)
    throw answerError(await jsonOf(answer), answer.statusCode ?? 500)
  answer.setEncoding('utf8')
  let rest = ''
  try {
    for await (const chunk of answer as AsyncIterable<string>) {
      const lines = (rest + chunk).split('\n')
      rest = lines.pop() ?? ''
      yield* lines
    }
  } catch {
    if (signal?.aborted !== true)
      throw new MillraceError('MR6003', 'The engine went away while it was answering.')
  }
  if (rest !== '') yield rest
}

async function jsonOf(answer: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = []
  for await (const chunk of answer as AsyncIterable<Buffer>) chunks.push(chunk)
  const text = Buffer.concat(chunks).toString('utf8')
  if (text === '') return undefined
  try {
    return JSON.parse(text)
  } catch {
    return { message: text }
  }
}

function answerError(json: unknown, status: number): Error {
  const nested = field(json, 'error')
  const body = typeof nested === 'object' ? nested : json
  const code = field(body, 'code')
  const message = field(body, 'message')
  if (typeof code === 'string' && typeof message === 'string') return reviveError({ code, message })
  return new Error(typeof message === 'string' ? message : `the engine answered ${status}`)
}

function field(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null
    ? (value as Record<string, unknown>)[name]
    : undefined
}

function notRunning(dataDir: string): MillraceError {
  return new MillraceError('MR6003', `Nothing answers at ${join(dataDir, 'admin.sock')}.`)
}

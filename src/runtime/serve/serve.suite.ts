/** A served log on a free port and WebSocket clients of it, for the tests of this folder. */
import { EventEmitter, once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fastify } from 'fastify'
import { onTestFinished } from 'vitest'
import { WebSocket } from 'ws'
import { realEnv } from '../../core/env/real/index.ts'
import { MillraceError } from '../../errors.ts'
import { BlockBuilder } from '../../log/block.ts'
import { openEmbeddedLog } from '../../log/embedded/index.ts'
import type { LocalLog } from '../../log/embedded/index.ts'
import type { Writer } from '../../log/log.ts'
import type { TaskReport } from '../../process/runner.ts'
import { guardHost } from '../http/index.ts'
import { isWebSocket, serveRoutes } from './index.ts'
import type { ServeOptions } from './index.ts'

export const env = realEnv()
export const encoder = new TextEncoder()

interface Served {
  readonly url: string
  readonly log: LocalLog
  produce(topic: string, partition: number, values: readonly unknown[]): Promise<void>
  close(): Promise<void>
}

export async function serve(options: Partial<ServeOptions> = {}): Promise<Served> {
  const directory = mkdtempSync(join(tmpdir(), 'millrace-serve-'))
  const log = await openEmbeddedLog({ env, directory: join(directory, 'data') })
  await log.topics.create({ name: 'sales', kind: 'internal', partitions: 2 })
  await log.topics.create({ name: 'shop.dead-letters', kind: 'internal', partitions: 1 })
  await log.topics.create({ name: 'state', kind: 'changelog', partitions: 1 })
  const writer = await log.open('test')
  const app = fastify({ http: { shouldUpgradeCallback: isWebSocket } })
  app.setErrorHandler((error, _request, reply) => {
    const told = error instanceof MillraceError ? error : new MillraceError('MR6000', String(error))
    return reply.code(told.status).send({ error: told.toJSON() })
  })
  guardHost(app, '127.0.0.1', () => false)
  serveRoutes(app, {
    env,
    log,
    snapshot: async () => ({
      state: 'ready',
      version: '0',
      upMs: 1,
      notReady: [],
      tasks: [report('shop/main/0', 5)],
    }),
    outputs: ['sales'],
    deadLetters: ['shop.dead-letters'],
    paths: [{ path: '/live/sales', topic: 'sales' }],
    host: '127.0.0.1',
    origins: [],
    ...options,
  })
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  let open = true
  const close = async (): Promise<void> => {
    if (!open) return
    open = false
    await app.close()
    await log.stop()
    rmSync(directory, { recursive: true, force: true })
  }
  onTestFinished(close)
  return {
    url,
    log,
    close,
    produce: (topic, partition, values) => produce(writer, topic, partition, values),
  }
}

export async function produce(
  writer: Writer,
  topic: string,
  partition: number,
  values: readonly unknown[],
): Promise<void> {
  const block = new BlockBuilder()
  for (const [i, value] of values.entries()) {
    const bytes = value instanceof Uint8Array ? value : encoder.encode(JSON.stringify(value))
    block.add(1_000 + i, encoder.encode(`k${i}`), value === undefined ? undefined : bytes)
  }
  writer.append(topic, partition, block.finish(0), values.length)
  const { outcome } = await writer.commit()
  if (outcome !== 'committed') throw new Error(outcome)
}

export function report(id: string, read: number, more: Partial<TaskReport> = {}): TaskReport {
  const counters = {
    read,
    processed: read,
    deadLettered: 0,
    late: 0,
    skipped: 0,
    shed: 0,
    expired: 0,
    emitted: 0,
  }
  return {
    id,
    status: 'running',
    counters,
    lag: 1,
    watermark: undefined,
    stateKeys: 0,
    stateBytes: 0,
    ...more,
  }
}

export const linesIn = (text: string): Record<string, unknown>[] =>
  text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Record<string, unknown>)
export const offsetsIn = (lines: readonly Record<string, unknown>[]): unknown[] =>
  lines.map((line) => line['offset'])

/** A WebSocket and the messages it got. */
export class Listener {
  readonly socket: WebSocket
  readonly messages: Record<string, unknown>[] = []
  readonly #changed = new EventEmitter()
  closed: { code: number; reason: string } | undefined

  constructor(url: string, path: string, headers: Record<string, string> = {}) {
    this.socket = new WebSocket(`${url.replace('http', 'ws')}${path}`, { headers })
    onTestFinished(() => this.socket.terminate())
    this.socket.on('message', (data: Buffer) => {
      this.messages.push(JSON.parse(data.toString()) as Record<string, unknown>)
      this.#changed.emit('change')
    })
    this.socket.on('close', (code, reason) => {
      this.closed = { code, reason: reason.toString() }
      this.#changed.emit('change')
    })
  }

  get records(): Record<string, unknown>[] {
    return this.messages.flatMap(
      (message) => (message['records'] ?? []) as Record<string, unknown>[],
    )
  }

  async until(done: () => boolean): Promise<void> {
    while (!done()) await once(this.#changed, 'change')
  }
}

/** The status and error code with which an upgrade is refused. */
export async function refusal(
  url: string,
  path: string,
  headers: Record<string, string> = {},
): Promise<[number, string]> {
  const socket = new WebSocket(`${url.replace('http', 'ws')}${path}`, { headers })
  socket.on('error', () => {})
  const [, response] = (await once(socket, 'unexpected-response')) as [
    unknown,
    AsyncIterable<Buffer> & { statusCode: number },
  ]
  const chunks: Buffer[] = []
  for await (const chunk of response) chunks.push(chunk)
  const { error } = JSON.parse(Buffer.concat(chunks).toString()) as { error: { code: string } }
  return [response.statusCode, error.code]
}

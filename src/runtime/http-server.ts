import { chmodSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import type { Server } from 'node:http'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import { fastify } from 'fastify'
import type { FastifyInstance } from 'fastify'
import { MillraceError } from '../errors.ts'
import { limits } from '../limits.ts'
import type { Plan } from '../plan/plan.ts'
import { adminRoutes } from './admin/routes.ts'
import type { Engine } from './engine.ts'
import { observeEngine } from './facts.ts'
import {
  answerClientError,
  boundConnections,
  guardHost,
  ingestRoutes,
  wrongMethod,
} from './http/index.ts'
import type { IngestRoutesOptions } from './http/index.ts'
import { isWebSocket, serveRoutes } from './serve/index.ts'
import type { LiveSnapshot } from './serve/index.ts'
import { changelogsOf } from './snapshots.ts'
import { socketName } from './socket.ts'

export interface HttpServer {
  readonly url: string
  /** Takes no new connection, lets what is under way be answered for a while, then closes. */
  close(): Promise<void>
}

/** How long a client may take to send or to read, once the engine stops. */
const closeGraceMs = 5_000

/** Edge: everything the engine serves, on one port and on the socket in its data directory. Throws MR6001 or MR6002. */
export async function serveHttp(engine: Engine): Promise<HttpServer> {
  const { config } = engine.inputs
  const local = new WeakSet<Socket>()
  const pushes = engine.merged.ingests.filter(({ how }) => how === 'push')
  const topics = [...new Set(pushes.map(({ topic }) => topic))]
  const paths = pushes.flatMap(({ path, topic }) => (path === undefined ? [] : [{ path, topic }]))
  const app = newApp(paths)
  guardHost(app, config.host, (request) => local.has(request.socket))
  ingestRoutes(app, {
    env: engine.inputs.env,
    gateway: {
      topics: () => topics,
      refusal: (topic, producer) => engine.ingest.refusal(`ingest/${topic}`, producer),
      submit: (topic, request) => engine.ingest.submit(`ingest/${topic}`, request),
    },
    paths,
    limits: { receivingBytes: config.bodyBytes },
  })
  adminRoutes(app, {
    log: engine.log,
    timers: engine.inputs.env.timers,
    plans: () => engine.plans,
    status: () => engine.status(),
    reports: () => engine.reports.tasks(),
    pause: (target) => engine.steering.pause(target),
    resume: (target) => engine.steering.resume(target),
    snapshot: (target) => engine.snapshots.take(changelogsOf(engine.plans, target)),
    now: () => engine.inputs.env.clock.now(),
    overSocket: (request) => local.has(request.socket),
  })
  observeEngine(app, engine)
  serveRoutes(app, {
    env: engine.inputs.env,
    log: engine.log,
    snapshot: () => snapshotOf(engine),
    outputs: engine.plans.flatMap((plan) => namesOf(plan, 'output')),
    deadLetters: engine.plans.map((plan) => plan.deadLetters),
    paths: engine.plans.flatMap(({ delivers }) =>
      delivers.flatMap(({ servePath: path, topic }) =>
        path === undefined ? [] : [{ path, topic }],
      ),
    ),
    host: config.host,
    origins: config.allowedOrigins,
  })
  await listen(app, config.host, config.port)
  try {
    const socket = await listenOnSocket(app, config.dataDir, local)
    return {
      url: urlOf(app, config.host),
      close: async () => {
        const cancel = engine.inputs.env.timers.after(closeGraceMs, () => {
          for (const server of [app.server, socket]) server.closeAllConnections()
        })
        await Promise.all([app.close(), closeServer(socket)])
        cancel()
        rmSync(join(config.dataDir, 'admin.sock'), { force: true })
      },
    }
  } catch (error) {
    await app.close()
    throw error
  }
}

/** What the live page shows of an engine. */
async function snapshotOf(engine: Engine): Promise<LiveSnapshot> {
  const tasks = await engine.reports.tasks()
  const { state, version, upMs } = engine.status()
  return { state, version, upMs, tasks, notReady: engine.notReady(tasks) }
}

function namesOf(plan: Plan, role: Plan['topics'][number]['role']): string[] {
  return plan.topics.filter((topic) => topic.role === role).map(({ name }) => name)
}

function newApp(paths: IngestRoutesOptions['paths']): FastifyInstance {
  const app = fastify({
    bodyLimit: limits.bodyBytes,
    requestTimeout: limits.requestTimeoutMs,
    forceCloseConnections: 'idle',
    clientErrorHandler: answerClientError,
    routerOptions: { maxParamLength: 1_024 },
    http: {
      maxHeaderSize: limits.headerBytes,
      headersTimeout: limits.headersTimeoutMs,
      connectionsCheckingInterval: 1_000,
      shouldUpgradeCallback: isWebSocket,
    },
  })
  boundConnections(app.server)
  app.setErrorHandler((error, _request, reply) => {
    const told = asMillraceError(error)
    if (told.kind === 'unavailable') reply.header('retry-after', '1')
    return reply.code(told.status).send({ error: told.toJSON() })
  })
  app.setNotFoundHandler((request, reply) => {
    const wrong = wrongMethod(app, paths, request)
    if (wrong !== undefined) {
      return reply
        .code(wrong.error.status)
        .header('allow', wrong.allow)
        .send({ error: wrong.error.toJSON() })
    }
    const error = new MillraceError(
      'MR6010',
      `There is no ${request.method} ${request.url.slice(0, 200)}.`,
    )
    return reply.code(404).send({ error: error.toJSON() })
  })
  return app
}

/** What fastify itself refuses (a body that is no JSON, a bad URL) keeps its status and gets a code of ours. */
function asMillraceError(error: unknown): MillraceError {
  if (error instanceof MillraceError) return error
  const text = error instanceof Error ? error.message : String(error)
  const status =
    typeof error === 'object' && error !== null && 'statusCode' in error ? error.statusCode : 500
  const invalid = typeof status === 'number' && status < 500
  return new MillraceError(invalid ? 'MR6011' : 'MR6000', `${text}.`, { cause: error })
}

async function listen(app: FastifyInstance, host: string, port: number): Promise<void> {
  try {
    await app.listen({ host, port })
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined
    if (code === 'EADDRINUSE') {
      throw new MillraceError('MR6001', `${host}:${port} is already listened on.`, { cause: error })
    }
    if (code === 'EACCES' || code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND') {
      throw new MillraceError('MR6002', `${host}:${port} cannot be listened on (${code}).`, {
        cause: error,
      })
    }
    throw error
  }
}

/** The same routes over the socket in the data directory, for whoever may open its files. */
function listenOnSocket(
  app: FastifyInstance,
  dataDir: string,
  local: WeakSet<Socket>,
): Promise<Server> {
  const path = join(dataDir, 'admin.sock')
  // The directory's lock is held: a socket that is there is what a killed engine left.
  rmSync(path, { force: true })
  const server = createServer((request, response) => app.routing(request, response))
  server.on('connection', (socket) => local.add(socket))
  const name = socketName(dataDir)
  return new Promise((resolve, reject) => {
    server.once('error', (error) => {
      name.release()
      reject(error)
    })
    server.listen(name.path, () => {
      name.release()
      chmodSync(path, 0o600)
      resolve(server)
    })
  })
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve())
    server.closeIdleConnections()
  })
}

function urlOf(app: FastifyInstance, host: string): string {
  const address = app.server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  const name = host === '0.0.0.0' || host === '::' ? 'localhost' : host
  return `http://${name.includes(':') ? `[${name}]` : name}:${port}`
}

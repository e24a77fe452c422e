import { fastify } from 'fastify'
import type { FastifyInstance } from 'fastify'
import { MillraceError } from '../../errors.ts'
import { limits } from '../../limits.ts'
import { wrongMethod } from './ingest-routes.ts'
import type { IngestRoutesOptions } from './ingest-routes.ts'
import { answerClientError, boundConnections } from './server.ts'

export interface HttpAppOptions {
  /** Paths of http sources: what they do not serve is told apart from what is not there. */
  readonly paths: IngestRoutesOptions['paths']
  /** Open connections, default 4,096. */
  readonly connections?: number
  /** Time for the headers, and for the whole request, to arrive; milliseconds. */
  readonly headersTimeoutMs?: number
  readonly requestTimeoutMs?: number
}

/** The fastify instance that everything is served by, with the limits and the errors that all routes share. */
export function newHttpApp(options: HttpAppOptions): FastifyInstance {
  const app = fastify({
    bodyLimit: limits.bodyBytes,
    requestTimeout: options.requestTimeoutMs ?? limits.requestTimeoutMs,
    forceCloseConnections: 'idle',
    routerOptions: { maxParamLength: 1_024 },
    clientErrorHandler: answerClientError,
    http: {
      maxHeaderSize: limits.headerBytes,
      headersTimeout: options.headersTimeoutMs ?? limits.headersTimeoutMs,
      connectionsCheckingInterval: 1_000,
    },
  })
  boundConnections(app.server, options.connections ?? limits.connections)
  app.setErrorHandler((error, _request, reply) => {
    const told = asMillraceError(error)
    if (told.kind === 'unavailable') reply.header('retry-after', '1')
    return reply.code(told.status).send({ error: told.toJSON() })
  })
  app.setNotFoundHandler((request, reply) => {
    const wrong = wrongMethod(app, options.paths, request)
    if (wrong !== undefined) {
      return reply.code(405).header('allow', wrong.allow).send({ error: wrong.error.toJSON() })
    }
    const what = `There is no ${request.method} ${request.url.slice(0, 200)}.`
    return reply.code(404).send({ error: new MillraceError('MR6010', what).toJSON() })
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

/**
 * The routes that take events: POST /topics/<topic> and the path of each http source. The main thread only looks at
 * headers, receives the body within bounds, and hands it on as bytes; the answer comes back as bytes, after the commit.
 */
import type { IncomingMessage } from 'node:http'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Env } from '../../core/env/env.ts'
import { MillraceError } from '../../errors.ts'
import { errorAnswer, refusalAnswer } from '../../process/ingest-request.ts'
import type {
  IngestAnswer,
  IngestRequest,
  ProducerRef,
  Refusal,
} from '../../process/ingest-request.ts'
import { encodingOf, formatOf, producerOf } from './headers.ts'
import { passOver, Receiver, receiveLimits } from './receive.ts'
import type { ReceiveLimits } from './receive.ts'

/** The way to the ingest tasks, wherever they run. */
export interface IngestGateway {
  /** Names of the topics that take events. */
  topics(): readonly string[]
  /** Why a request would not be taken now, whatever is in it. */
  refusal(topic: string, producer: ProducerRef | undefined): Refusal | undefined
  /** Stores a body; the answer comes after the commit. Never rejects. Owns the body's memory from here on. */
  submit(topic: string, request: IngestRequest): Promise<IngestAnswer>
}

export interface IngestRoutesOptions {
  readonly env: Env
  readonly gateway: IngestGateway
  /** Paths of http sources, each with its topic. */
  readonly paths: readonly { readonly path: string; readonly topic: string }[]
  readonly limits?: Partial<ReceiveLimits>
}

/** Adds the ingest routes to a fastify instance; they share its server and its limits. */
export function ingestRoutes(app: FastifyInstance, options: IngestRoutesOptions): void {
  const receiver = new Receiver(options.env, { ...receiveLimits, ...options.limits })
  // A scope of its own: other routes keep fastify's parsers, these read the bytes themselves.
  app.register((scope, _options, done) => {
    scope.removeAllContentTypeParsers()
    scope.addContentTypeParser('*', (_request, _payload, parsed) => parsed(null))
    const config = { bringsEvents: true }
    scope.post<{ Params: { topic: string } }>('/topics/:topic', { config }, (request, reply) =>
      ingest(options, receiver, request, reply, request.params.topic),
    )
    for (const { path, topic } of options.paths) {
      scope.post(path, { config }, (request, reply) =>
        ingest(options, receiver, request, reply, topic),
      )
    }
    done()
  })
}

/** For the handler of what matches no route: the error where the path takes events, but not by this method. */
export function wrongMethod(
  app: FastifyInstance,
  paths: IngestRoutesOptions['paths'],
  request: { readonly method: string; readonly url: string },
): { readonly error: MillraceError; readonly allow: string } | undefined {
  const path = request.url.split('?', 1)[0] ?? ''
  const topic = /^\/topics\/[^/]+$/.test(path)
  if (request.method === 'POST' || (!topic && !paths.some((own) => own.path === path)))
    return undefined
  const pattern = topic ? '/topics/:topic' : path
  const allow = app.hasRoute({ method: 'GET', url: pattern }) ? 'GET, HEAD, POST' : 'POST'
  const what = `${request.method} ${path.slice(0, 200)} is not served.`
  return { error: new MillraceError('MR1036', what), allow }
}

async function ingest(
  options: IngestRoutesOptions,
  receiver: Receiver,
  request: FastifyRequest,
  reply: FastifyReply,
  topic: string,
): Promise<FastifyReply> {
  const answer = await answerTo(options, receiver, request, topic)
  if (answer === undefined) return reply.hijack()
  if (!request.raw.complete) passOver(request.raw)
  const { retryAfterSeconds } = answer
  if (retryAfterSeconds !== undefined) reply.header('retry-after', retryAfterSeconds)
  if (retryAfterSeconds !== undefined && answer.status === 429)
    reply.raw.once('finish', () => void leaveUnread(options.env, request.raw, retryAfterSeconds))
  const { buffer, byteOffset, length } = answer.body
  return reply
    .code(answer.status)
    .header('content-type', 'application/json; charset=utf-8')
    .send(Buffer.from(buffer, byteOffset, length))
}

/**
 * Does not read on from a connection that was told to come back later, for about as long as it was told. Who comes back at
 * once would otherwise be refused so often that nothing is left for those who are admitted. Not for the same time for all:
 * or they would all be read again at once.
 */
async function leaveUnread(
  env: Env,
  { socket }: IncomingMessage,
  retryAfterSeconds: number,
): Promise<void> {
  // Node itself reads on once the answer is out.
  await env.timers.yield()
  socket.pause()
  const share = (1 + env.random.float()) / 2
  env.timers.after(retryAfterSeconds * 1_000 * share, () => socket.resume())
}

/** Undefined when the client went away: there is nobody to answer. */
async function answerTo(
  { gateway }: IngestRoutesOptions,
  receiver: Receiver,
  request: FastifyRequest,
  topic: string,
): Promise<IngestAnswer | undefined> {
  const { headers } = request
  const topics = gateway.topics()
  if (!topics.includes(topic)) return refused(unknownTopic(topic, topics))
  const format = formatOf(headers['content-type'])
  if (typeof format === 'object') return refused(format)
  const encoding = encodingOf(headers['content-encoding'])
  if (typeof encoding === 'object') return refused(encoding)
  const producer = producerOf(headers)
  if (producer !== undefined && 'code' in producer) return refused(producer)
  const tooMany = gateway.refusal(topic, producer)
  if (tooMany !== undefined) return refused(tooMany)
  const body = await receiver.receive(request.raw, encoding)
  if (body === undefined) return undefined
  if ('code' in body) return refused(body)
  try {
    return await gateway.submit(
      topic,
      producer === undefined ? { body, format } : { body, format, producer },
    )
  } catch (error) {
    const what = `The ingest of ${topic} failed: ${String(error)}.`
    return errorAnswer(
      error instanceof MillraceError ? error : new MillraceError('MR6000', what, { cause: error }),
    )
  }
}

function refused({ code, what }: Refusal): IngestAnswer {
  return refusalAnswer(code, what)
}

const namedTopics = 20

function unknownTopic(topic: string, topics: readonly string[]): Refusal {
  const known = topics.slice(0, namedTopics).join(', ')
  const more = topics.length > namedTopics ? ` and ${topics.length - namedTopics} more` : ''
  const what =
    topics.length === 0 ? 'No topic takes events.' : `Events are taken by ${known}${more}.`
  return {
    code: 'MR1035',
    what: `Nothing takes events for ${JSON.stringify(topic.slice(0, 200))}. ${what}`,
  }
}

/** Topics over HTTP: NDJSON from an offset, once or followed. */
import { Readable } from 'node:stream'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Env } from '../../core/env/env.ts'
import { MillraceError } from '../../errors.ts'
import { limits } from '../../limits.ts'
import type { Log } from '../../log/log.ts'
import { goneLine, TopicCursor } from './cursor.ts'
import type { Followers } from './followers.ts'

export interface RecordRoutesOptions {
  readonly env: Env
  readonly log: Log
  readonly followers: Followers
}

interface Asked {
  readonly topic: string
  readonly partition: number | undefined
  readonly from: string
  readonly follow: boolean
  readonly limit: number
}

type RecordRequest = FastifyRequest<{
  Params: { topic: string }
  Querystring: Record<string, unknown>
}>

/**
 * GET /topics/<topic>/records (and /topics/<topic>): one JSON object per line with topic, partition, offset, timestamp, key
 * and value (`valueBase64` where the value is no JSON). `from`: `earliest` (default), `latest`, an offset, an ISO time or
 * `partition:offset,…`; `partition`, `follow=true`, `limit`. Where retention took records away, a line
 * `{"gone": {partition, from, earliest}}` says so. While following, an empty line comes now and then.
 */
export function recordRoutes(app: FastifyInstance, options: RecordRoutesOptions): void {
  const handler = (request: RecordRequest, reply: FastifyReply): Promise<FastifyReply> =>
    answer(options, request, reply)
  app.get('/topics/:topic/records', handler)
  app.get('/topics/:topic', handler)
}

async function answer(
  options: RecordRoutesOptions,
  request: RecordRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const asked = askedBy(request.params.topic, request.query)
  const place = options.followers.join()
  try {
    const cursor = await TopicCursor.open(options.log, asked)
    const lines = Readable.from(linesOf(options.env, cursor, asked, place.signal), {
      objectMode: false,
      highWaterMark: limits.followerBatchBytes,
    })
    const end = (): void => {
      place.leave()
      cursor.close()
    }
    lines.once('close', end)
    reply.raw.once('close', () => {
      place.leave()
      lines.destroy()
    })
    // A server that closes waits for connections that are kept alive, and a follower's ends only then.
    if (asked.follow) reply.header('connection', 'close')
    return await reply
      .type('application/x-ndjson; charset=utf-8')
      .header('cache-control', 'no-store')
      .header('x-content-type-options', 'nosniff')
      .send(lines)
  } catch (error) {
    place.leave()
    throw error
  }
}

async function* linesOf(
  env: Env,
  cursor: TopicCursor,
  asked: Asked,
  signal: AbortSignal,
): AsyncGenerator<string> {
  let left = asked.limit
  // Something at once: headers are sent with the first bytes, and a follower of a quiet topic should know that it is there.
  if (asked.follow) yield '\n'
  try {
    while (left > 0 && !signal.aborted) {
      const piece = cursor.next(limits.followerBatchBytes, left)
      if (piece.kind === 'records') {
        left -= piece.records.length
        yield `${piece.records.join('\n')}\n`
        // A long topic is read in turns with everything else this thread does.
        await env.timers.yield()
      } else if (piece.kind === 'gone') {
        yield `${goneLine(piece)}\n`
      } else if (!asked.follow) {
        return
      } else if (!(await newsWithin(env, cursor, limits.followerBeatMs, signal))) {
        yield '\n'
      }
    }
  } catch (error) {
    if (!(error instanceof MillraceError)) throw error
    yield `${JSON.stringify({ error: error.toJSON() })}\n`
  }
}

/** Waits for records; false when none came in time. */
export async function newsWithin(
  env: Env,
  cursor: TopicCursor,
  ms: number,
  signal: AbortSignal,
): Promise<boolean> {
  const stop = new AbortController()
  const onAbort = (): void => stop.abort()
  signal.addEventListener('abort', onAbort, { once: true })
  if (signal.aborted) stop.abort()
  const news = cursor.wait(stop.signal).then(() => true)
  const late = env.timers.sleep(ms, stop.signal).then(() => false)
  const came = await Promise.race([news, late])
  stop.abort()
  signal.removeEventListener('abort', onAbort)
  return came
}

export function askedBy(topic: string, query: Readonly<Record<string, unknown>>): Asked {
  const known = ['from', 'partition', 'follow', 'limit']
  const unknown = Object.keys(query).find((name) => !known.includes(name))
  if (unknown !== undefined)
    throw bad(`"${unknown}" is not a parameter; known are ${known.join(', ')}`)
  const text = (name: string): string | undefined => {
    const value = query[name]
    if (value === undefined || typeof value === 'string') return value
    throw bad(`"${name}" is given more than once`)
  }
  const whole = (name: string): number | undefined => {
    const value = text(name)
    if (value === undefined) return undefined
    if (!/^\d{1,15}$/.test(value))
      throw bad(`"${name}" is "${value.slice(0, 40)}" and must be a whole number`)
    return Number(value)
  }
  const follow = text('follow') ?? 'false'
  if (follow !== 'true' && follow !== 'false') throw bad('"follow" must be true or false')
  return {
    topic,
    partition: whole('partition'),
    from: text('from') ?? 'earliest',
    follow: follow === 'true',
    limit: whole('limit') ?? Infinity,
  }
}

function bad(what: string): MillraceError {
  return new MillraceError('MR6011', `${what}.`)
}

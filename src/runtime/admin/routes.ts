import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { MillraceError } from '../../errors.ts'
import { limits } from '../../limits.ts'
import type { TopicSpec, Writer } from '../../log/log.ts'
import type { Plan } from '../../plan/plan.ts'
import type { TaskReport } from '../../process/runner.ts'
import type { StandingSnapshot } from '../../state/snapshot.ts'
import type { EngineStatus } from '../status.ts'
import type { Steered } from '../steering.ts'
import { refusalOf } from './guard.ts'
import { ledgerOf } from './ledger.ts'
import {
  checkOpen,
  dropLetters,
  isReplayable,
  letterJson,
  nextLetters,
  openLetter,
  openLetters,
  replayLetters,
  resolvedLetters,
} from './letters.ts'
import type { Reading } from './scan.ts'
import { describeTopic, lagOf, listTopics, topicNamed } from './topics.ts'

/** What admin routes need of the engine. */
export interface AdminContext extends Reading {
  readonly plans: () => readonly Plan[]
  readonly status: () => EngineStatus
  readonly reports: () => Promise<readonly TaskReport[]>
  /** The target is a task's id, or that of a stage, sink, ingest or pipeline for all its tasks. */
  readonly pause: (target: string) => Steered
  readonly resume: (target: string) => Promise<Steered>
  /** Snapshots of what the target means, all without one, as they stand when this resolves. */
  readonly snapshot: (target?: string) => Promise<readonly StandingSnapshot[]>
  /** Wall clock, milliseconds. */
  readonly now: () => number
  readonly overSocket: (request: FastifyRequest) => boolean
}

type Query = Readonly<Record<string, string | undefined>>
type Body = Readonly<Record<string, unknown>>

/** Registers everything under /admin. Reading is open to whoever reaches the port; changing is for this machine only. */
export function adminRoutes(app: FastifyInstance, context: AdminContext): void {
  const guard = (request: FastifyRequest): void => {
    const why = refusalOf({
      overSocket: context.overSocket(request),
      remoteAddress: request.socket.remoteAddress,
      host: request.headers.host,
      origin: request.headers.origin,
    })
    if (why !== undefined) throw new MillraceError('MR6009', why)
  }
  app.get('/admin/status', () => context.status())
  app.get('/admin/plan', () => context.plans())
  app.get('/admin/tasks', async () => ({ tasks: await context.reports() }))
  app.get('/admin/ledger', () => ledgerOf(context.log, context.plans()))
  app.get('/admin/lag', () => lagOf(context.log, context.plans()))
  for (const action of ['pause', 'resume'] as const) {
    app.post(`/admin/${action}`, async (request) => {
      guard(request)
      return context[action](textIn(bodyOf(request), 'target'))
    })
  }
  app.post('/admin/snapshot', async (request) => {
    guard(request)
    const body = bodyOf(request)
    const target = body['target'] === undefined ? undefined : textIn(body, 'target')
    return { snapshots: await context.snapshot(target) }
  })
  topicRoutes(app, context, guard)
  letterRoutes(app, context, guard)
}

type Guard = (request: FastifyRequest) => void

function topicRoutes(app: FastifyInstance, { log, plans }: AdminContext, guard: Guard): void {
  app.get('/admin/topics', () => listTopics(log))
  app.get<{ Params: { name: string } }>('/admin/topics/:name', (request) =>
    describeTopic(log, request.params.name),
  )
  app.post('/admin/topics', async (request, reply) => {
    guard(request)
    const created = await log.topics.create(topicSpec(bodyOf(request)))
    return reply.code(201).send(created)
  })
  app.delete<{ Params: { name: string } }>(
    '/admin/topics/:name',
    async (request, reply: FastifyReply) => {
      guard(request)
      const topic = await topicNamed(log, request.params.name)
      if (topic.kind !== 'user') {
        throw new MillraceError(
          'MR6011',
          `"${topic.name}" is a topic of kind ${topic.kind}, which belongs to its pipeline.`,
        )
      }
      const user = plans().find(({ topics }) => topics.some(({ name }) => name === topic.name))
      if (user !== undefined) {
        throw new MillraceError('MR6014', `"${topic.name}" is used by pipeline ${user.pipeline}.`)
      }
      await log.topics.delete(topic.name)
      return reply.code(204).send()
    },
  )
}

function letterRoutes(app: FastifyInstance, context: AdminContext, guard: Guard): void {
  app.get('/admin/dlq', async () => {
    const all = []
    for (const plan of context.plans()) {
      const { open } = await openLetters(context, plan, { from: 0, limit: 0 })
      all.push({ pipeline: plan.pipeline, topic: plan.deadLetters, open })
    }
    return all
  })
  app.get<{ Params: { pipeline: string }; Querystring: Query }>(
    '/admin/dlq/:pipeline',
    async (request) => {
      const plan = planNamed(context, request.params.pipeline)
      const query = {
        from: numberIn(request.query, 'from', 0),
        limit: Math.min(numberIn(request.query, 'limit', 100), 1_000),
      }
      const { letters, open } = await openLetters(context, plan, query)
      return { open, letters: letters.map(letterJson) }
    },
  )
  app.get<{ Params: { pipeline: string; offset: string } }>(
    '/admin/dlq/:pipeline/:offset',
    async (request) => {
      const plan = planNamed(context, request.params.pipeline)
      return letterJson(await openLetter(context, plan, Number(request.params.offset)))
    },
  )
  const resolving = new Resolving(context)
  for (const how of ['replay', 'drop'] as const) {
    app.post<{ Params: { pipeline: string } }>(`/admin/dlq/:pipeline/${how}`, async (request) => {
      guard(request)
      const plan = planNamed(context, request.params.pipeline)
      const { offsets, all } = bodyOf(request)
      const some = isOffsets(offsets) ? offsets : undefined
      if (some === undefined && all !== true) {
        throw new MillraceError(
          'MR6011',
          'The body names neither "offsets" (a list of numbers) nor "all": true.',
        )
      }
      return resolving.run(how, plan, some)
    })
  }
}

interface Resolved {
  readonly done: number
  /** Letters that cannot be replayed, where there are any. */
  readonly left?: number
}

/** One at a time, in batches, each with a writer of its own: an operator's command is rare. */
class Resolving {
  readonly #context: AdminContext
  #last: Promise<unknown> = Promise.resolve()

  constructor(context: AdminContext) {
    this.#context = context
  }

  run(
    how: 'replay' | 'drop',
    plan: Plan,
    offsets: readonly number[] | undefined,
  ): Promise<Resolved> {
    const mine = this.#last.then(() => this.#run(how, plan, offsets))
    this.#last = mine.catch(() => undefined)
    return mine
  }

  async #run(
    how: 'replay' | 'drop',
    plan: Plan,
    offsets: readonly number[] | undefined,
  ): Promise<Resolved> {
    const { log, now } = this.#context
    const resolved = await resolvedLetters(this.#context, plan)
    if (offsets !== undefined) await checkOpen(this.#context, plan, resolved, offsets)
    const writer: Writer = await log.open('admin')
    const act = how === 'replay' ? replayLetters : dropLetters
    // What fails again becomes a letter behind this point, which is left alone.
    const [end] = await log.topics.offsets(plan.deadLetters)
    const before = end?.next ?? 0
    let done = 0
    let left = 0
    try {
      for (let from = 0; ;) {
        const query = { from, before, limit: 100, ...(offsets === undefined ? {} : { offsets }) }
        const letters = await nextLetters(this.#context, plan, resolved, query)
        const last = letters.at(-1)
        if (last === undefined) return left === 0 ? { done } : { done, left }
        // Of all letters those are meant that can be replayed; named ones are refused instead.
        const meant =
          how === 'replay' && offsets === undefined
            ? letters.filter((letter) => isReplayable(plan, letter))
            : letters
        left += letters.length - meant.length
        done += await act({ log, writer, plan, now: now() }, meant)
        from = last.offset + 1
      }
    } finally {
      await writer.close()
    }
  }
}

function planNamed(context: AdminContext, name: string): Plan {
  const plan = context.plans().find((one) => one.pipeline === name)
  if (plan !== undefined) return plan
  throw new MillraceError('MR6010', `There is no pipeline "${name}".`)
}

/** A topic that a person creates; its name and partitions are checked by the log. */
function topicSpec(body: Body): TopicSpec {
  const retentionMs = optionalNumber(body, 'retentionMs')
  const retentionBytes = optionalNumber(body, 'retentionBytes')
  const name = textIn(body, 'name')
  const partitions = optionalNumber(body, 'partitions') ?? 8
  // As for the topics of pipelines: a change of the count then moves whole key ranges.
  if (!Number.isInteger(Math.log2(partitions))) {
    throw new MillraceError('MR2012', `"${name}" would have ${partitions} partitions.`)
  }
  return {
    name,
    kind: 'user',
    partitions,
    ...(retentionMs === undefined ? {} : { retentionMs }),
    ...(retentionBytes === undefined ? {} : { retentionBytes }),
  }
}

function bodyOf(request: FastifyRequest): Body {
  const { body } = request
  if (typeof body === 'object' && body !== null && !Array.isArray(body)) return body as Body
  throw new MillraceError('MR6011', 'The body is not a JSON object.')
}

function textIn(body: Body, name: string): string {
  const value = body[name]
  if (typeof value === 'string' && value !== '' && value.length <= limits.topicNameBytes * 4)
    return value
  throw new MillraceError('MR6011', `The body has no text "${name}".`)
}

function optionalNumber(body: Body, name: string): number | undefined {
  const value = body[name]
  if (value === undefined) return undefined
  if (typeof value === 'number' && Number.isFinite(value) && value >= 0) return value
  throw new MillraceError(
    'MR6011',
    `"${name}" in the body is ${JSON.stringify(value)}, not a number from 0.`,
  )
}

function numberIn(query: Query, name: string, fallback: number): number {
  const text = query[name]
  const value = text === undefined ? fallback : Number(text)
  if (Number.isSafeInteger(value) && value >= 0) return value
  throw new MillraceError('MR6011', `?${name}=${text ?? ''} is not a whole number from 0.`)
}

function isOffsets(value: unknown): value is number[] {
  return (
    Array.isArray(value) &&
    value.length > 0 &&
    value.length <= 10_000 &&
    value.every((one) => Number.isSafeInteger(one))
  )
}

import { realEnv } from '../core/env/real/index.ts'
import { MillraceError } from '../errors.ts'
import { limits } from '../limits.ts'
import { openReadOnly } from '../log/embedded/index.ts'
import type { Log } from '../log/log.ts'
import type { Plan } from '../plan/plan.ts'
import { letterJson, openLetter, openLetters } from '../runtime/admin/letters.ts'
import { describeTopic, lagOf, listTopics } from '../runtime/admin/topics.ts'
import { readPlans } from '../runtime/plans.ts'
import { goneLine, TopicCursor } from '../runtime/serve/cursor.ts'
import type { Access, TailQuery } from './access.ts'

/** Reads a data directory that no engine runs on, and changes nothing in it. Throws what the log refuses (MR2xxx). */
export function directoryAccess(dataDir: string): Access {
  const env = realEnv()
  const log = openReadOnly(env, dataDir)
  const reading = { log, timers: env.timers }
  const plans = readPlans(env, dataDir)
  const named = (pipeline: string): Plan => {
    const plan = plans.find((one) => one.pipeline === pipeline)
    if (plan !== undefined) return plan
    throw new MillraceError('MR6010', `No pipeline "${pipeline}" ran last on ${dataDir}.`)
  }
  return {
    kind: 'directory',
    topics: () => listTopics(log),
    topic: (name) => describeTopic(log, name),
    lag: () => lagOf(log, plans),
    deadLetters: () =>
      Promise.all(
        plans.map(async (plan) => {
          const { open } = await openLetters(reading, plan, { from: 0, limit: 0 })
          return { pipeline: plan.pipeline, topic: plan.deadLetters, open }
        }),
      ),
    letters: async (pipeline, query) => {
      const { open, letters } = await openLetters(reading, named(pipeline), query)
      return { open, letters: letters.map(letterJson) }
    },
    letter: async (pipeline, offset) =>
      letterJson(await openLetter(reading, named(pipeline), offset)),
    tail: (query, signal) => tailOf(log, query, signal),
    close: () => {
      log.close()
      return Promise.resolve()
    },
  }
}

async function* tailOf(log: Log, query: TailQuery, signal: AbortSignal): AsyncIterable<string> {
  const { topic, from, follow } = query
  if (follow)
    throw new MillraceError('MR6003', 'Without an engine nothing new will come to follow.')
  const cursor = await TopicCursor.open(log, { topic, from, partition: undefined })
  try {
    while (!signal.aborted) {
      const piece = cursor.next(limits.followerBatchBytes)
      if (piece.kind === 'end') return
      if (piece.kind === 'gone') yield goneLine(piece)
      else yield* piece.records
    }
  } finally {
    cursor.close()
  }
}

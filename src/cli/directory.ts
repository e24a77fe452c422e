import { realEnv } from '../core/env/real/index.ts'
import { MillraceError } from '../errors.ts'
import { openReadOnly } from '../log/embedded/index.ts'
import type { Log } from '../log/log.ts'
import type { Plan } from '../plan/plan.ts'
import { letterJson, openLetter, openLetters } from '../runtime/admin/letters.ts'
import { recordJson, scan } from '../runtime/admin/scan.ts'
import {
  describeTopic,
  lagOf,
  listTopics,
  startOffset,
  topicNamed,
} from '../runtime/admin/topics.ts'
import { readPlans } from '../runtime/plans.ts'
import type { Access, TailQuery } from './access.ts'

/** Reads a data directory that no engine runs on, and changes nothing in it. Throws what the log refuses (MR2xxx). */
export function directoryAccess(dataDir: string): Access {
  const env = realEnv()
  const log = openReadOnly(env, dataDir)
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
          const { open } = await openLetters(log, plan, { from: 0, limit: 0 })
          return { pipeline: plan.pipeline, topic: plan.deadLetters, open }
        }),
      ),
    letters: async (pipeline, query) => {
      const { open, letters } = await openLetters(log, named(pipeline), query)
      return { open, letters: letters.map(letterJson) }
    },
    letter: async (pipeline, offset) => letterJson(await openLetter(log, named(pipeline), offset)),
    tail: (query, signal) => tailOf(log, query, signal),
    close: () => {
      log.close()
      return Promise.resolve()
    },
  }
}

/** How many lines are held at once; more are read when these are written. */
const chunk = 1_000

/** Partition after partition: without an engine there is no order of arrival to show. */
async function* tailOf(log: Log, query: TailQuery, signal: AbortSignal): AsyncIterable<string> {
  if (query.follow)
    throw new MillraceError('MR6003', 'Without an engine nothing new will come to follow.')
  const { partitions } = await topicNamed(log, query.topic)
  for (let partition = 0; partition < partitions; partition++) {
    let from = await startOffset(log, query.topic, partition, query.from)
    for (let more = true; more && !signal.aborted;) {
      const lines: string[] = []
      more = false
      await scan(log, { topic: query.topic, partition, from }, (record) => {
        lines.push(JSON.stringify(recordJson(query.topic, record)))
        from = record.offset + 1
        more = lines.length === chunk
        return !more
      })
      yield* lines
    }
  }
}

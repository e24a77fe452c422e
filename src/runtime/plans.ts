import { isDeepStrictEqual } from 'node:util'
import type { Env } from '../core/env/env.ts'
import { MillraceError, reviveError } from '../errors.ts'
import type { Log, TopicInfo, TopicSpec } from '../log/log.ts'
import { mergePlans } from '../plan/index.ts'
import type { Plan } from '../plan/plan.ts'
import { holdsJson, readJson, saveJson } from './data-files.ts'
import type { Planned } from './messages.ts'
import type { PipelineStatus } from './status.ts'

/** Which pipelines run, and which do not and why. */
export interface Admitted {
  readonly plans: readonly Plan[]
  readonly modules: readonly {
    readonly url: string
    readonly pipeline: string
    readonly hash: string
  }[]
  readonly pipelines: readonly PipelineStatus[]
}

/** Takes the plans that fit together, in the order they were named: one that contradicts an earlier one is refused alone. */
export function admitPlans(planned: readonly Planned[]): Admitted {
  const plans: Plan[] = []
  const modules: { url: string; pipeline: string; hash: string }[] = []
  const pipelines: PipelineStatus[] = []
  for (const one of planned) {
    const { url } = one
    if ('error' in one) {
      pipelines.push({ name: url, url, state: 'failed', planHash: undefined, error: one.error })
      continue
    }
    const { plan } = one
    try {
      mergePlans([...plans, plan])
    } catch (error) {
      pipelines.push(refused(plan, url, error))
      continue
    }
    plans.push(plan)
    modules.push({ url, pipeline: plan.pipeline, hash: plan.hash })
    pipelines.push({
      name: plan.pipeline,
      url,
      state: 'running',
      planHash: plan.hash,
      error: undefined,
    })
  }
  return { plans, modules, pipelines }
}

/**
 * Creates what the plans need and is not there; schema and retention of what is there become those of the plans. A pipeline
 * whose topics cannot be had is left out, alone.
 */
export async function createTopics(log: Log, admitted: Admitted): Promise<Admitted> {
  const failed = new Map<string, unknown>()
  const there = new Map((await log.topics.list()).map((topic) => [topic.name, topic]))
  for (const { role: _, ...spec } of mergePlans(admitted.plans).topics) {
    try {
      const old = there.get(spec.name)
      checkSameKey(spec, old)
      // A start that changes nothing asks once, and not for every topic.
      if (old !== undefined && isDeepStrictEqual(asStored({ ...spec, id: old.id }), old)) continue
      await log.topics.create(spec, { change: true })
    } catch (error) {
      const users = admitted.plans.filter(({ topics }) =>
        topics.some(({ name }) => name === spec.name),
      )
      for (const { pipeline } of users) failed.set(pipeline, error)
    }
  }
  return {
    plans: admitted.plans.filter(({ pipeline }) => !failed.has(pipeline)),
    modules: admitted.modules.filter(({ pipeline }) => !failed.has(pipeline)),
    pipelines: admitted.pipelines.map((status) => {
      const plan = admitted.plans.find(({ pipeline }) => pipeline === status.name)
      if (plan === undefined || !failed.has(status.name)) return status
      return refused(plan, status.url, failed.get(status.name))
    }),
  }
}

/** Through JSON, as the log stores it. */
const asStored = (topic: TopicInfo): unknown => JSON.parse(JSON.stringify(topic))

/** Records lie in the partition of their key: with another key their order, and what belongs together, would be lost. */
function checkSameKey(spec: TopicSpec, there: TopicSpec | undefined): void {
  const [old, key] = [there?.labels?.['key'], spec.labels?.['key']]
  if (old === key || there?.labels === undefined) return
  const text = (path: unknown): string => (typeof path === 'string' ? `the key ${path}` : 'no key')
  throw new MillraceError(
    'MR2010',
    `Topic "${spec.name}" was made with ${text(old)} and would have ${text(key)}.`,
  )
}

/** What the first pipeline that does not run says; where none was named, MR6013. */
export function nothingRuns(pipelines: readonly PipelineStatus[]): MillraceError {
  const error = pipelines.find((pipeline) => pipeline.error !== undefined)?.error
  return error === undefined
    ? new MillraceError('MR6013', 'No pipeline file was named.')
    : reviveError(error)
}

function refused(plan: Plan, url: string, error: unknown): PipelineStatus {
  const told =
    error instanceof MillraceError
      ? error
      : new MillraceError('MR6000', `${String(error)}.`, { cause: error })
  return { name: plan.pipeline, url, state: 'failed', planHash: plan.hash, error: told.toJSON() }
}

const fileName = 'plans.json'

/** Keeps the plans beside the log, so that commands can read a directory no engine runs on. */
export function savePlans(env: Pick<Env, 'disk'>, dataDir: string, plans: readonly Plan[]): void {
  // A restart after a crash should not wait for the disk to say again what it says already.
  if (!holdsJson(env, dataDir, fileName, plans)) saveJson(env, dataDir, fileName, plans)
}

/** The plans of the last engine that ran here; none where there was none. Throws MR6016 where they are damaged. */
export function readPlans(env: Pick<Env, 'disk'>, dataDir: string): readonly Plan[] {
  const plans = readJson(env, dataDir, fileName) ?? []
  // Written by savePlans, whole or not at all.
  if (Array.isArray(plans)) return plans as readonly Plan[]
  throw new MillraceError('MR6016', `${dataDir}/${fileName} has no list of plans.`)
}

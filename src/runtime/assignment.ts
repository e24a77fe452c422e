import type { Plan } from '../plan/plan.ts'

/** All tasks of one runner (an ingest, a stage, a deliver) that live on one worker. */
export interface RunnerShare {
  readonly kind: 'ingest' | 'stage' | 'deliver'
  /** The ingest's, stage's or deliver's id in the plan. */
  readonly id: string
  /** The pipeline that defines it; for an ingest the first one that declares its topic. */
  readonly pipeline: string
  readonly partitions: readonly number[]
}

/** One entry per worker slot. */
export type Assignment = readonly (readonly RunnerShare[])[]

interface Unit {
  readonly kind: RunnerShare['kind']
  readonly id: string
  readonly pipeline: string
  readonly partitions: number
}

/**
 * Spreads the tasks of all plans over the workers. The same plans and the same number of workers give the same answer, so
 * that a restart finds every task where it was. The tasks of one stage differ by at most one between workers. A deliver
 * stays whole: one writer per sink makes one transaction of what two would make two of.
 */
export function assign(plans: readonly Plan[], workers: number): Assignment {
  const loads = new Array<number>(workers).fill(0)
  const shares: RunnerShare[][] = loads.map(() => [])
  for (const unit of unitsOf(plans)) {
    const owned: number[][] = loads.map(() => [])
    const groups =
      unit.kind === 'deliver' ? [range(unit.partitions)] : range(unit.partitions).map((p) => [p])
    for (const group of groups) {
      const slot = leastLoaded(owned, loads)
      owned[slot]?.push(...group)
      loads[slot] = (loads[slot] ?? 0) + group.length
    }
    owned.forEach((partitions, slot) => {
      const { kind, id, pipeline } = unit
      if (partitions.length > 0) shares[slot]?.push({ kind, id, pipeline, partitions })
    })
  }
  return shares
}

/** An ingest that several pipelines declare runs once. */
function unitsOf(plans: readonly Plan[]): Unit[] {
  const units: Unit[] = []
  const seen = new Set<string>()
  for (const plan of plans) {
    const of = (kind: Unit['kind'], id: string, partitions: number): void => {
      if (!seen.has(id)) units.push({ kind, id, pipeline: plan.pipeline, partitions })
      seen.add(id)
    }
    for (const ingest of plan.ingests) of('ingest', ingest.id, ingest.partitions)
    for (const stage of plan.stages) of('stage', stage.id, stage.partitions)
    for (const deliver of plan.delivers) {
      if (deliver.servePath === undefined) of('deliver', deliver.id, deliver.partitions)
    }
  }
  return units
}

/** Fewest tasks of this runner, then fewest in all, then the lowest number. */
function leastLoaded(owned: readonly (readonly number[])[], loads: readonly number[]): number {
  let best = 0
  for (let slot = 1; slot < loads.length; slot++) {
    const mine = (owned[slot]?.length ?? 0) - (owned[best]?.length ?? 0)
    if (mine < 0 || (mine === 0 && (loads[slot] ?? 0) < (loads[best] ?? 0))) best = slot
  }
  return best
}

const range = (count: number): number[] => Array.from({ length: count }, (_, i) => i)

import type { MergedPlan } from '../plan/merge.ts'

/** All tasks of one runner (an ingest, a stage, a deliver) that live on one worker. */
export interface RunnerShare {
  readonly kind: 'ingest' | 'stage' | 'deliver'
  /** The ingest's, stage's or deliver's id in the plan. */
  readonly id: string
  /** The pipeline whose definition it runs by; for an ingest that several declare, one of them. */
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
 * Spreads the tasks of all pipelines over the workers. The same plans and the same number of workers give the same answer, so
 * that a restart finds every task where it was. The tasks of one stage differ by at most one between workers. A deliver
 * stays whole: one writer per sink makes one transaction of what two would make two of.
 */
export function assign(merged: MergedPlan, workers: number): Assignment {
  const loads = new Array<number>(workers).fill(0)
  const shares: RunnerShare[][] = loads.map(() => [])
  for (const unit of unitsOf(merged)) {
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

function unitsOf({ plans, ingests }: MergedPlan): Unit[] {
  const units: Unit[] = ingests.map(({ id, pipeline, partitions }) => ({
    kind: 'ingest',
    id,
    pipeline,
    partitions,
  }))
  for (const { pipeline, stages, delivers } of plans) {
    for (const { id, partitions } of stages) units.push({ kind: 'stage', id, pipeline, partitions })
    for (const { id, partitions, servePath } of delivers) {
      // Main serves those from the topic itself.
      if (servePath === undefined) units.push({ kind: 'deliver', id, pipeline, partitions })
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

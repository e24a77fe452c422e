import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Plan } from '../plan/plan.ts'
import { mergePlans } from '../plan/index.ts'
import { assign as assignMerged } from './assignment.ts'
import type { Assignment } from './assignment.ts'

const assign = (plans: readonly Plan[], workers: number): Assignment =>
  assignMerged(mergePlans(plans), workers)

function planOf(pipeline: string, stages: readonly number[], delivers: readonly number[]): Plan {
  return {
    pipeline,
    mode: 'exactly-once',
    topics: [],
    ingests: [],
    stages: stages.map((partitions, i) => ({
      id: `${pipeline}/s${i}`,
      partitions,
      inputs: [],
      nodes: [],
      outputs: [],
      stores: [],
    })),
    delivers: delivers.map((partitions, i) => ({
      id: `${pipeline}/d${i}`,
      node: 0,
      topic: 't',
      partitions,
      kind: 'memory',
      describe: '',
      guarantee: 'idempotent',
      hold: { ms: 1, bytes: 1 },
    })),
    deadLetters: `${pipeline}.dead-letters`,
    nodes: [],
    hash: '0',
  }
}

const counts = fc.array(fc.integer({ min: 1, max: 40 }), { maxLength: 6 })

describe('assign', () => {
  it('gives every task to exactly one worker, whatever the plans and workers', () => {
    fc.assert(
      fc.property(counts, counts, fc.integer({ min: 1, max: 9 }), (stages, delivers, workers) => {
        const plans = [planOf('a', stages, delivers), planOf('b', delivers, stages)]
        const tasks = assign(plans, workers).flatMap((shares) =>
          shares.flatMap(({ id, partitions }) => partitions.map((p) => `${id}/${p}`)),
        )
        const expected = plans.flatMap((plan) =>
          [...plan.stages, ...plan.delivers].flatMap(({ id, partitions }) =>
            Array.from({ length: partitions }, (_, p) => `${id}/${p}`),
          ),
        )
        expect(tasks.toSorted()).toEqual(expected.toSorted())
      }),
    )
  })

  it('spreads the tasks of a stage evenly, and keeps a sink whole', () => {
    fc.assert(
      fc.property(counts, counts, fc.integer({ min: 1, max: 9 }), (stages, delivers, workers) => {
        const plan = planOf('a', stages, delivers)
        const assignment = assign([plan], workers)
        const sizesOf = (id: string): number[] =>
          assignment.map(
            (shares) => shares.find((share) => share.id === id)?.partitions.length ?? 0,
          )
        for (const { id } of plan.stages) {
          expect(Math.max(...sizesOf(id)) - Math.min(...sizesOf(id))).toBeLessThanOrEqual(1)
        }
        for (const { id } of plan.delivers)
          expect(sizesOf(id).filter((size) => size > 0)).toHaveLength(1)
      }),
    )
  })

  it('runs an ingest that two pipelines share once, and none for a sink that main serves', () => {
    const ingest = {
      id: 'ingest/events',
      topic: 'events',
      node: 0,
      how: 'push',
      partitions: 8,
      onInvalid: 'refuse',
      describe: '',
      replay: 'resends',
    } as const
    const served = planOf('b', [], [4])
    const plans = [
      { ...planOf('a', [], []), ingests: [ingest] },
      {
        ...served,
        ingests: [ingest],
        delivers: served.delivers.map((d) => ({ ...d, servePath: '/live' })),
      },
    ]
    const shares = assign(plans, 2).flat()
    expect(shares.map(({ id, pipeline }) => `${pipeline}: ${id}`)).toEqual([
      'a: ingest/events',
      'a: ingest/events',
    ])
    expect(shares.flatMap(({ partitions }) => partitions).toSorted((a, b) => a - b)).toEqual([
      0, 1, 2, 3, 4, 5, 6, 7,
    ])
  })
})

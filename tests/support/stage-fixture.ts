/** A small stream of `{ id, n }`, and what came of it. */
import type { OnError, PipelineDefinition } from '../../src/index.ts'
import { pipeline } from '../../src/index.ts'
import { StageWorld } from './stage-world.ts'
import type { WorldOptions } from './stage-world.ts'

export const base = Date.UTC(2024, 0, 1)
export const Event = {
  type: 'object',
  properties: { id: { type: 'string' }, n: { type: 'number' }, page: { type: 'string' } },
  required: ['id', 'n'],
} as const
export type Row = { id: string; n: number; page?: string }

export interface Letter {
  readonly [name: string]: unknown
  readonly code: string
  readonly operator: string
  readonly node: number
  readonly raw: string
}

export const row = (id: string, n: number, timestamp = base) => ({
  partition: Number(id[1]) % 2,
  timestamp,
  key: id,
  value: { id, n },
})

export function withMap(
  fn: (row: Row) => object,
  options: { onError?: OnError; retries?: number } = {},
): PipelineDefinition {
  return pipeline('p', { partitions: 2 }, (p) => {
    p.stream('events', { schema: Event, key: 'id' })
      .map(fn as (row: Row) => { id: string }, { name: 'mapped', ...options })
      .to(p.topic('out'))
  })
}

export async function ran(
  definition: PipelineDefinition,
  records: ReturnType<typeof row>[],
  options: WorldOptions = {},
) {
  const world = new StageWorld(definition, options)
  await world.produce('events', records)
  await world.drain()
  const letters = (await world.read('p.dead-letters')).map(({ value }) => value as Letter)
  const out = (await world.read('out')).map(({ value }) => value)
  return { world, letters, out }
}

export function totals(world: StageWorld): Record<string, number> {
  const sums: Record<string, number> = {}
  for (const { counters } of world.reports()) {
    for (const [name, value] of Object.entries(counters))
      if (value > 0) sums[name] = (sums[name] ?? 0) + value
  }
  return sums
}

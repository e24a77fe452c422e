import { expect, test } from 'vitest'
import { Simulation } from '../core/env/simulated/index.ts'
import { limits } from '../limits.ts'
import { controlBytes } from '../log/block.ts'
import type { Writer } from '../log/log.ts'
import type { PipelineDefinition } from '../pipeline/definition.ts'
import type { StagePlan } from '../plan/plan.ts'
import type { BuiltStage } from './operators/build.ts'
import { StagedTopic } from './staging.ts'
import { StageTime } from './stage-time.ts'
import { Task } from './task.ts'

/** A stage with as many tasks as there may be, which tell as many partitions downstream. */
function widest() {
  const env = new Simulation({ seed: 1 }).env('worker')
  const tasks = Array.from({ length: limits.partitions }, (_, p) => new Task(`p/s/${p}`, p, []))
  const stage = { inputs: [], stores: [], partitions: limits.partitions }
  const announcements = [{ topic: new StagedTopic('p.r', limits.partitions), shiftMs: 0 }]
  const built = { announcements, aggregates: [] }
  const time = new StageTime(
    {
      env,
      stage: stage as unknown as StagePlan,
      definition: { nodes: [] } as unknown as PipelineDefinition,
    },
    tasks,
    built as unknown as BuiltStage,
  )
  return { tasks, time }
}

test('watermarks of many tasks for many partitions are told in several commits, every task in its turn', () => {
  const { tasks, time } = widest()
  const told = new Map<number, Set<number>>()
  for (let commit = 1; commit <= limits.partitions; commit++) {
    // All of them rise all the time, so those that were told are due again at once.
    for (const task of tasks) task.time.closedUpTo(commit * 10_000)
    let sections = 0
    const bytes = time.announceBytes()
    const control = (_topic: string, partition: number, upstream: number): void => {
      sections++
      if (!told.has(upstream)) told.set(upstream, new Set())
      told.get(upstream)!.add(partition)
    }
    time.announce({ control } as unknown as Writer)
    expect(sections).toBeLessThan(limits.commitSections / 4)
    expect(bytes).toBeLessThan(limits.taskStageBytes)
    // What is announced was counted before.
    expect(bytes).toBeGreaterThanOrEqual(sections * controlBytes(0, 0).length)
    expect(sections).toBeGreaterThan(0)
    if (told.size === tasks.length) break
  }
  expect(told.size).toBe(tasks.length)
  for (const partitions of told.values()) expect(partitions.size).toBe(limits.partitions)
})

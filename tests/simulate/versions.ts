/** The pipeline changes at some restarts; which version took which event is what the log says when it opens. */
import type { PipelineDefinition, Sink } from '../../src/index.ts'
import type { Log } from '../../src/log/log.ts'
import { planOf } from '../../src/plan/index.ts'
import type { Plan } from '../../src/plan/plan.ts'
import type { SeededRandom, ThreadFault } from '../../src/testing/index.ts'
import type { Config } from './config.ts'
import { fatalPipeline } from './fatal.ts'
import { simulatedPipeline, tapPipeline } from './pipeline.ts'

interface Opened {
  readonly version: number
  readonly plan: Plan
  /** Per partition of the stream, the offset from which on this version works. */
  readonly from: ReadonlyMap<number, number>
}

export class Versions {
  /** Every start that got as far as to run something. */
  readonly opens: Opened[] = []
  readonly #all: readonly (readonly PipelineDefinition[])[]
  readonly #plans: readonly Plan[]
  readonly #random: SeededRandom
  #now = 0

  constructor(
    config: Config,
    sinks: ReadonlyMap<string, Sink>,
    random: SeededRandom,
    happens: (fault: ThreadFault) => never,
  ) {
    this.#random = random
    const beside = [
      ...(config.tap ? [tapPipeline(config)] : []),
      ...(config.fatal ? [fatalPipeline(config, happens)] : []),
    ]
    const all = Array.from({ length: config.versions }, (_, version) =>
      simulatedPipeline(config, version, sinks, random),
    )
    this.#all = all.map((definition) => [definition, ...beside])
    this.#plans = all.map(planOf)
  }

  get pipelines(): readonly PipelineDefinition[] {
    return this.#all[this.#now]!
  }

  /** How often it has changed. */
  get changed(): number {
    return this.#now
  }

  /** Those for the next start. */
  next(): readonly PipelineDefinition[] {
    if (this.#now + 1 < this.#all.length && this.#random.chance(0.1)) this.#now++
    return this.pipelines
  }

  /** Nothing runs yet: what is not taken by now, this version takes. */
  async opened(log: Log): Promise<void> {
    const version = this.#now
    const from = new Map<number, number>()
    for (const { topic, partition, offset } of await log.positions('sim/events'))
      if (topic === 'events') from.set(partition, offset)
    this.opens.push({ version, plan: this.#plans[version]!, from })
  }

  at(partition: number, offset: number): number {
    return this.opens.findLast(({ from }) => (from.get(partition) ?? 0) <= offset)?.version ?? 0
  }
}

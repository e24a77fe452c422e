/** Looks for a smaller run of the same seed that breaks the same promise. */
import type { Config } from './config.ts'
import { runSeed } from './run.ts'
import type { RunResult } from './run.ts'
import { without } from './shape.ts'

/** What may be left out, what saves most first. A change of what is drawn changes what follows: each is only tried. */
function candidates(config: Config): Partial<Config>[] {
  const all: Partial<Config>[] = []
  for (const crashes of [0, 1, 2, 4, 8, 16, 32, 64, config.crashes - 1]) {
    if (crashes >= 0 && crashes < config.crashes) all.push({ crashes })
  }
  if (config.producers > 1) all.push({ producers: 1 })
  if (config.plain) all.push({ plain: false })
  if (config.changeWorkers) all.push({ changeWorkers: false })
  if (config.workers > 1) all.push({ workers: 1 })
  if (config.bodies > 1) all.push({ bodies: 1 }, { bodies: config.bodies >> 1 })
  if (config.bodyEvents > 1) all.push({ bodyEvents: 1 })
  if (config.users > 1) all.push({ users: 1 })
  if (config.pages > 1) all.push({ pages: 1 })
  if (config.partitions > 1) all.push({ partitions: 1 })
  if (config.pagePartitions > 1) all.push({ pagePartitions: 1 })
  if (config.versions > 1) all.push({ versions: 1 })
  for (const i of config.shape.keys()) {
    const shape = without(config.shape, i)
    if (shape.length > 0) all.push({ shape })
  }
  if (config.pauses) all.push({ pauses: false })
  if (config.lostAnswers > 0) all.push({ lostAnswers: 0 })
  if (config.lateCopies > 0) all.push({ lateCopies: 0 })
  if (config.sinkFaults > 0) all.push({ sinkFaults: 0 })
  if (config.steered) all.push({ steered: false })
  if (config.tap) all.push({ tap: false })
  if (config.fatal) all.push({ fatal: false })
  if (config.inside) all.push({ inside: false })
  if (config.weather) all.push({ weather: false })
  return all
}

/** Overrides for the smallest run found in the time given. */
export async function shrink(
  seed: number,
  broken: RunResult,
  seconds = 30,
): Promise<Partial<Config>> {
  const invariant = broken.violation?.invariant
  let found: Partial<Config> = {}
  let config = broken.config
  const until = performance.now() + seconds * 1_000
  for (let better = true; better;) {
    better = false
    for (const change of candidates(config)) {
      if (performance.now() > until) return found
      const result = await runSeed(seed, { ...found, ...change })
      if (result.violation?.invariant !== invariant) continue
      found = { ...found, ...change }
      config = result.config
      better = true
      break
    }
  }
  return found
}

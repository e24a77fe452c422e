/**
 * The N-th disk call fails, once or from then on, for every N and every errno that it can fail with. While it does,
 * what comes out is an error of ours with a code; afterwards everything acknowledged is there, and what was refused
 * is not.
 */
import { DiskError } from '../../src/core/env/env.ts'
import type { DiskEffect, DiskOperation, Simulation } from '../../src/core/env/simulated/index.ts'
import { MillraceError } from '../../src/errors.ts'
import { callerOf, callSites } from './sites.ts'
import { otherScenarios } from './fault-scenarios.ts'
import { logScenarios } from './fault-log.ts'

export interface Scenario {
  readonly name: string
  start(): Promise<Started>
}

/** A disk, and work on it that fails by throwing. `check` looks at the disk afterwards, without faults. */
export interface Started {
  readonly world: Simulation
  run(): Promise<void>
  check(): Promise<void>
  /** Throws where a disk that a crash may leave does not hold what is acknowledged by now. */
  judge?(on: Simulation): Promise<void>
  /** Errors of the disk are allowed to come out as they are: whoever calls this expects them. */
  readonly raw: boolean
}

const writing = ['EIO', 'ENOSPC', 'EDQUOT', 'EROFS']
const naming = ['EIO', 'ENOSPC', 'EDQUOT', 'EROFS', 'EACCES']
const looking = ['EIO', 'EACCES', 'EMFILE']
/** What each operation can fail with, by the manual of Linux. */
const errnos: Readonly<Record<DiskOperation, readonly string[]>> = {
  open: ['EIO', 'ENOSPC', 'EDQUOT', 'EROFS', 'EACCES', 'EMFILE'],
  exists: ['EIO', 'EACCES'],
  list: looking,
  mkdir: naming,
  rename: naming,
  unlink: ['EIO', 'EROFS', 'EACCES'],
  fsyncDir: looking,
  stat: ['EIO', 'EACCES'],
  space: ['EIO'],
  lock: ['EIO', 'ENOSPC', 'EROFS', 'EACCES', 'EMFILE'],
  read: ['EIO'],
  write: writing,
  size: ['EIO'],
  truncate: ['EIO', 'EROFS', 'ENOSPC'],
  fdatasync: writing,
  close: ['EIO'],
}

export interface FaultResult {
  readonly runs: number
  readonly sites: number
  readonly missing: readonly string[]
  readonly broken: readonly string[]
}

export async function faults(
  only: string | undefined,
  every: number,
  tell: (line: string) => void,
): Promise<FaultResult> {
  const broken: string[] = []
  const hit = new Set<string>()
  let runs = 0
  let cases = 0
  const others = otherScenarios()
  const named = others.filter(({ name }) => name === only)
  const all = named.length > 0 ? named : [...(await logScenarios()), ...others]
  for (const scenario of all) {
    if (only !== undefined && scenario.name !== only) continue
    const operations = await record(scenario)
    const before = runs
    for (const [n, { operation, site }] of operations.entries()) {
      for (const error of errnos[operation]) {
        for (const times of [1, Infinity]) {
          // With `every` above one only a part of the cases: each call site once, the rest spread over calls and errnos.
          if (cases++ % every !== 0 && hit.has(site)) continue
          runs++
          const how = `${scenario.name}: ${operation} ${n + 1} fails with ${error}, ${times === 1 ? 'once' : 'for ever'}`
          const flaw = await runOne(scenario, { n, error, times }, hit)
          if (flaw !== undefined) broken.push(`${how}: ${flaw}`)
        }
      }
    }
    tell(`${scenario.name}: ${operations.length} disk calls, ${runs - before} runs`)
  }
  const sites = callSites()
  const missing = sites.filter((site) => !hit.has(site))
  return { runs, sites: sites.length, missing, broken }
}

interface Called {
  readonly operation: DiskOperation
  readonly site: string
}

/** The operations of a run without faults, and who called them. */
async function record(scenario: Scenario): Promise<Called[]> {
  const { world, run, check } = await scenario.start()
  const operations: Called[] = []
  world.disk().hook = (operation) => {
    operations.push({ operation, site: callerOf() })
    return undefined
  }
  await run()
  world.disk().hook = undefined
  await check()
  return operations
}

interface Fault {
  readonly n: number
  readonly error: string
  readonly times: number
}

async function runOne(
  scenario: Scenario,
  { n, error, times }: Fault,
  hit: Set<string>,
): Promise<string | undefined> {
  const { world, run, check, raw } = await scenario.start()
  let count = 0
  world.disk().hook = (operation, path): DiskEffect | undefined => {
    const at = count++
    if (at < n || at >= n + times || !errnos[operation].includes(error)) return undefined
    // A directory above ours that we may not read is taken for one in which we made nothing.
    if (error === 'EACCES' && operation === 'fsyncDir' && /^[./]*$/.test(path)) return undefined
    if (at === n || times > 1) hit.add(callerOf())
    return { error }
  }
  try {
    await run()
  } catch (thrown) {
    const ours = thrown instanceof MillraceError || (raw && thrown instanceof DiskError)
    if (!ours) return `threw ${text(thrown)}`
    if (thrown instanceof MillraceError && thrown.code === 'MR6000') return `threw ${text(thrown)}`
  }
  world.disk().hook = undefined
  try {
    await check()
  } catch (thrown) {
    return `afterwards ${text(thrown)}`
  }
  return undefined
}

function text(thrown: unknown): string {
  return thrown instanceof Error ? (thrown.stack ?? thrown.message).slice(0, 1_500) : String(thrown)
}

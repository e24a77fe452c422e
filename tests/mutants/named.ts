import type { NamedMutant } from './mutant.ts'
import { namedEngine } from './named-engine.ts'
import { namedExhaustive } from './named-exhaustive.ts'
import { namedHandoff } from './named-handoff.ts'
import { namedLog } from './named-log.ts'
import { namedScan } from './named-scan.ts'
import { namedShedding } from './named-shedding.ts'

/** Each must be noticed by its gate within 20 seconds. */
export const named: readonly NamedMutant[] = [
  ...namedLog,
  ...namedHandoff,
  ...namedExhaustive,
  ...namedEngine,
  ...namedScan,
  ...namedShedding,
]

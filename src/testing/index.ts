/** For tests: a simulated world with virtual time, a disk that loses what was not synced, and a scripted network. */
export {
  ProcessDied,
  Scheduler,
  SeededRandom,
  SimulatedDisk,
  SimulatedEnv,
  SimulatedNetwork,
  Simulation,
  SimulationStuck,
  Trace,
} from '../core/env/simulated/index.ts'
export type {
  CrashKind,
  DiskEffect,
  DiskFault,
  DiskOperation,
  NetHandler,
  NetOutcome,
  RunBounds,
  SimulationOptions,
} from '../core/env/simulated/index.ts'
export { SimulatedEngine } from './simulated-engine.ts'
export type { SimulatedEngineOptions, SimulatedState } from './simulated-engine.ts'
export type { ThreadFault } from './simulated-threads.ts'

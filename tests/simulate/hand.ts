/** The hand of an operator: what it does may come to nothing, as the process may die under it. */
import type { SimulatedEngine } from '../../src/testing/index.ts'

/** False where nobody knows whether the task stands. */
export function letStand(engine: SimulatedEngine, task: string): boolean {
  try {
    engine.pause(task)
    return true
  } catch {
    return false
  }
}

export function letGoOn(engine: SimulatedEngine, task: string): void {
  void engine.resume(task).catch(() => undefined)
}

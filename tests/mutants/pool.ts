/** Runs mutants side by side, each in a scratch copy of its own. */
import { runGate } from './gate.ts'
import type { Verdict } from './gate.ts'
import { gateName } from './mutant.ts'
import type { Gate, Mutant } from './mutant.ts'
import { Scratch } from './scratch.ts'

export interface Work<M extends Mutant> {
  readonly mutant: M
  /** One after the other, until one notices. */
  readonly gates: readonly Gate[]
}

export interface Tried<M extends Mutant> {
  readonly mutant: M
  readonly caught: boolean
  /** Of the gate that noticed; of the last one where none did. */
  readonly verdict: Verdict
  /** All gates together. */
  readonly seconds: number
}

export interface Soundness {
  readonly problems: readonly string[]
  /** Seconds that a gate takes without a bug, by gate. */
  readonly seconds: ReadonlyMap<string, number>
}

/** A gate that fails without any bug says nothing about one: each is run in an unchanged copy first. */
export async function sound(
  scratches: readonly Scratch[],
  gates: readonly Gate[],
  limit: number,
): Promise<Soundness> {
  const seconds = new Map<string, number>()
  const distinct = new Map(gates.map((gate) => [JSON.stringify(gate), gate]))
  const problems: string[] = []
  await each(scratches, [...distinct.values()], async (scratch, gate) => {
    const verdict = await runGate(scratch.directory, gate, limit)
    seconds.set(JSON.stringify(gate), verdict.seconds)
    if (verdict.outcome === 'passed') return
    problems.push(`${gateName(gate)}: ${verdict.by}\n${verdict.output.slice(-2_000)}`)
  })
  return { problems, seconds }
}

/** `limit`: seconds for a gate. One that does not end counts as having noticed where `hangCounts`. */
export async function tryAll<M extends Mutant>(
  scratches: readonly Scratch[],
  works: readonly Work<M>[],
  limit: (gate: Gate) => number,
  hangCounts: boolean,
  tell: (tried: Tried<M>, done: number) => void,
): Promise<Tried<M>[]> {
  const results: Tried<M>[] = []
  await each(scratches, works, async (scratch, { mutant, gates }) => {
    let seconds = 0
    let verdict: Verdict = { outcome: 'passed', seconds: 0, by: '', output: '' }
    let caught = false
    for (const gate of gates) {
      const most = limit(gate)
      verdict = await scratch.with(mutant, () => runGate(scratch.directory, gate, most))
      seconds += verdict.seconds
      caught = verdict.outcome === 'failed' || (hangCounts && verdict.outcome === 'timeout')
      // On a busy machine anything may take long: then it must not do so without the bug.
      if (caught && hangCounts && isSlow(verdict))
        caught = (await runGate(scratch.directory, gate, most)).outcome === 'passed'
      if (caught) break
    }
    const tried = { mutant, caught, verdict, seconds }
    results.push(tried)
    tell(tried, results.length)
  })
  const order = works.map(({ mutant }) => mutant)
  return results.toSorted((a, b) => order.indexOf(a.mutant) - order.indexOf(b.mutant))
}

function isSlow({ outcome, output }: Verdict): boolean {
  return outcome === 'timeout' || /timed out in \d+ ?ms/.test(output)
}

async function each<T>(
  scratches: readonly Scratch[],
  items: readonly T[],
  work: (scratch: Scratch, item: T) => Promise<void>,
): Promise<void> {
  let next = 0
  await Promise.all(
    scratches.map(async (scratch) => {
      while (next < items.length) await work(scratch, items[next++]!)
    }),
  )
}

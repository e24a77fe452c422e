/** What was read from topics, and how it is compared. */
import type { Records, SeenRecord } from './observer.ts'
import { violation } from './violation.ts'

export function topic(records: Records, name: string): SeenRecord[][] {
  const found = records.get(name)
  if (found === undefined) throw violation('I1', `there is no topic ${name}`)
  return found
}

/** Nothing, where there is no such topic. */
export function inTopic(records: Records, name: string): SeenRecord[][] {
  return records.get(name) ?? []
}

export function idOf({ text }: SeenRecord): string {
  return (JSON.parse(text) as { id: string }).id
}

export function sameSet(
  invariant: string,
  what: string,
  have: readonly string[],
  want: readonly string[],
): void {
  sameList(invariant, what, have.toSorted(), want.toSorted())
}

export function sameList(
  invariant: string,
  what: string,
  have: readonly string[],
  want: readonly string[],
): void {
  for (let i = 0; i < Math.max(have.length, want.length); i++) {
    if (have[i] === want[i]) continue
    const counts = `${have.length} there, ${want.length} expected`
    throw violation(
      invariant,
      `${what} differs at ${i}: ${have[i] ?? 'nothing'}; expected ${want[i] ?? 'nothing'} (${counts})`,
    )
  }
}

/** A pipeline that leaves out what it cannot keep up with: it is counted, and what must not be left out is there. */
import type { PipelineDefinition } from '../../../src/index.ts'
import { pipeline } from '../../../src/index.ts'
import type { Position } from '../../../src/log/log.ts'
import type { SeededRandom } from '../../../src/testing/index.ts'
import { sumOf } from '../check.ts'
import type { Records } from '../observer.ts'
import { inTopic } from '../seen.ts'
import { violation } from '../violation.ts'

const schema = {
  type: 'object',
  properties: { nth: { type: 'integer' }, vital: { type: 'boolean' } },
  required: ['nth', 'vital'],
} as const

export interface Shedding {
  readonly policy: 'drop-oldest' | 'sample' | 'priority'
  /** So many of the newest are never left out. */
  readonly maxLag: number
}

export const shedGroup = 'shed/shed'

export const shedEvent = (nth: number): object => ({ nth, vital: isVital(nth) })

const isVital = (nth: number): boolean => nth % 3 === 0

export function drawShedding(random: SeededRandom): Shedding {
  const policy = random.pick(['drop-oldest', 'sample', 'priority'] as const)
  return { policy, maxLag: 1 + random.int(4) }
}

export function shedPipeline({ policy, maxLag }: Shedding): PipelineDefinition {
  const shed = {
    'drop-oldest': { policy: 'drop-oldest', maxLag },
    sample: { policy: 'sample', maxLag, keep: 0.5 },
    priority: { policy: 'priority', maxLag, keep: { vital: true } },
  } as const
  return pipeline('shed', { partitions: 1 }, (p) => {
    p.stream('shed', { schema, shed: shed[policy] })
      .filter(() => true)
      .to(p.topic('shed-out'))
  })
}

/** I1, I4, I11. Returns how many were left out. */
export function checkShed(
  records: Records,
  { policy, maxLag }: Shedding,
  sent: number,
  positions: readonly Position[],
): number {
  const { read, processed, shed } = sumOf(shedGroup, positions, true)
  const there = new Set<number>()
  let last = -1
  for (const { text } of inTopic(records, 'shed-out').flat()) {
    const { nth } = JSON.parse(text) as { nth: number }
    if (nth <= last || nth >= sent) throw violation('I4', `${nth} comes after ${last}`)
    last = nth
    there.add(nth)
  }
  for (let nth = 0; nth < sent; nth++) {
    const kept = nth >= sent - maxLag || (policy === 'priority' && isVital(nth))
    if (kept && !there.has(nth)) throw violation('I1', `${nth} of ${sent} must not be shed`)
  }
  if (read !== sent || processed !== there.size || processed + shed !== sent)
    throw violation(
      'I11',
      `of ${sent}: ${read} read, ${processed} processed, ${shed} shed; ${there.size} are there`,
    )
  return shed
}

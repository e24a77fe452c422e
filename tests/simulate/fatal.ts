/**
 * A pipeline whose function ends its worker at some events, or does not return. The supervisor has to find each of them
 * among all others: it alone becomes a dead letter (I2), whatever else runs in that worker goes on (I7).
 */
import { pipeline } from '../../src/index.ts'
import type { PipelineDefinition } from '../../src/index.ts'
import type { Plan } from '../../src/plan/plan.ts'
import type { ThreadFault } from '../../src/testing/index.ts'
import type { Config } from './config.ts'
import type { SourceEvent } from './model.ts'
import type { Records } from './observer.ts'
import { eventsOf } from './pipeline.ts'
import { idOf, inTopic, sameList, sameSet, topic } from './seen.ts'
import { violation } from './violation.ts'

/** What happens at an event of this value. */
const fates: ReadonlyMap<number, ThreadFault> = new Map([
  [97, 'exit'],
  [96, 'throw'],
  [95, 'out of memory'],
  [94, 'hang'],
])

export function fatalPipeline(
  config: Config,
  happens: (fault: ThreadFault) => never,
): PipelineDefinition {
  return pipeline('fatal', { mode: config.mode }, (p) => {
    p.stream('events', eventsOf(config))
      .filter(({ value }) => {
        const fault = fates.get(value)
        return fault === undefined || happens(fault)
      })
      .to(p.topic('survivors', { partitions: config.partitions }))
  })
}

export const isFatal = ({ pipeline: name }: Plan): boolean => name === 'fatal'

export function checkFatal(records: Records): void {
  const deadly: string[] = []
  for (const [partition, list] of topic(records, 'events').entries()) {
    const ends = (text: string): boolean => fates.has((JSON.parse(text) as SourceEvent).value)
    deadly.push(...list.filter(({ text }) => ends(text)).map(idOf))
    const others = list.filter(({ text }) => !ends(text)).map(idOf)
    sameList(
      'I2',
      `survivors/${partition}`,
      topic(records, 'survivors')[partition]!.map(idOf),
      others,
    )
  }
  const letters: string[] = []
  const open = new Map<number, string>()
  for (const { text, offset } of inTopic(records, 'fatal.dead-letters').flat()) {
    const letter = JSON.parse(text) as { resolves?: number; code?: string; raw?: string }
    if (letter.resolves !== undefined) {
      // It was sent back, and is as deadly as before.
      deadly.push(open.get(letter.resolves) ?? `letter ${letter.resolves}`)
      continue
    }
    const { id } = JSON.parse(letter.raw ?? '{}') as { id: string }
    if (letter.code !== 'MR4009') throw violation('I2', `${id} is a dead letter for ${letter.code}`)
    open.set(offset, id)
    letters.push(id)
  }
  sameSet('I2', 'events that end their worker', letters, deadly)
}

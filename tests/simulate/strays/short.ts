/** A topic that is kept for less time than its sink may be away: what is gone is counted, and nothing else is missing. */
import type { PipelineDefinition } from '../../../src/index.ts'
import { pipeline } from '../../../src/index.ts'
import type { Position } from '../../../src/log/log.ts'
import { memory } from '../../../src/sinks/index.ts'
import type { MemorySink } from '../../../src/sinks/index.ts'
import type { SeededRandom, SimulatedEngine, SimulatedEnv } from '../../../src/testing/index.ts'
import { sumOf } from '../check.ts'
import { violation } from '../violation.ts'

const schema = {
  type: 'object',
  properties: { nth: { type: 'integer' } },
  required: ['nth'],
} as const

export interface Short {
  readonly pipeline: PipelineDefinition
  readonly sink: MemorySink
}

export const shortGroup = 'short/memory-slow'

export function shortPipeline(): Short {
  const sink = memory({ name: 'slow', hold: { ms: 0, bytes: 0 } })
  const definition = pipeline('short', { partitions: 1 }, (p) => {
    p.stream('short', { schema, retention: { time: '20ms' } }).to(sink)
  })
  return { pipeline: definition, sink }
}

/** Sends numbered events, each until it is there. Returns how many. */
export async function feed(
  engine: SimulatedEngine,
  env: SimulatedEnv,
  random: SeededRandom,
  topic: string,
  event: (nth: number) => object,
  more: () => boolean,
): Promise<number> {
  let nth = 0
  for (; more() || nth < 30; nth++) {
    const body = new TextEncoder().encode(JSON.stringify(event(nth)))
    const producer = { id: 'feed', epoch: 1, sequence: nth }
    for (let status = 0; status !== 200;) {
      await env.timers.sleep(random.int(30))
      status = await new Promise<number>((resolve) => {
        env.timers.after(300, () => resolve(0))
        engine.submit(topic, { body: body.slice(), format: 'json', producer }, (answer) =>
          env.timers.after(1, () => resolve(answer.status)),
        )
      })
      if (status > 200 && status < 500 && status !== 429)
        throw violation('I1', `${nth} was answered with ${status}`)
    }
  }
  return nth
}

/** I1, I4, I11: in order, each once, and as many are missing as are counted. */
export function checkShort({ sink }: Short, sent: number, positions: readonly Position[]): void {
  const { processed, expired, read } = sumOf(shortGroup, positions, true)
  let last = -1
  for (const row of sink.rows) {
    const nth = Number(row['nth'])
    if (nth <= last || nth >= sent) throw violation('I4', `${nth} came to the sink after ${last}`)
    last = nth
  }
  if (read !== sent || processed !== sink.rows.length || processed + expired !== sent)
    throw violation(
      'I11',
      `of ${sent}: ${read} read, ${processed} delivered, ${expired} expired; the sink has ${sink.rows.length}`,
    )
}

import { describe, expect, it } from 'vitest'
import { MillraceError } from '../errors.ts'
import { realEnv } from '../core/env/real/index.ts'
import { errorAnswer, outcomeAnswer } from '../process/ingest-request.ts'
import type { IngestAnswer, IngestRequest } from '../process/ingest-request.ts'
import { LocalProducer } from './producer.ts'

/** The real Env without its waits. */
const env = { ...realEnv(), timers: { ...realEnv().timers, sleep: () => Promise.resolve() } }
const busy = errorAnswer(new MillraceError('MR6004', 'Worker 0 is being started.'))
const stored = (accepted: number): IngestAnswer =>
  outcomeAnswer({ accepted, deadLettered: 0, verdicts: [], single: false })

function producerWith(answers: IngestAnswer[]) {
  const asked: (IngestRequest & { ingest: string })[] = []
  const end = new AbortController()
  const producer = new LocalProducer(env, end.signal, (ingest, request) => {
    asked.push({ ingest, ...request })
    return Promise.resolve(answers.shift() ?? stored(1))
  })
  return { producer, asked, end }
}

describe('engine.produce', () => {
  it('sends the same number again until it is answered, and the next number for what follows', async () => {
    const { producer, asked } = producerWith([busy, busy, stored(2)])
    const first = producer.produce('t', [{ a: 1 }, { a: 2 }])
    const second = producer.produce('t', [{ a: 3 }])
    expect(await first).toEqual({ accepted: 2, refused: [] })
    expect(await second).toEqual({ accepted: 1, refused: [] })
    expect(asked.map(({ producer: ref }) => ref?.sequence)).toEqual([0, 0, 0, 1])
    expect(new Set(asked.map(({ producer: ref }) => ref?.id)).size).toBe(1)
    expect(new TextDecoder().decode(asked[3]?.body)).toBe('{"a":3}')
  })

  it('lists refused events by their index, and rejects what is refused as a whole without using up a number', async () => {
    const verdict = { index: 1, code: 'MR1001', message: 'no' } as const
    const partly = outcomeAnswer({
      accepted: 1,
      deadLettered: 0,
      verdicts: [verdict],
      single: false,
    })
    const unknown = errorAnswer(new MillraceError('MR1035', 'Nothing takes events for "t".'))
    const { producer, asked } = producerWith([partly, unknown])
    expect(await producer.produce('t', [1, 2])).toEqual({ accepted: 1, refused: [verdict] })
    await expect(producer.produce('t', [1])).rejects.toMatchObject({ code: 'MR1035' })
    await producer.produce('t', [1])
    expect(asked.map(({ producer: ref }) => ref?.sequence)).toEqual([0, 1, 1])
  })

  it('rejects when the engine has ended, and what JSON cannot hold', async () => {
    const { producer, end } = producerWith([busy, busy, busy])
    await expect(producer.produce('t', [undefined])).rejects.toMatchObject({ code: 'MR1001' })
    end.abort()
    await expect(producer.produce('t', [1])).rejects.toMatchObject({ code: 'MR2009' })
    expect(await producer.produce('t', [])).toEqual({ accepted: 0, refused: [] })
  })
})

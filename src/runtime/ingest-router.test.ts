import { describe, expect, it } from 'vitest'
import { limits } from '../limits.ts'
import type { IngestAnswer, IngestRequest } from '../process/ingest-request.ts'
import { IngestRouter } from './ingest-router.ts'
import type { ToWorker } from './messages.ts'

type Ingest = Extract<ToWorker, { type: 'ingest' }>

const share = (partitions: number[]) => ({
  kind: 'ingest' as const,
  id: 'ingest/t',
  pipeline: 'p',
  partitions,
})

function setUp(takes = true): { router: IngestRouter; sent: (Ingest & { slot: number })[] } {
  const sent: (Ingest & { slot: number })[] = []
  const router = new IngestRouter(
    () => 0,
    [[share([0, 2])], [share([1, 3])]],
    (slot, message, transfer) => {
      // What a thread would do: the memory moves.
      if (takes) sent.push({ slot, ...(structuredClone(message, { transfer }) as Ingest) })
      return takes
    },
  )
  return { router, sent }
}

const request = (body: Uint8Array, id?: string): IngestRequest => ({
  body,
  format: 'json',
  ...(id === undefined ? {} : { producer: { id, epoch: 0, sequence: 0 } }),
})
const codeOf = ({ body }: IngestAnswer): string =>
  (JSON.parse(new TextDecoder().decode(body)) as { error: { code: string } }).error.code

describe('IngestRouter', () => {
  it('sends a producer to one bucket always, and goes round with everyone else', () => {
    const { router, sent } = setUp()
    for (let i = 0; i < 8; i++) void router.submit('ingest/t', request(new Uint8Array(8)))
    expect(sent.map(({ bucket, slot }) => [bucket, slot])).toEqual(
      [0, 1, 2, 3, 0, 1, 2, 3].map((bucket) => [bucket, bucket % 2]),
    )
    for (let i = 0; i < 5; i++) void router.submit('ingest/t', request(new Uint8Array(8), 'me'))
    expect(new Set(sent.slice(8).map(({ bucket }) => bucket)).size).toBe(1)
  })

  it('answers what a dead worker held with 503 and a time to come back, and nothing else', async () => {
    const { router, sent } = setUp()
    const answers = [0, 1].map(() => router.submit('ingest/t', request(new Uint8Array(8))))
    router.lost(0)
    const lost = await answers[0]!
    expect(lost).toMatchObject({ status: 503, retryAfterSeconds: 1 })
    expect(codeOf(lost)).toBe('MR6005')
    const fine = { status: 200, body: new Uint8Array(2) }
    router.answered(sent[1]!.id, fine)
    expect(await answers[1]).toBe(fine)
  })

  it('answers 503 while a worker is being started, and 429 when too much waits for one that is held up', async () => {
    const starting = setUp(false).router
    expect(codeOf(await starting.submit('ingest/t', request(new Uint8Array(8))))).toBe('MR6004')
    const { router, sent } = setUp()
    const half = limits.ingestQueueBytes / 2
    const me = (bytes: number): Promise<IngestAnswer> =>
      router.submit('ingest/t', request(new Uint8Array(bytes), 'me'))
    void me(half)
    void me(half)
    const refused = await me(1)
    expect(refused.status).toBe(429)
    expect(codeOf(refused)).toBe('MR1039')
    router.answered(sent[0]!.id, { status: 200, body: new Uint8Array(0) })
    void me(half)
    expect(sent).toHaveLength(3)
  })

  it('refuses for the worker for which too many wait, until it has answered or is gone', async () => {
    const { router, sent } = setUp()
    const me = { id: 'me', epoch: 0, sequence: 0 }
    const submit = (): Promise<IngestAnswer> =>
      router.submit('ingest/t', request(new Uint8Array(8), 'me'))
    expect(router.refusal('ingest/t', me)).toBeUndefined()
    while (router.refusal('ingest/t', me) === undefined) void submit()
    const slot = sent[0]!.slot
    expect(router.refusal('ingest/t', me)?.code).toBe('MR1039')
    expect(await submit()).toMatchObject({ status: 429, retryAfterSeconds: 1 })
    const other = [0, 1].map(() => {
      const refusal = router.refusal('ingest/t', undefined)
      void router.submit('ingest/t', request(new Uint8Array(8)))
      return refusal?.code
    })
    expect(other.filter((code) => code === 'MR1039')).toHaveLength(1)
    expect(other).toContain(undefined)
    router.lost(slot)
    expect(router.refusal('ingest/t', me)).toBeUndefined()
  })

  it('takes only the body along, not the buffer it is a view of', () => {
    const { router, sent } = setUp()
    const pool = new Uint8Array(100).fill(7)
    void router.submit('ingest/t', request(pool.subarray(10, 13)))
    expect(sent[0]?.request.body).toEqual(new Uint8Array([7, 7, 7]))
    expect(pool.length).toBe(100)
  })
})

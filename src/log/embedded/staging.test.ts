import { expect, test } from 'vitest'
import { MillraceError } from '../../errors.ts'
import type { CommitRequest } from './plan-commit.ts'
import { StagingWriter } from './staging.ts'
import type { SendCommit } from './staging.ts'

const opened = { id: 1, epoch: 1 }
const place = { topic: 'a', partition: 0 }

/** A writer whose commits end as `answer` says, with what was sent. */
function writerWith(answer: (request: CommitRequest) => Awaited<ReturnType<SendCommit>>) {
  const sent: CommitRequest[] = []
  const send: SendCommit = (request) => {
    sent.push(request)
    return Promise.resolve(answer(request))
  }
  return { sent, writer: new StagingWriter('w', opened, send, 1e9) }
}

test('a commit of positions alone carries no memory but its own', async () => {
  const done = { outcome: 'committed', lsn: 1, commitNumber: 1, offsets: [0, 1] } as const
  const { sent, writer } = writerWith(({ payload }) => ({ reply: done, payload }))
  writer.append('a', 0, new Uint8Array(1_000_000), 1)
  await writer.commit()
  writer.position('g', { ...place, offset: 1, meta: '' })
  await writer.commit()
  expect(sent.map(({ payload }) => payload.length)).toEqual([1_000_000, 0])
  expect(sent[1]!.payload.buffer.byteLength).toBe(0)
  writer.append('a', 0, new Uint8Array(10), 1)
  expect((await writer.commit()).outcome).toBe('committed')
})

test('what is staged after a commit that nobody answered is refused, and is no surprise', async () => {
  const { writer } = writerWith(({ payload }) => {
    // As when it was moved to a thread that is gone.
    structuredClone(payload, { transfer: [payload.buffer as ArrayBuffer] })
    const error = new MillraceError('MR2008', 'The thread is gone.').toJSON()
    return { reply: { outcome: 'unknown', error }, payload: new Uint8Array(0) }
  })
  writer.append('a', 0, new Uint8Array(10), 1)
  expect((await writer.commit()).outcome).toBe('unknown')
  writer.append('a', 0, new Uint8Array(10), 1)
  expect((await writer.commit()).outcome).toBe('refused')
})

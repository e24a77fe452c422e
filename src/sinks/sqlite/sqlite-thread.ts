/** Entry of the thread of one SQLite sink: SQLite's calls block, and only this thread waits for them. */
import { parentPort, workerData } from 'node:worker_threads'
import { must } from '../../core/assert.ts'
import { MillraceError } from '../../errors.ts'
import type { SinkBatch } from '../sink.ts'
import { SqliteSession } from './session.ts'
import type { ThreadAnswer, ThreadData, ThreadRequest } from './client.ts'

const port = must(parentPort, 'this file runs as a thread')
const { options, who } = workerData as ThreadData
let session: SqliteSession | undefined

port.on('message', ({ id, ask, argument }: ThreadRequest) => {
  port.postMessage(answer(id, () => act(ask, argument)))
  if (ask === 'close') port.close()
})

function act(ask: ThreadRequest['ask'], argument: unknown): unknown {
  if (ask === 'open') {
    session = new SqliteSession(options, who)
    return undefined
  }
  if (ask === 'close') {
    session?.close()
    return undefined
  }
  const open = must(session, 'the session is open')
  return ask === 'stored' ? open.stored(argument as number) : open.deliver(argument as SinkBatch)
}

function answer(id: number, work: () => unknown): ThreadAnswer {
  try {
    return { id, value: work() }
  } catch (error) {
    if (error instanceof MillraceError) return { id, error: error.toJSON() }
    const text = error instanceof Error ? error.message : String(error)
    return { id, error: new MillraceError('MR5007', `${text}.`).toJSON() }
  }
}

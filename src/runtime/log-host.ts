import { MessageChannel } from 'node:worker_threads'
import type { MessagePort, Worker } from 'node:worker_threads'
import { MillraceError, reviveError } from '../errors.ts'
import type { FromLogThread, LogThreadData, ToLogThread } from './messages.ts'
import { cacheDirOf, spawnThread } from './threads.ts'

export interface LogHost {
  readonly logId: string
  /** Rises with every opening of the data directory. */
  readonly logEpoch: number
  /** What recovery found, for people. */
  readonly notes: readonly string[]
  /** A new client of the log: the port for a LogClient, which may move to another thread. */
  attach(): MessagePort
  /** Resolves after `close`, or before with why nothing may be acknowledged any more. */
  readonly ended: Promise<MillraceError | undefined>
  /** Writes a last checkpoint, where it can, and resolves when the directory is let go of. */
  close(): Promise<void>
}

/** Edge: starts the log thread. Resolves when recovery is done; rejects with why the directory cannot be opened. */
export function startLogThread(data: LogThreadData): Promise<LogHost> {
  const thread = spawnThread('log-thread', {
    name: 'log',
    data,
    cacheDir: cacheDirOf(data.dataDir),
  })
  const ended = endOf(thread)
  return new Promise((resolve, reject) => {
    void ended.then((error) =>
      reject(error ?? new MillraceError('MR6008', 'It ended before it was open.')),
    )
    thread.on('message', (message: FromLogThread) => {
      if (message.type !== 'open') return
      const { logId, logEpoch, notes } = message
      const close = async (): Promise<void> => {
        post(thread, { type: 'close' })
        await ended
        // The ports of its clients would keep it, and it the lock.
        await thread.terminate()
      }
      resolve({ logId, logEpoch, notes, ended, close, attach: () => attach(thread) })
    })
  })
}

function endOf(thread: Worker): Promise<MillraceError | undefined> {
  return new Promise((resolve) => {
    thread.on('message', (message: FromLogThread) => {
      if (message.type === 'failed') resolve(reviveError(message.error))
      if (message.type === 'closed') resolve(undefined)
    })
    thread.on('error', (error: Error) =>
      resolve(new MillraceError('MR6008', `${error.name}: ${error.message}.`, { cause: error })),
    )
    thread.on('exit', (code) => resolve(new MillraceError('MR6008', `It ended with code ${code}.`)))
  })
}

function attach(thread: Worker): MessagePort {
  const { port1, port2 } = new MessageChannel()
  post(thread, { type: 'attach', port: port1 }, [port1])
  return port2
}

function post(thread: Worker, message: ToLogThread, transfer: MessagePort[] = []): void {
  thread.postMessage(message, transfer)
}

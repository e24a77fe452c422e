import type { MessagePortLike } from '../core/port.ts'
import { MillraceError, reviveError } from '../errors.ts'
import type { FromLogThread, LogThreadData, ToLogThread } from './messages.ts'
import { cacheDirOf } from './threads.ts'
import type { Thread, Threads } from './threads.ts'

export interface LogHost {
  readonly logId: string
  /** Rises with every opening of the data directory. */
  readonly logEpoch: number
  /** What recovery found, for people. */
  readonly notes: readonly string[]
  /** A new client of the log: the port for a LogClient, which may move to another thread. */
  attach(): MessagePortLike
  /** Resolves after `close`, or before with why nothing may be acknowledged any more. */
  readonly ended: Promise<MillraceError | undefined>
  /** Writes a last checkpoint, where it can, and resolves when the directory is let go of. */
  close(): Promise<void>
}

type LogThread = Thread<ToLogThread, FromLogThread>

/** Starts the log thread. Resolves when recovery is done; rejects with why the directory cannot be opened. */
export function startLogThread(threads: Threads, data: LogThreadData): Promise<LogHost> {
  const thread = threads.spawn('log-thread', {
    name: 'log',
    data,
    cacheDir: cacheDirOf(data.dataDir),
  })
  const ended = endOf(thread)
  return new Promise((resolve, reject) => {
    void ended.then((error) =>
      reject(error ?? new MillraceError('MR6008', 'It ended before it was open.')),
    )
    thread.onMessage((message) => {
      if (message.type !== 'open') return
      const { logId, logEpoch, notes } = message
      const close = async (): Promise<void> => {
        thread.postMessage({ type: 'close' })
        await ended
        // The ports of its clients would keep it, and it the lock.
        await thread.terminate()
      }
      const attach = (): MessagePortLike => {
        const [theirs, port] = threads.channel()
        thread.postMessage({ type: 'attach', port: theirs }, [theirs])
        return port
      }
      resolve({ logId, logEpoch, notes, ended, close, attach })
    })
  })
}

function endOf(thread: LogThread): Promise<MillraceError | undefined> {
  return new Promise((resolve) => {
    thread.onMessage((message) => {
      if (message.type === 'failed') resolve(reviveError(message.error))
      if (message.type === 'closed') resolve(undefined)
    })
    thread.onError((error) =>
      resolve(new MillraceError('MR6008', `${error.name}: ${error.message}.`, { cause: error })),
    )
    thread.onExit((code) => resolve(new MillraceError('MR6008', `It ended with code ${code}.`)))
  })
}

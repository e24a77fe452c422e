import { join } from 'node:path'
import type { MessagePortLike } from '../core/port.ts'
import type { Entries } from './messages.ts'

/** How threads are started and reached: node-threads.ts in production, all in one thread in a simulation. */
export interface Threads {
  /** Starts a thread with the code of its entry. */
  spawn<Entry extends keyof Entries>(
    entry: Entry,
    options: ThreadOptions<Entries[Entry]['data']>,
  ): Thread<Entries[Entry]['to'], Entries[Entry]['from']>
  /** Both ends of a channel. Each may be moved to a thread, with its data or a message. */
  channel(): [MessagePortLike, MessagePortLike]
}

/** What moves to another thread, and is gone here. */
export type Moved = ArrayBuffer | MessagePortLike

export interface ThreadOptions<Data> {
  readonly name: string
  readonly data: Data
  /** Channels in the data. */
  readonly transfer?: readonly MessagePortLike[]
  /** Heap limit in MiB; past it the thread ends with ERR_WORKER_OUT_OF_MEMORY instead of the process. */
  readonly heapMb?: number
  /** Where compiled modules are kept from one start to the next; undefined compiles them each time. */
  readonly cacheDir?: string
}

/** A thread as the one that started it sees it. */
export interface Thread<To, From> {
  postMessage(message: To, transfer?: readonly Moved[]): void
  onMessage(receive: (message: From) => void): void
  /** It ends because of this. */
  onError(failed: (error: Error) => void): void
  /** It has ended, and no message of it comes any more. */
  onExit(ended: (code: number) => void): void
  /** Ends it wherever it is. Resolves when it has ended. */
  terminate(): Promise<unknown>
}

/**
 * Compiled modules of one data directory, which make a restart several times faster. Not in the system's folder for
 * temporary files, where another user could put something else.
 */
export function cacheDirOf(dataDir: string): string {
  return join(dataDir, 'cache')
}

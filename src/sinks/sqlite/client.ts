/** The worker's end of a SQLite sink: asks the sink's thread and never blocks. */
import { Worker } from 'node:worker_threads'
import { MillraceError, reviveError } from '../../errors.ts'
import type { Opening } from '../position.ts'
import type { Rejected, SinkBatch, SinkWriter, StoredPosition } from '../sink.ts'
import type { SessionOptions } from './session.ts'

export interface ThreadData {
  readonly options: SessionOptions
  /** Without the Env, which cannot cross to another thread and is not needed there. */
  readonly who: Opening
}

export interface ThreadRequest {
  readonly id: number
  readonly ask: 'open' | 'stored' | 'deliver' | 'close'
  readonly argument?: unknown
}

export interface ThreadAnswer {
  readonly id: number
  readonly value?: unknown
  readonly error?: ReturnType<MillraceError['toJSON']>
}

interface Waiting {
  readonly resolve: (value: unknown) => void
  readonly reject: (error: MillraceError) => void
}

/** Built, the entry is JavaScript; in the repository Node runs the source. */
const entry = import.meta.url.endsWith('.ts') ? './sqlite-thread.ts' : './sqlite-thread.js'

/** Starts the thread and opens the database in it. */
export async function openThread(options: SessionOptions, who: Opening): Promise<SinkWriter> {
  const { env: _, ...context } = who.context
  const thread = new Thread({ options, who: { ...who, context: context as Opening['context'] } })
  try {
    await thread.ask('open')
  } catch (error) {
    await thread.end()
    throw error
  }
  return {
    stored: async (partition) =>
      (await thread.ask('stored', partition)) as StoredPosition | undefined,
    deliver: async (batch: SinkBatch) =>
      (await thread.ask('deliver', batch)) as readonly Rejected[],
    close: () => thread.end(),
  }
}

class Thread {
  readonly #worker: Worker
  readonly #waiting = new Map<number, Waiting>()
  readonly #exited: Promise<void>
  #next = 1
  #dead: MillraceError | undefined

  constructor(data: ThreadData) {
    this.#worker = new Worker(new URL(entry, import.meta.url), {
      name: 'millrace sqlite',
      workerData: data,
      // Rows pass through it; more would only be memory that nobody counts.
      resourceLimits: { maxYoungGenerationSizeMb: 24 },
    })
    this.#worker.on('message', (answer: ThreadAnswer) => this.#answer(answer))
    this.#worker.on('error', (error) => this.#die(error))
    this.#exited = new Promise((resolve) => {
      this.#worker.on('exit', () => {
        this.#die(undefined)
        resolve()
      })
    })
  }

  ask(ask: ThreadRequest['ask'], argument?: unknown): Promise<unknown> {
    if (this.#dead !== undefined) return Promise.reject(this.#dead)
    const id = this.#next++
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject })
      this.#worker.postMessage({ id, ask, argument } satisfies ThreadRequest)
    })
  }

  /** Closes the database and waits for the thread's end; a thread that died already has ended. */
  async end(): Promise<void> {
    await this.ask('close').catch(() => {})
    await this.#exited
  }

  #answer({ id, value, error }: ThreadAnswer): void {
    const waiting = this.#waiting.get(id)
    this.#waiting.delete(id)
    if (error === undefined) waiting?.resolve(value)
    else waiting?.reject(reviveError(error))
  }

  #die(cause: unknown): void {
    const why = cause instanceof Error ? `: ${cause.message}` : ''
    this.#dead ??= new MillraceError('MR5007', `The thread of the SQLite sink ended${why}.`, {
      cause,
    })
    for (const { reject } of this.#waiting.values()) reject(this.#dead)
    this.#waiting.clear()
  }
}

import type { SimulatedEnv } from '../core/env/simulated/index.ts'
import type { MessagePortLike } from '../core/port.ts'
import { BeatWriter } from '../runtime/beat.ts'
import type { BeatPhase } from '../runtime/beat.ts'
import type { Entries } from '../runtime/messages.ts'
import type { Moved, Thread, ThreadOptions, Threads } from '../runtime/threads.ts'
import { ChannelEnd, copied, simulatedChannel } from './simulated-channel.ts'
import type { Side } from './simulated-channel.ts'

/** What each thread runs, until it ends by itself or throws. */
export type Bodies = {
  readonly [Entry in keyof Entries]: (
    thread: SimulatedThread,
    data: Entries[Entry]['data'],
  ) => Promise<void>
}

/** What user code does to its thread: ends it, fills its memory, or does not return. */
export type ThreadFault = 'exit' | 'throw' | 'out of memory' | 'hang'

/** Threads of one simulated process. */
export class SimulatedThreads implements Threads {
  readonly #main: Side
  readonly #bodies: Bodies

  constructor(process: SimulatedEnv, bodies: Bodies) {
    this.#bodies = bodies
    this.#main = {
      env: process,
      ends: new Set(),
      threw: (error) => {
        if (process.alive) throw error
      },
    }
  }

  spawn<Entry extends keyof Entries>(
    entry: Entry,
    { name, data, transfer = [] }: ThreadOptions<Entries[Entry]['data']>,
  ): Thread<Entries[Entry]['to'], Entries[Entry]['from']> {
    const thread = new SimulatedThread(this.#main, name.replaceAll(' ', '-'))
    const given = copied(data, transfer, thread) as Entries[Entry]['data']
    thread.start(() => this.#bodies[entry](thread, given))
    return thread
  }

  channel(): [MessagePortLike, MessagePortLike] {
    return simulatedChannel(this.#main, this.#main)
  }
}

/** A thread that shares nothing with the others but shared memory, and of which nothing happens once it has ended. */
export class SimulatedThread implements Thread<unknown, never>, Side {
  readonly env: SimulatedEnv
  readonly ends = new Set<ChannelEnd>()
  /** To main, for the code that runs here. */
  readonly port: ChannelEnd
  readonly #outside: ChannelEnd
  readonly #onError: ((error: Error) => void)[] = []
  readonly #onExit: ((code: number) => void)[] = []
  #told = false
  #endless = false

  constructor(main: Side, name: string) {
    this.env = main.env.thread(name)
    const [outside, port] = simulatedChannel(main, this)
    this.#outside = outside
    this.port = port
  }

  start(body: () => Promise<void>): void {
    void this.env.timers
      .yield()
      .then(body)
      .then(
        () => this.#over(undefined),
        (error: unknown) => this.#over(error),
      )
  }

  postMessage(message: unknown, transfer: readonly Moved[] = []): void {
    this.#outside.postMessage(message, transfer)
  }

  onMessage(receive: (message: never) => void): void {
    this.#outside.on('message', receive as (message: unknown) => void)
  }

  onError(failed: (error: Error) => void): void {
    this.#onError.push(failed)
  }

  onExit(ended: (code: number) => void): void {
    this.#onExit.push(ended)
  }

  terminate(): Promise<void> {
    if (this.#endless) return new Promise(() => undefined)
    const gone = this.#told
      ? Promise.resolve()
      : new Promise<void>((resolve) => this.onExit(() => resolve()))
    this.end(undefined)
    return gone
  }

  threw(error: unknown): void {
    this.#over(error)
  }

  /** Nothing of it happens any more, and main is told. */
  end(error: Error | undefined): void {
    this.env.end()
    this.#tell(error)
    for (const end of this.ends) end.close()
  }

  /** What its code does now, in the middle of something. */
  fault(how: ThreadFault): void {
    if (how === 'hang') this.hang()
    else if (how === 'exit') this.end(undefined)
    else if (how === 'throw') this.end(new Error('thrown where nobody catches it'))
    else
      this.end(
        Object.assign(new Error('Worker terminated due to reaching memory limit'), {
          code: 'ERR_WORKER_OUT_OF_MEMORY',
        }),
      )
  }

  /** Nothing of it happens any more, and nobody is told before somebody else ends it. */
  hang(): void {
    this.env.end()
  }

  /** As `hang`, and nothing ends it but the end of the process: it is in a system call. */
  stick(): void {
    this.env.end()
    this.#endless = true
  }

  /** Main takes it for ended, while it stands still for so long. */
  leave(ms: number): void {
    this.env.freeze(ms)
    this.#tell(undefined)
  }

  #over(error: unknown): void {
    if (this.env.alive) this.end(error as Error | undefined)
  }

  #tell(error: Error | undefined): void {
    if (this.#told) return
    this.#told = true
    this.#outside.arrives(() => {
      if (error !== undefined) for (const failed of this.#onError) failed(error)
      for (const ended of this.#onExit) ended(error === undefined ? 0 : 1)
      this.#outside.close()
    })
  }
}

/** Of a thread that may end in the middle of what it does: what its code then still says of itself, nobody hears. */
export class SimulatedBeat extends BeatWriter {
  readonly #env: SimulatedEnv
  readonly #works: () => void

  /** `works` is called before user code may run. */
  constructor(shared: SharedArrayBuffer, env: SimulatedEnv, works: () => void) {
    super(shared)
    this.#env = env
    this.#works = works
  }

  override beat(phase: BeatPhase): void {
    if (!this.#env.alive) return
    if (phase === 'working') this.#works()
    super.beat(phase)
  }

  override at(task: string | undefined, offset: number | undefined): void {
    if (this.#env.alive) super.at(task, offset)
  }
}

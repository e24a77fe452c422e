/** Someone outside who reads every topic as it grows, keeps offsets of his own, and remembers what he was shown. */
import { crc32 } from 'node:zlib'
import { Arena } from '../../src/core/arena.ts'
import { limits } from '../../src/limits.ts'
import { BlockView } from '../../src/log/block.ts'
import type { Block, Log, Reader } from '../../src/log/log.ts'
import type { TaskReport } from '../../src/process/runner.ts'
import type { SimulatedEngine } from '../../src/testing/index.ts'
import { letGoOn } from './hand.ts'
import { violation } from './violation.ts'

export interface SeenBlock {
  readonly nextOffset: number
  readonly lsn: number
  readonly crc: number
}

export interface SeenRecord {
  readonly offset: number
  readonly lsn: number
  readonly timestamp: number
  readonly key: string | undefined
  readonly text: string
}

/** By topic, then partition. */
export type Records = Map<string, SeenRecord[][]>

const utf8 = new TextDecoder()

/** One pass over topics from the offsets given; where it stops, it can go on. */
export class TopicWalk {
  readonly records: Records = new Map()
  /** By `topic/partition/base offset`. */
  readonly blocks = new Map<string, SeenBlock>()
  /** Where partitions begin of which retention removed something. */
  readonly begins = new Map<string, number>()
  lastLsn = 0
  readonly #next = new Map<string, number>()
  readonly #arena = new Arena(1 << 20)
  readonly #view = new BlockView()
  readonly #mayGo: (topic: string) => boolean
  #reader: Reader | undefined
  #log: Log | undefined

  /** `mayGo`: retention may take records of a topic. Default: only what one stage hands to the next is kept for less time than a run takes. */
  constructor(mayGo = (topic: string): boolean => topic.endsWith('.repartition')) {
    this.#mayGo = mayGo
  }

  /** Reads what there is. Returns how many blocks that was. */
  async read(log: Log): Promise<number> {
    if (log !== this.#log) {
      const topics = (await log.topics.list()).filter(({ kind }) => kind !== 'changelog')
      const from = topics.flatMap(({ name, partitions }) =>
        Array.from({ length: partitions }, (_, partition) => ({
          topic: name,
          partition,
          offset: this.#next.get(`${name}/${partition}`) ?? 0,
        })),
      )
      for (const { name, partitions } of topics) {
        if (!this.records.has(name))
          this.records.set(
            name,
            Array.from({ length: partitions }, () => []),
          )
      }
      this.#reader = await log.reader(from)
      this.#log = log
    }
    return this.#reader === undefined ? 0 : this.#take(this.#reader)
  }

  /** The next read begins with a reader of its own, where this one got to. */
  forget(): void {
    this.#log = undefined
  }

  #take(reader: Reader): number {
    for (let blocks = 0; ;) {
      const next = reader.next(this.#arena)
      if (next.result === 'caught-up') return blocks
      if (next.result === 'arena-full') this.#arena.reset()
      else if (next.result === 'corrupt') throw violation('I6', next.error.message)
      else if (next.result === 'gone') this.#gone(reader, next)
      else {
        this.#block(next)
        blocks++
      }
    }
  }

  #gone(reader: Reader, from: { topic: string; partition: number; earliest: number }): void {
    const { topic, partition, earliest } = from
    if (!this.#mayGo(topic)) throw violation('I1', `${topic}/${partition} begins at ${earliest}`)
    this.begins.set(`${topic}/${partition}`, earliest)
    this.#next.set(`${topic}/${partition}`, earliest)
    reader.seek({ topic, partition, offset: earliest })
  }

  #block(block: Block): void {
    const { topic, partition, baseOffset, nextOffset, lsn, bytes, kind } = block
    const place = `${topic}/${partition}`
    const due = this.#next.get(place) ?? 0
    if (baseOffset < due) throw violation('I4', `${place} gave offset ${baseOffset} after ${due}`)
    if (lsn < this.lastLsn) throw violation('I4', `${place} gave LSN ${lsn} after ${this.lastLsn}`)
    this.lastLsn = lsn
    this.#next.set(place, nextOffset)
    this.blocks.set(`${place}/${baseOffset}`, { nextOffset, lsn, crc: crc32(bytes) })
    if (kind !== 'records') return
    if (!this.#view.read(bytes)) throw violation('I6', `${place} at ${baseOffset} is no block`)
    const into = this.records.get(topic)![partition]!
    for (let i = 0; i < this.#view.count; i++) {
      const key = this.#view.key(i)
      into.push({
        offset: baseOffset + i,
        lsn,
        timestamp: this.#view.timestamps[i]!,
        key: key === undefined ? undefined : utf8.decode(key),
        text: utf8.decode(this.#view.value(i)),
      })
    }
  }
}

/** Looks at the engine's topics whenever it is up, and has tasks go on that a function stopped. */
export class Observer {
  readonly walk = new TopicWalk()
  error: Error | undefined
  everyMs = 7
  #stopped = false

  /** `diskFails`: what he is told about a disk that does not give its bytes back is true. */
  async run(
    engine: SimulatedEngine,
    sleep: (ms: number) => Promise<void>,
    diskFails: () => boolean,
  ): Promise<void> {
    let reading: Log | undefined
    let looks = 0
    while (!this.#stopped) {
      await sleep(this.everyMs)
      const { log } = engine
      if (looks++ % 3 === 0) this.#ask(engine)
      // What comes after he stopped, the one who reads everything need not see.
      if (this.#stopped || log === undefined || log === reading) continue
      // A read of a process that dies under it never ends: only the next process is read anew.
      reading = log
      void this.walk.read(log).then(
        () => (reading = undefined),
        (error: unknown) => {
          if (diskFails() && String(error).includes(' failed with EIO.')) {
            this.walk.forget()
            reading = undefined
            // A log that stops in good order answers whoever still asks that it is closed.
          } else if (engine.log === log && !String(error).includes('MR2009'))
            this.error ??= error instanceof Error ? error : new Error(String(error))
        },
      )
    }
  }

  stop(): void {
    this.#stopped = true
  }

  /** How the tasks stand: those that a function stopped go on. */
  #ask(engine: SimulatedEngine): void {
    const tasks = engine.report()
    this.error ??= outOfBounds(tasks)
    for (const { id, error } of tasks)
      if (error?.code === 'MR4018' && !isPaused(engine, id)) letGoOn(engine, id)
  }

  /** I3, I9: what was shown is still there, unchanged; whole commits of it, as far as he got (I5). */
  check(final: TopicWalk): void {
    for (const [place, { nextOffset, lsn, crc }] of this.walk.blocks) {
      if (isGone(final, place)) continue
      const now = final.blocks.get(place)
      if (now === undefined) throw violation('I9', `${place} of LSN ${lsn} was shown and is gone`)
      if (now.nextOffset !== nextOffset || now.lsn !== lsn || now.crc !== crc)
        throw violation('I3', `${place} of LSN ${lsn} was shown and is another commit's now`)
    }
    for (const [place, { lsn }] of final.blocks) {
      if (lsn < this.walk.lastLsn && !this.walk.blocks.has(place) && !isGone(this.walk, place)) {
        throw violation(
          'I5',
          `${place} of LSN ${lsn} was not shown, although LSN ${this.walk.lastLsn} was`,
        )
      }
    }
  }
}

/** Then somebody else has it go on. */
function isPaused(engine: SimulatedEngine, task: string): boolean {
  return engine.supervisor?.steering.paused.includes(task) ?? false
}

/** I10: what tasks hold. What waits in queues and buffers, the engine asserts itself where it grows. */
function outOfBounds(tasks: readonly TaskReport[]): Error | undefined {
  for (const { id, stateBytes } of tasks) {
    if (stateBytes > limits.stateBytes)
      return violation('I10', `${id} holds ${stateBytes} bytes of state`)
  }
  return undefined
}

export function isGone(walk: TopicWalk, place: string): boolean {
  const cut = place.lastIndexOf('/')
  return Number(place.slice(cut + 1)) < (walk.begins.get(place.slice(0, cut)) ?? 0)
}

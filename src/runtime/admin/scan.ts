import { Arena } from '../../core/arena.ts'
import type { Timers } from '../../core/env/env.ts'
import { BlockView } from '../../log/block.ts'
import type { Log } from '../../log/log.ts'

/** One record while a topic is walked; its bytes are valid only during the call. */
export interface Scanned {
  readonly partition: number
  readonly offset: number
  readonly timestamp: number
  readonly key: Uint8Array | undefined
  readonly value: Uint8Array | undefined
}

/** What reading a topic takes. A long one is read in turns with everything else the thread does. */
export interface Reading {
  readonly log: Log
  readonly timers: Pick<Timers, 'yield'>
}

export interface ScanOptions {
  readonly topic: string
  readonly partition: number
  readonly from: number
}

const arenaBytes = 2 * 1024 * 1024

/**
 * Walks the committed records of one partition from an offset to its present end; `visit` returns false to stop. What
 * retention already took is stepped over. Throws what the log reports as corrupt.
 */
export async function scan(
  { log, timers }: Reading,
  options: ScanOptions,
  visit: (record: Scanned) => boolean,
): Promise<void> {
  const { topic, partition } = options
  const reader = await log.reader([{ topic, partition, offset: options.from }])
  const arena = new Arena(arenaBytes)
  const view = new BlockView()
  try {
    for (;;) {
      const read = reader.next(arena)
      if (read.result === 'caught-up') return
      if (read.result === 'corrupt') throw read.error
      if (read.result === 'arena-full') {
        arena.reset()
        await timers.yield()
      } else if (read.result === 'gone') {
        reader.seek({ topic, partition, offset: read.earliest })
      } else if (read.kind === 'records' && view.read(read.bytes)) {
        for (let i = 0; i < view.count; i++) {
          const offset = read.baseOffset + i
          if (offset < options.from) continue
          const record = {
            partition,
            offset,
            timestamp: view.timestamps[i] ?? 0,
            key: view.key(i),
            value: view.value(i),
          }
          if (!visit(record)) return
        }
      }
    }
  } finally {
    reader.close()
  }
}

/** The memory that the log thread shares with its readers, in every order that its threads can meet in. */
import { PublishedEnd, Sleep } from '../../src/log/embedded/published.ts'
import type { Published } from '../../src/log/embedded/published.ts'
import { explore, PlainRead } from './interleavings.ts'
import type { Explored, Run, Said, Thread } from './interleavings.ts'

/** Every field of the n-th publication is n: what is put together from two is seen. */
const nth = (n: number): Published => ({ segmentEpoch: n, segmentBase: n, end: n, lsn: n })

function publisher(publications: number, memory: SharedArrayBuffer): Thread {
  return (say) => {
    const end = new PublishedEnd(memory)
    for (let n = 1; n <= publications; n++) {
      end.write(nth(n))
      say('published', n)
    }
  }
}

function reader(reads: number, memory: SharedArrayBuffer): Thread {
  return (say) => {
    const end = new PublishedEnd(memory)
    for (let i = 0; i < reads; i++) {
      say('asks', i)
      say('reads', end.read())
    }
  }
}

/** I9: a reader gets a whole publication, none that is not made yet, none older than it got before or was there. */
export function publication(publications: number, readers: number, reads: number): Explored {
  const memory = new SharedArrayBuffer(1_024)
  const threads = [publisher(publications, memory)]
  for (let i = 0; i < readers; i++) threads.push(reader(reads, memory))
  return explore(threads, (run) => {
    for (let thread = 1; thread <= readers; thread++) {
      const found = wrongRead(run, thread)
      if (found !== undefined) return found
    }
    return undefined
  })
}

function wrongRead(run: Run, thread: number): string | undefined {
  let asked = 0
  let last = 0
  for (const { what, value, after } of run.said[thread]!) {
    if (what === 'asks') {
      // With its first operation it begins to look.
      asked = publishedBy(run, run.timeOf(thread, after + 1))
      continue
    }
    const given = new Set(
      Object.values(value as object).flatMap((field) => run.mayGive(field as PlainRead)),
    )
    const [n] = [...given] as number[]
    if (given.size !== 1 || n === undefined)
      return `a read gives parts of publications ${[...given].join(' and ')}`
    const made = publishedBy(run, run.timeOf(thread, after))
    if (n > made) return `a read gives publication ${n} when ${made} were made`
    if (n < asked) return `a read gives publication ${n} when ${asked} had been made`
    if (n < last) return `a read gives publication ${n} after ${last}`
    last = n
  }
  return undefined
}

/** How many publications were whole when the log thread had done so many operations. */
function publishedBy(run: Run, operations: number): number {
  return run.said[0]!.filter(({ after }) => after <= operations).length
}

/** I7: a reader that begins to sleep when something was published that it has not seen is woken. */
export function wakeUp(publications: number): Explored {
  const memory = new SharedArrayBuffer(1_024)
  const asleep = new SharedArrayBuffer(64)
  const log: Thread = (say) => {
    const end = new PublishedEnd(memory)
    const sleep = new Sleep(asleep)
    for (let n = 1; n <= publications; n++) {
      end.write(nth(n))
      if (sleep.ends()) say('wakes', n)
    }
  }
  const client: Thread = (say) => {
    const end = new PublishedEnd(memory)
    const sleep = new Sleep(asleep)
    const { lsn } = end.read()
    if (sleep.begins(end, lsn)) say('sleeps', lsn)
  }
  const of = (all: readonly Said[], what: string) => all.find((said) => said.what === what)
  return explore([log, client], (run) => {
    const sleeps = of(run.said[1]!, 'sleeps')
    if (sleeps === undefined) return undefined
    const [seen] = run.mayGive(sleeps.value as PlainRead)
    const woken = of(run.said[0]!, 'wakes') !== undefined
    if (Number(seen) < publications && !woken)
      return `a reader that saw publication ${String(seen)} sleeps through ${publications}`
    return undefined
  })
}

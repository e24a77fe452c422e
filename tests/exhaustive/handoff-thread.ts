/** Edge: the threads of the hand-off gate. They are ended in the middle of what they do. */
import { parentPort, workerData } from 'node:worker_threads'
import type { MessagePort } from 'node:worker_threads'
import { realEnv } from '../../src/core/env/real/index.ts'
import { SeededRandom } from '../../src/core/env/simulated/index.ts'
import { portOf } from '../../src/core/port.ts'
import { BlockBuilder } from '../../src/log/block.ts'
import { LogClient } from '../../src/log/embedded/index.ts'
import { PublishedEnd } from '../../src/log/embedded/published.ts'

export type HandoffThread =
  | { readonly role: 'publish'; readonly end: SharedArrayBuffer; readonly publications: number }
  /** Stops for good in the middle of its second publication, after so many of its four fields; says so in `there`. */
  | {
      readonly role: 'stop in the middle'
      readonly end: SharedArrayBuffer
      readonly there: SharedArrayBuffer
      readonly fields: number
    }
  | { readonly role: 'read'; readonly end: SharedArrayBuffer; readonly until: number }
  | {
      readonly role: 'commit'
      readonly port: MessagePort
      readonly owner: string
      readonly seed: number
      /** How far it got, for whoever ends it: steps taken, and commits acknowledged. */
      readonly progress: SharedArrayBuffer
    }

export interface ReadReport {
  readonly reads: number
  readonly broken: string | undefined
}

const data = workerData as HandoffThread

/** Every field of the n-th publication is n. */
const nth = (n: number) => ({ segmentEpoch: n, segmentBase: n, end: n, lsn: n })

function publish(end: PublishedEnd, publications: number): void {
  for (let n = 1; n <= publications; n++) end.write(nth(n))
}

function stopInTheMiddle(end: PublishedEnd, there: Int32Array, fields: number): void {
  publish(end, 1)
  let given = 0
  const next = (): number => {
    if (given++ < fields) return 2
    Atomics.store(there, 0, 1)
    Atomics.notify(there, 0)
    for (;;) Atomics.wait(there, 0, 1)
  }
  end.write({
    get segmentEpoch() {
      return next()
    },
    get segmentBase() {
      return next()
    },
    get end() {
      return next()
    },
    get lsn() {
      return next()
    },
  })
}

function read(end: PublishedEnd, until: number): ReadReport {
  let last = 0
  for (let reads = 1; ; reads++) {
    const { segmentEpoch, segmentBase, end: bytes, lsn } = end.read()
    const broken = (what: string): ReadReport => ({ reads, broken: what })
    if (segmentEpoch !== lsn || segmentBase !== lsn || bytes !== lsn)
      return broken(`read ${segmentEpoch}, ${segmentBase}, ${bytes}, ${lsn} as one`)
    if (lsn < last) return broken(`read ${lsn} after ${last}`)
    last = lsn
    if (lsn === until) return { reads, broken: undefined }
  }
}

/** Goes on where the last owner of the task was, one commit after the other, until it is ended or fenced. */
async function commit(given: Extract<HandoffThread, { role: 'commit' }>): Promise<void> {
  const progress = new Int32Array(given.progress)
  const random = new SeededRandom(given.seed, 'commits')
  const step = (): void => {
    Atomics.add(progress, 0, 1)
    Atomics.notify(progress, 0)
  }
  const { owner } = given
  const log = await LogClient.connect(realEnv(), portOf(given.port))
  const writer = await log.open(owner)
  step()
  const block = new BlockBuilder()
  let at = (await log.positions(owner))[0]?.offset ?? 0
  for (;;) {
    const text = `${owner} ${at} `
    for (const topic of ['left', 'right']) {
      const value = text.padEnd(random.int(random.chance(0.2) ? 200_000 : 500), '.')
      block.add(0, undefined, new TextEncoder().encode(value))
      writer.append(topic, 0, block.finish(0), 1)
      step()
    }
    writer.state(`${owner}.changelog`, 0, new TextEncoder().encode(text), 1)
    writer.position(owner, { topic: 'source', partition: 0, offset: at + 1, meta: text })
    const result = writer.commit()
    step()
    const ended = await result
    if (ended.outcome !== 'committed') {
      if (ended.error.kind === 'fenced') return
      throw ended.error
    }
    at++
    // The most that was acknowledged to any owner of this task.
    if (Atomics.load(progress, 1) < at) Atomics.store(progress, 1, at)
    step()
  }
}

if (data.role === 'publish') publish(new PublishedEnd(data.end), data.publications)
else if (data.role === 'read') parentPort?.postMessage(read(new PublishedEnd(data.end), data.until))
else if (data.role === 'commit') await commit(data)
else stopInTheMiddle(new PublishedEnd(data.end), new Int32Array(data.there), data.fields)

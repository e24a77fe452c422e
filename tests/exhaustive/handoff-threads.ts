/** The same with real threads, which are ended in the middle of what they do. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { Arena } from '../../src/core/arena.ts'
import { realEnv } from '../../src/core/env/real/index.ts'
import { SeededRandom } from '../../src/core/env/simulated/index.ts'
import { portOf } from '../../src/core/port.ts'
import type { MessagePortLike } from '../../src/core/port.ts'
import { BlockView } from '../../src/log/block.ts'
import { LogClient } from '../../src/log/embedded/index.ts'
import { PublishedEnd } from '../../src/log/embedded/published.ts'
import type { Log } from '../../src/log/log.ts'
import { startLogThread } from '../../src/runtime/log-host.ts'
import { nodeThreads } from '../../src/runtime/node-threads.ts'
import type { HandoffThread, ReadReport } from './handoff-thread.ts'

function start(data: HandoffThread): Worker {
  const transferList = data.role === 'commit' ? [data.port] : []
  return new Worker(join(import.meta.dirname, 'handoff-thread.ts'), {
    workerData: data,
    transferList,
    execArgv: ['--conditions=millrace-source'],
  })
}

/** What a thread says at its end; rejects when it fails, or does not end. */
function reportOf(thread: Worker, withinMs = 20_000): Promise<ReadReport> {
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => {
      void thread.terminate()
      reject(new Error('a reader does not get on'))
    }, withinMs)
    const end = (): void => clearTimeout(late)
    thread.on('message', (report: ReadReport) => resolve(report))
    thread.on('error', reject)
    thread.on('exit', end)
  })
}

/** Readers in threads of their own while another publishes: each publication whole, none before an earlier one (I9). */
export async function racing(
  publications: number,
  readers: number,
): Promise<readonly ReadReport[]> {
  const end = new PublishedEnd().shared
  const reports = Array.from({ length: readers }, () =>
    reportOf(start({ role: 'read', end, until: publications }), 120_000),
  )
  start({ role: 'publish', end, publications })
  return Promise.all(reports)
}

/** The log thread is ended in the middle of a publication, after so many fields: readers get the last whole one. */
export async function endedWhilePublishing(fields: number): Promise<ReadReport> {
  const end = new PublishedEnd().shared
  const there = new Int32Array(new SharedArrayBuffer(4))
  const log = start({ role: 'stop in the middle', end, there: there.buffer, fields })
  await Atomics.waitAsync(there, 0, 0).value
  await log.terminate()
  return reportOf(start({ role: 'read', end, until: 1 }))
}

export interface HandedOver {
  readonly ended: number
  readonly commits: number
  readonly acknowledged: number
  readonly broken: readonly string[]
}

const owners = ['first', 'second'] as const

/**
 * Workers that commit to a log thread are ended at random moments, in the middle of handing over memory too, and others
 * go on with their tasks; some of these begin before the old one has ended. Then every commit is there whole or not at
 * all (I5), those acknowledged all are (I1), each once (I2, I8), and the position says how many (I2).
 */
export async function handOver(seed: number, times: number): Promise<HandedOver> {
  const dataDir = mkdtempSync(join(tmpdir(), 'millrace-handoff-'))
  const host = await startLogThread(nodeThreads, { dataDir })
  try {
    const log = await LogClient.connect(realEnv(), portOf(host.attach()))
    for (const owner of owners)
      await log.topics.create({ name: `${owner}.changelog`, kind: 'changelog', partitions: 1 })
    for (const name of ['left', 'right', 'source'])
      await log.topics.create({ name, kind: 'user', partitions: 1 })
    const broken: string[] = []
    const acknowledged = await Promise.all(
      owners.map((owner, i) => task(owner, seed * owners.length + i, times, host.attach, broken)),
    )
    let commits = 0
    for (const [i, owner] of owners.entries()) {
      // A last owner, which fences whoever is still there.
      const writer = await log.open(owner)
      const [position] = await log.positions(owner)
      await writer.close()
      const at = position?.offset ?? 0
      commits += at
      if (at < acknowledged[i]!)
        broken.push(`${owner}: ${acknowledged[i]} acknowledged, ${at} there`)
      broken.push(...(await wrong(log, owner, at)))
    }
    log.close()
    const sum = acknowledged.reduce((a, b) => a + b, 0)
    return { ended: times * owners.length, commits, acknowledged: sum, broken }
  } finally {
    await host.close()
    rmSync(dataDir, { recursive: true })
  }
}

/** Ends the owners of one task, one after the other. Returns how many commits were acknowledged to them. */
async function task(
  owner: string,
  seed: number,
  times: number,
  attach: () => MessagePortLike,
  broken: string[],
): Promise<number> {
  const random = new SeededRandom(seed, 'ends')
  let acknowledged = 0
  const end = async ({ worker, progress }: Owner): Promise<void> => {
    await worker.terminate()
    acknowledged = Math.max(acknowledged, progress[1]!)
  }
  let old: Owner | undefined
  for (let i = 0; i < times; i++) {
    const now = startOwner({ port: attach() as HandoffPort, owner, seed: seed * 1_000 + i }, broken)
    if (old !== undefined) {
      // Two think that the task is theirs.
      await reached(now.progress, 1 + random.int(3))
      await end(old)
    }
    await reached(now.progress, 1 + random.int(25))
    // Steps are far apart; this is what is between two of them.
    for (let turn = random.int(20_000); turn > 0; turn--) Atomics.load(now.progress, 0)
    old = random.chance(0.4) ? now : undefined
    if (old === undefined) await end(now)
  }
  if (old !== undefined) await end(old)
  return acknowledged
}

interface Owner {
  readonly worker: Worker
  readonly progress: Int32Array<SharedArrayBuffer>
}

function startOwner(
  given: { readonly port: HandoffPort; readonly owner: string; readonly seed: number },
  broken: string[],
): Owner {
  const progress = new Int32Array(new SharedArrayBuffer(8))
  const worker = start({ role: 'commit', ...given, progress: progress.buffer })
  worker.on('error', (error) => {
    broken.push(`${given.owner}: ${String(error)}`)
    Atomics.add(progress, 0, 1_000)
    Atomics.notify(progress, 0)
  })
  return { worker, progress }
}

type HandoffPort = Extract<HandoffThread, { role: 'commit' }>['port']

async function reached(progress: Int32Array<SharedArrayBuffer>, steps: number): Promise<void> {
  for (;;) {
    const now = Atomics.load(progress, 0)
    if (now >= steps) return
    await Atomics.waitAsync(progress, 0, now).value
  }
}

/** What is not as so many commits of this owner, in their order, would have it. */
async function wrong(log: Log, owner: string, commits: number): Promise<string[]> {
  const wanted = Array.from({ length: commits }, (_, i) => `${owner} ${i} `)
  const lsns = new Map<string, number>()
  const found: string[] = []
  for (const topic of ['left', 'right', `${owner}.changelog`]) {
    const have = await texts(log, topic, owner)
    const differs = wanted.findIndex((text, i) => have[i]?.text !== text)
    if (differs >= 0 || have.length !== commits)
      found.push(
        `${topic} has ${have.length} of ${commits} commits of ${owner}, wrong from ${differs}`,
      )
    for (const { text, lsn } of have) {
      if ((lsns.get(text) ?? lsn) !== lsn) found.push(`${text}is in two commits`)
      lsns.set(text, lsn)
    }
  }
  return found
}

async function texts(
  log: Log,
  topic: string,
  owner: string,
): Promise<readonly { readonly text: string; readonly lsn: number }[]> {
  const reader = await log.reader([{ topic, partition: 0, offset: 0 }])
  const arena = new Arena(1 << 20)
  const view = new BlockView()
  const decoder = new TextDecoder()
  const all: { text: string; lsn: number }[] = []
  for (;;) {
    const block = reader.next(arena)
    if (block.result === 'arena-full') arena.reset()
    else if (block.result !== 'block') {
      reader.close()
      if (block.result !== 'caught-up') throw new Error(`${topic}: ${block.result}`)
      return all.filter(({ text }) => text.startsWith(owner))
    } else if (block.kind === 'state')
      all.push({ text: decoder.decode(block.bytes), lsn: block.lsn })
    else if (view.read(block.bytes)) {
      for (let i = 0; i < view.count; i++)
        all.push({ text: decoder.decode(view.value(i)).replace(/\.+$/, ''), lsn: block.lsn })
    }
  }
}

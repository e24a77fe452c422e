/**
 * What the embedded log costs over the bare disk: commits of several sizes beside the same bytes written and synced
 * twice (segment and mark) by hand, then reading everything back. Usage: node bench/log.ts [directory]
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MessageChannel, Worker, isMainThread, workerData } from 'node:worker_threads'
import type { MessagePort } from 'node:worker_threads'
import { Arena } from '../src/core/arena.ts'
import { realEnv } from '../src/core/env/real/index.ts'
import { portOf } from '../src/core/port.ts'
import { BlockBuilder } from '../src/log/block.ts'
import { LogClient, serveLog } from '../src/log/embedded/index.ts'

const MB = 1024 * 1024

async function logThread(): Promise<void> {
  const { directory, port } = workerData as { directory: string; port: MessagePort }
  const { host } = await serveLog({ env: realEnv(), directory })
  const shared = portOf(port)
  host.attach(shared)
  port.on('close', () => void host.stop().then(() => process.exit()))
}

async function main(): Promise<void> {
  const directory = mkdtempSync(join(process.argv[2] ?? tmpdir(), 'millrace-bench-'))
  const { port1, port2 } = new MessageChannel()
  const thread = new Worker(new URL(import.meta.url), {
    workerData: { directory, port: port2 },
    transferList: [port2],
  })
  const log = await LogClient.connect(realEnv(), portOf(port1))
  await log.topics.create({ name: 'events', kind: 'user', partitions: 8 })
  console.log('commit       log p50     log p99     log MB/s    disk p50    disk MB/s')
  for (const [bytes, times] of [
    [1_000, 2_000],
    [64_000, 1_000],
    [250_000, 600],
    [1 * MB, 300],
    [4 * MB, 80],
    [15 * MB, 30],
  ] as const) {
    const committed = await commits(log, bytes, times)
    const bare = bareDisk(directory, bytes, times)
    const cells = [
      label(bytes),
      us(p(committed, 0.5)),
      us(p(committed, 0.99)),
      rate(bytes, committed),
      us(p(bare, 0.5)),
      rate(bytes, bare),
    ]
    console.log(cells.map((cell) => cell.padEnd(12)).join(''))
  }
  await readBack(log)
  const left = new Promise((resolve) => thread.on('exit', resolve))
  log.close()
  await left
  rmSync(directory, { recursive: true })
}

async function commits(log: LogClient, bytes: number, times: number): Promise<number[]> {
  const writer = await log.open('bench')
  const block = blockOf(bytes / 8)
  const took: number[] = []
  for (let i = 0; i < times; i++) {
    const start = performance.now()
    for (let partition = 0; partition < 8; partition++)
      writer.append('events', partition, block.bytes, block.count)
    writer.position('bench', { topic: 'events', partition: 0, offset: i, meta: '{}' })
    const result = await writer.commit()
    if (result.outcome !== 'committed') throw result.error
    took.push(performance.now() - start)
  }
  return took
}

function blockOf(bytes: number): { bytes: Uint8Array; count: number } {
  const builder = new BlockBuilder()
  const value = new Uint8Array(240).fill(120)
  const key = new TextEncoder().encode('user_456')
  do builder.add(0, key, value)
  while (builder.bytes < bytes)
  const { count } = builder
  return { bytes: builder.finish(0), count }
}

/** The floor: one write and one sync of the data, one write and one sync of a mark. */
function bareDisk(directory: string, bytes: number, times: number): number[] {
  const { disk } = realEnv()
  const data = disk.open(`${directory}/bare-${bytes}`, 'write')
  const mark = disk.open(`${directory}/bare-mark`, 'write')
  const content = new Uint8Array(bytes).fill(1)
  const took: number[] = []
  for (let i = 0; i < times; i++) {
    const start = performance.now()
    for (let done = 0; done < bytes;) done += data.write(content.subarray(done), i * bytes + done)
    data.fdatasync()
    mark.write(content.subarray(0, 64), 0)
    mark.fdatasync()
    took.push(performance.now() - start)
  }
  data.close()
  mark.close()
  return took
}

async function readBack(log: LogClient): Promise<void> {
  const from = Array.from({ length: 8 }, (_, partition) => ({
    topic: 'events',
    partition,
    offset: 0,
  }))
  const reader = await log.reader(from)
  const arena = new Arena(4 * MB)
  let records = 0
  let bytes = 0
  const start = performance.now()
  for (
    let result = reader.next(arena);
    result.result !== 'caught-up';
    result = reader.next(arena)
  ) {
    if (result.result === 'arena-full') arena.reset()
    else if (result.result !== 'block') throw new Error(result.result)
    else {
      records += result.count
      bytes += result.bytes.length
    }
  }
  const seconds = (performance.now() - start) / 1000
  console.log(
    `read ${(bytes / MB).toFixed(0)} MB, ${(records / 1e6).toFixed(1)} M records: ${(bytes / MB / seconds).toFixed(0)} MB/s`,
  )
}

const p = (took: number[], q: number): number =>
  took.toSorted((a, b) => a - b)[Math.floor(q * (took.length - 1))]!
const us = (ms: number): string => `${(ms * 1000).toFixed(0)} us`
const label = (bytes: number): string => (bytes >= MB ? `${bytes / MB} MB` : `${bytes / 1000} KB`)
const rate = (bytes: number, took: number[]): string =>
  ((bytes * took.length) / MB / (took.reduce((a, b) => a + b, 0) / 1000)).toFixed(0)

if (isMainThread) await main()
else await logThread()

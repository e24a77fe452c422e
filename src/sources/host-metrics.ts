import { durationMs } from '../core/duration.ts'
import type { Duration } from '../core/duration.ts'
import type { Disk } from '../core/env/env.ts'
import { DiskError } from '../core/env/env.ts'
import { MillraceError } from '../errors.ts'
import type { Source, SourceContext, SourcePoll, SourceReader } from './source.ts'

/** One event: this machine over the last interval. Rates are per second, sizes bytes. */
export interface HostSample {
  readonly host: string
  /** Milliseconds since 1970. */
  readonly at: number
  /** Busy share of all processors, 0 to 1. */
  readonly cpu: number
  readonly memory_total: number
  /** Total less what could be had without swapping. */
  readonly memory_used: number
  readonly disk_read: number
  readonly disk_written: number
  readonly network_received: number
  readonly network_sent: number
}

export interface HostMetricsOptions {
  /** Time between two events; default `1s`, at least `100ms`. */
  readonly every?: Duration
  /** Name of this machine in the events; default: what the kernel says. */
  readonly host?: string
}

/** This machine's processors, memory, disks and network, from /proc. Linux only. */
export function hostMetrics(options: HostMetricsOptions = {}): Source {
  const every = options.every ?? 1_000
  const everyMs = durationMs(every)
  if (everyMs === undefined || everyMs < 100) {
    throw new MillraceError(
      'MR1063',
      `every of the hostMetrics source is ${JSON.stringify(every)}; it is 100ms or more.`,
    )
  }
  return {
    kind: 'host-metrics',
    replay: 'none',
    partitions: 1,
    describe: `host metrics every ${every}${typeof every === 'number' ? 'ms' : ''}`,
    start: 'latest',
    open: (context) => new HostReader(everyMs, options.host, context),
  }
}

/** What the kernel counts since it started. */
interface Counters {
  readonly at: number
  readonly busy: number
  readonly total: number
  readonly diskRead: number
  readonly diskWritten: number
  readonly received: number
  readonly sent: number
}

class HostReader implements SourceReader {
  readonly #env
  readonly #everyMs: number
  readonly #host: string
  #events: number
  #before: Counters
  #nextAt: number

  constructor(everyMs: number, host: string | undefined, { env, position }: SourceContext) {
    this.#env = env
    this.#everyMs = everyMs
    if (readProc(env.disk, '/proc/stat') === '')
      throw new MillraceError('MR1062', 'There is no /proc/stat here.')
    this.#host = host ?? readProc(env.disk, '/proc/sys/kernel/hostname').trim()
    this.#events = Number(position ?? 0)
    this.#before = this.#read()
    this.#nextAt = this.#before.at + everyMs
  }

  poll(): SourcePoll {
    const now = this.#env.clock.monotonic()
    if (now < this.#nextAt) return { result: 'idle', againInMs: this.#nextAt - now }
    const after = this.#read()
    const sample = this.#sample(this.#before, after)
    this.#before = after
    // A late poll moves the schedule instead of catching up with intervals nobody measured.
    this.#nextAt = Math.max(this.#nextAt + this.#everyMs, now + this.#everyMs / 2)
    const event = new TextEncoder().encode(JSON.stringify(sample))
    return { result: 'events', events: [event], position: String(++this.#events) }
  }

  close(): void {
    this.#nextAt = Infinity
  }

  #sample(before: Counters, after: Counters): HostSample {
    const seconds = Math.max(0.001, (after.at - before.at) / 1000)
    const rate = (from: number, to: number): number => Math.round(Math.max(0, to - from) / seconds)
    const memory = readProc(this.#env.disk, '/proc/meminfo')
    const total = memoryBytes(memory, 'MemTotal')
    const ticks = after.total - before.total
    const cpu = ticks > 0 ? Math.min(1, Math.max(0, (after.busy - before.busy) / ticks)) : 0
    return {
      host: this.#host,
      at: this.#env.clock.now(),
      cpu: Math.round(cpu * 10_000) / 10_000,
      memory_total: total,
      memory_used: total - memoryBytes(memory, 'MemAvailable'),
      disk_read: rate(before.diskRead, after.diskRead),
      disk_written: rate(before.diskWritten, after.diskWritten),
      network_received: rate(before.received, after.received),
      network_sent: rate(before.sent, after.sent),
    }
  }

  #read(): Counters {
    const { disk, clock } = this.#env
    const cpu = numbers(readProc(disk, '/proc/stat').split('\n', 1)[0] ?? '').slice(0, 8)
    const total = cpu.reduce((sum, ticks) => sum + ticks, 0)
    // The fourth is idle time, the fifth waiting for disks: both are time in which more could have been done.
    const idle = (cpu[3] ?? 0) + (cpu[4] ?? 0)
    const disks = diskSectors(readProc(disk, '/proc/diskstats'))
    const network = networkBytes(readProc(disk, '/proc/net/dev'))
    return {
      at: clock.monotonic(),
      busy: total - idle,
      total,
      diskRead: disks.read * 512,
      diskWritten: disks.written * 512,
      received: network.received,
      sent: network.sent,
    }
  }
}

/** Empty where this kernel does not offer the file. */
function readProc(disk: Disk, path: string): string {
  try {
    const file = disk.open(path, 'read')
    try {
      const chunks: Uint8Array[] = []
      let length = 0
      for (;;) {
        const chunk = new Uint8Array(64 * 1024)
        const read = file.read(chunk, length)
        if (read === 0) break
        chunks.push(chunk.subarray(0, read))
        length += read
      }
      return Buffer.concat(chunks).toString('latin1')
    } finally {
      file.close()
    }
  } catch (error) {
    if (error instanceof DiskError) return ''
    throw error
  }
}

/** Whole disks only: their partitions, and what is stacked on them, count the same sectors again. */
function diskSectors(text: string): { read: number; written: number } {
  let read = 0
  let written = 0
  for (const line of text.split('\n')) {
    const fields = line.trim().split(/\s+/)
    if (!/^([sv]d[a-z]+|xvd[a-z]+|nvme\d+n\d+|mmcblk\d+)$/.test(fields[2] ?? '')) continue
    read += Number(fields[5] ?? 0)
    written += Number(fields[9] ?? 0)
  }
  return { read, written }
}

function networkBytes(text: string): { received: number; sent: number } {
  let received = 0
  let sent = 0
  for (const line of text.split('\n')) {
    const colon = line.indexOf(':')
    const name = line.slice(0, colon).trim()
    if (colon < 0 || name === 'lo') continue
    const fields = numbers(line.slice(colon + 1))
    received += fields[0] ?? 0
    sent += fields[8] ?? 0
  }
  return { received, sent }
}

function memoryBytes(text: string, name: string): number {
  const match = new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)
  return Number(match?.[1] ?? 0) * 1024
}

function numbers(line: string): number[] {
  return (line.match(/\d+/g) ?? []).map(Number)
}

import { resolve } from 'node:path'
import { MillraceError } from '../errors.ts'
import { limits } from '../limits.ts'

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent'

/** How an engine runs. Every option has a default; sizes and times carry their unit in the name. */
export interface EngineOptions {
  /** Where log, snapshots and the admin socket live. Default `.millrace` in the working directory. */
  readonly dataDir?: string
  /** Threads that run pipelines, 1 to 64. Default: the number of cores. */
  readonly workers?: number
  /** Address to listen on. Default 127.0.0.1: nothing is reachable from outside unless asked for. */
  readonly host?: string
  /** Port to listen on, 0 for any free one. Default 7171. */
  readonly port?: number
  /**
   * Origins of other sites whose pages may open WebSockets here, e.g. `https://shop.example`. Default: none, only pages
   * from this server.
   */
  readonly allowedOrigins?: readonly string[]
  /**
   * The longest a worker collects work before it commits while there is more to read; one whose pipelines are all behind
   * collects for as long as they are behind, up to five times this. Default 20.
   */
  readonly commitIntervalMs?: number
  /** A worker that shows no progress for this long is ended and replaced, at least 200. Default 30,000. */
  readonly watchdogMs?: number
  /**
   * Memory of the whole process in MiB: heaps of workers and what may wait are made to fit it. At least 496, and 96 more for
   * each worker but the first. Default: 70 % of the machine's memory, or of the container's.
   */
  readonly memoryMb?: number
  /** Heap of each worker in MiB, at least 32. Default: what is left of `memoryMb`, shared evenly, at most 4,096. */
  readonly workerMemoryMb?: number
  /**
   * Bytes per second at which what was written long ago is read again in search of damage: 65,536 to 2^30, or 0 for never.
   * Default 8,388,608.
   */
  readonly scrubBytesPerSecond?: number
  /** So long after the end of one such pass the next begins, 60,000 to 31,536,000,000. Default 86,400,000, a day. */
  readonly scrubEveryMs?: number
  /** What is written to stderr as JSON lines. Default `warn`; `info` on the command line. */
  readonly logLevel?: LogLevel
}

export interface EngineConfig {
  readonly dataDir: string
  readonly workers: number
  readonly host: string
  readonly port: number
  readonly allowedOrigins: readonly string[]
  readonly commitIntervalMs: number
  readonly watchdogMs: number
  readonly workerMemoryMb: number
  /** Of bodies that are being received, at most; and as much of bodies that wait for their commit. */
  readonly bodyBytes: number
  readonly scrubBytesPerSecond: number
  readonly scrubEveryMs: number
  readonly logLevel: LogLevel
}

/** What the defaults depend on. */
export interface Machine {
  readonly cores: number
  readonly memoryBytes: number
  readonly cwd: string
}

const levels: readonly LogLevel[] = ['debug', 'info', 'warn', 'error', 'silent']

const MiB = 2 ** 20
/** What the process takes under load besides: code, threads that are no workers, young generations, connections. */
const engineMb = 352
/** And each worker, besides its heap. */
const workerMb = 40

/** Options with defaults filled in. Throws MR6002 naming the option, its value and what it may be. */
export function resolveConfig(options: EngineOptions, machine: Machine): EngineConfig {
  const workers = integer('workers', options.workers ?? machine.cores, 1, 64)
  const leastMb = 400 + 96 * workers
  const memoryMb = integer(
    'memoryMb',
    options.memoryMb ?? Math.max(leastMb, Math.floor((machine.memoryBytes * 0.7) / MiB)),
    leastMb,
    16_777_216,
  )
  const bodyBytes = Math.min((memoryMb * MiB) / 16, limits.receivingBytes)
  const forWorkers = memoryMb - engineMb - (2 * bodyBytes) / MiB
  const share = Math.floor(forWorkers / workers) - workerMb
  const logLevel = options.logLevel ?? 'warn'
  if (!levels.includes(logLevel)) {
    throw new MillraceError('MR6002', `logLevel is "${logLevel}" and may be ${levels.join(', ')}.`)
  }
  return {
    dataDir: resolve(machine.cwd, text('dataDir', options.dataDir ?? '.millrace')),
    workers,
    host: text('host', options.host ?? '127.0.0.1'),
    port: integer('port', options.port ?? 7171, 0, 65_535),
    allowedOrigins: (options.allowedOrigins ?? []).map(origin),
    commitIntervalMs: integer(
      'commitIntervalMs',
      options.commitIntervalMs ?? limits.commitIntervalMs,
      0,
      60_000,
    ),
    watchdogMs: integer('watchdogMs', options.watchdogMs ?? limits.watchdogMs, 200, 3_600_000),
    bodyBytes,
    workerMemoryMb: integer(
      'workerMemoryMb',
      options.workerMemoryMb ?? Math.min(Math.max(share, 32), 4096),
      32,
      1_048_576,
    ),
    scrubBytesPerSecond:
      options.scrubBytesPerSecond === 0
        ? 0
        : integer(
            'scrubBytesPerSecond',
            options.scrubBytesPerSecond ?? limits.scrubBytesPerSecond,
            65_536,
            2 ** 30,
          ),
    scrubEveryMs: integer(
      'scrubEveryMs',
      options.scrubEveryMs ?? limits.scrubEveryMs,
      60_000,
      31_536_000_000,
    ),
    logLevel,
  }
}

function integer(name: string, value: number, least: number, most: number): number {
  if (Number.isInteger(value) && value >= least && value <= most) return value
  throw new MillraceError(
    'MR6002',
    `${name} is ${value} and must be a whole number from ${least} to ${most}.`,
  )
}

/** As browsers send it: a scheme, a host in small letters, a port where it is not the scheme's own. */
function origin(value: string): string {
  if (URL.canParse(value) && /^https?:$/.test(new URL(value).protocol)) {
    const { origin: own, href } = new URL(value)
    if (href === `${own}/`) return own
  }
  throw new MillraceError(
    'MR6002',
    `allowedOrigins has ${JSON.stringify(value)}; an origin is like https://shop.example, without a path.`,
  )
}

function text(name: string, value: string): string {
  if (typeof value === 'string' && value !== '') return value
  throw new MillraceError('MR6002', `${name} is empty.`)
}

import { existsSync, watch } from 'node:fs'
import { enableCompileCache, flushCompileCache } from 'node:module'
import { dirname, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Command } from '@commander-js/extra-typings'
import { realTimers } from '../../core/env/real/time.ts'
import { MillraceError, reviveError } from '../../errors.ts'
import { cacheDirOf } from '../../runtime/threads.ts'
import type { Engine } from '../../runtime/start.ts'
import type { EngineOptions, LogLevel } from '../../runtime/config.ts'
import { duration, fileUrl, size, wholeNumber } from '../arguments.ts'
import type { Surroundings } from '../program.ts'
import { boundYoungGeneration } from '../young-generation.ts'

const { after } = realTimers()
const changesSettleMs = 200

export function addRun(root: Command, surroundings: Surroundings): void {
  engineCommand(root, 'run', 'run pipelines until stopped')
    .addHelpText(
      'after',
      '\nExample:\n  $ millrace run pipeline.ts --port 8080 --data-dir /var/lib/millrace',
    )
    .action((files, options) =>
      run(
        surroundings,
        files,
        { logLevel: 'info', ...engineOptions(options) },
        options.json === true,
      ),
    )
  engineCommand(root, 'dev', 'run pipelines, and start again whenever one of their files changes')
    .addHelpText('after', '\nExample:\n  $ millrace dev pipeline.ts')
    .action((files, options) =>
      dev(
        surroundings,
        files,
        { logLevel: 'debug', ...engineOptions(options) },
        options.json === true,
      ),
    )
}

function engineCommand(root: Command, name: string, about: string) {
  return root
    .command(name)
    .description(about)
    .argument('<files...>', 'pipeline files (.ts or .js)')
    .option('-d, --data-dir <directory>', 'where log and state live', '.millrace')
    .option(
      '-w, --workers <count>',
      'threads that run pipelines (default: the number of cores)',
      wholeNumber(1, 64),
    )
    .option(
      '-p, --port <port>',
      'port to listen on, 0 for any free one',
      wholeNumber(0, 65_535),
      7171,
    )
    .option('--host <address>', 'address to listen on', '127.0.0.1')
    .option(
      '--allow-origin <origin>',
      'let pages of this site open WebSockets, e.g. https://shop.example; may be repeated',
      (origin: string, before: readonly string[] | undefined) => [...(before ?? []), origin],
    )
    .option(
      '--commit-interval <time>',
      'the longest work is collected before a commit (default: 20ms)',
      duration,
    )
    .option(
      '--watchdog <time>',
      'a worker stuck for this long is replaced (default: 30s)',
      duration,
    )
    .option(
      '--memory <MiB>',
      'memory of the whole process (default: 70 % of what there is)',
      wholeNumber(496),
    )
    .option(
      '--worker-memory <MiB>',
      'heap of each worker (default: its share of --memory, at most 4096)',
      wholeNumber(32),
    )
    .option(
      '--scrub-rate <bytes>',
      'what was written long ago is read again in search of damage, so much a second, 0 for never (default: 8MB)',
      size,
    )
    .option(
      '--scrub-every <time>',
      'so long after the end of one such pass the next begins (default: 1d)',
      duration,
    )
    .option(
      '--log-level <level>',
      `debug, info, warn, error or silent (default: ${name === 'dev' ? 'debug' : 'info'})`,
    )
    .option('--json', 'print the address as JSON')
}

interface Flags {
  readonly dataDir: string
  readonly port: number
  readonly host: string
  readonly allowOrigin?: readonly string[] | undefined
  readonly workers?: number | undefined
  readonly commitInterval?: number | undefined
  readonly watchdog?: number | undefined
  readonly memory?: number | undefined
  readonly workerMemory?: number | undefined
  readonly scrubRate?: number | undefined
  readonly scrubEvery?: number | undefined
  readonly logLevel?: string | undefined
}

function engineOptions(flags: Flags): EngineOptions {
  const { dataDir, port, host, allowOrigin, workers, commitInterval } = flags
  const { watchdog, memory, workerMemory, scrubRate, scrubEvery, logLevel } = flags
  return {
    dataDir,
    port,
    host,
    ...(allowOrigin === undefined ? {} : { allowedOrigins: allowOrigin }),
    ...(workers === undefined ? {} : { workers }),
    ...(commitInterval === undefined ? {} : { commitIntervalMs: commitInterval }),
    ...(watchdog === undefined ? {} : { watchdogMs: watchdog }),
    ...(memory === undefined ? {} : { memoryMb: memory }),
    ...(workerMemory === undefined ? {} : { workerMemoryMb: workerMemory }),
    ...(scrubRate === undefined ? {} : { scrubBytesPerSecond: scrubRate }),
    ...(scrubEvery === undefined ? {} : { scrubEveryMs: scrubEvery }),
    // Checked with the other options, where the message names what it may be.
    ...(logLevel === undefined ? {} : { logLevel: logLevel as LogLevel }),
  }
}

async function run(
  surroundings: Surroundings,
  files: readonly string[],
  options: EngineOptions,
  asJson: boolean,
): Promise<void> {
  const { output, signal } = surroundings
  const engine = await output.progress('Starting', started(files.map(fileUrl), options, signal))
  announce(surroundings, engine, asJson)
  const failing = failed(engine)
  await Promise.race([aborted(signal), failing])
  const stopping = Promise.race([engine.stop(), failing])
  await output.progress('Stopping: the last commits are being written', stopping)
}

/** Loaded only here: other commands start faster without the engine. */
async function started(
  urls: readonly string[],
  options: EngineOptions,
  signal: AbortSignal,
): Promise<Engine> {
  const cache = cacheDirOf(resolve(options.dataDir ?? '.millrace'))
  if (existsSync(cache)) enableCompileCache(cache)
  boundYoungGeneration()
  const { start } = await import('../../runtime/start.ts')
  const engine = await start(urls, options)
  try {
    await Promise.race([engine.ready, failed(engine), aborted(signal)])
  } catch (error) {
    await engine.stop()
    throw error
  }
  // A process that is killed never gets to writing it down.
  flushCompileCache()
  return engine
}

/** Rejects when the engine fails; never resolves. */
async function failed(engine: Engine): Promise<never> {
  const error = await engine.ended
  if (error !== undefined) throw error
  return new Promise(() => {})
}

/** Whether the engine has ended but for a thread that only the end of the process ends: starting again would not help. */
function isStuck(error: unknown): boolean {
  return error instanceof MillraceError && error.code === 'MR6015'
}

/** Like run; a change of a file beside the pipelines stops the engine and starts it again on the same data. */
async function dev(
  surroundings: Surroundings,
  files: readonly string[],
  options: EngineOptions,
  asJson: boolean,
): Promise<void> {
  const { output, signal } = surroundings
  const urls = files.map(fileUrl)
  const changes = new Changes(urls.map((url) => dirname(fileURLToPath(url))))
  try {
    while (!signal.aborted) {
      // From here on, so that what is saved while the engine starts is not missed.
      const over = Promise.race([aborted(signal), changes.next()])
      const failure = (error: unknown): void => {
        if (isStuck(error)) throw error
        output.error(error, asJson)
        output.note('Waiting for a change.')
      }
      const engine = await output
        .progress('Starting', started(urls, options, signal))
        .catch(failure)
      if (engine === undefined) await over
      else {
        announce(surroundings, engine, asJson)
        const ended = engine.ended.then((error) => {
          if (error !== undefined) failure(error)
        })
        await Promise.race([over, ended.then(() => over)])
        await engine.stop()
        await ended
      }
      if (!signal.aborted) output.note('A file changed: starting again.')
    }
  } finally {
    changes.close()
  }
}

function announce({ output, pid }: Surroundings, engine: Engine, asJson: boolean): void {
  const { pipelines, dataDir } = engine.status()
  const running = pipelines.filter(({ state }) => state === 'running').map(({ name }) => name)
  if (asJson) output.json({ url: engine.url, pid, pipelines: running, dataDir })
  else output.line(`Millrace runs ${running.join(', ')} at ${engine.url} (data in ${dataDir})`)
  for (const { error } of pipelines)
    if (error !== undefined) output.error(reviveError(error), asJson)
}

/** Changes of source files in some directories; editors write in bursts, so a burst counts once. */
class Changes {
  readonly #watchers: readonly { close(): void }[]
  #wake: () => void = () => {}

  constructor(directories: readonly string[]) {
    this.#watchers = [...new Set(directories)].map((directory) => {
      if (!existsSync(directory))
        throw new MillraceError('MR6002', `There is no directory ${directory}.`)
      return watch(directory, (_event, name) => {
        if (name === null || /\.[cm]?[jt]s$/.test(name)) this.#wake()
      })
    })
  }

  next(): Promise<void> {
    return new Promise((resolve) => {
      let cancel = (): void => {}
      this.#wake = () => {
        cancel()
        cancel = after(changesSettleMs, resolve)
      }
    })
  }

  close(): void {
    for (const watcher of this.#watchers) watcher.close()
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve()
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
}

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import type { WorkerOptions } from 'node:worker_threads'

/** Running from the repository's sources, threads must take the package's sources too; built, its dist. */
const fromSource = import.meta.url.endsWith('.ts')
const condition = '--conditions=millrace-source'

/** Options of the program that a thread needs as well to load the same modules; others may not apply to threads. */
const inherited =
  /^(--conditions=|-C=|--experimental-transform-types$|--enable-source-maps$|--no-warnings)/

/**
 * For every thread, so that memory stops growing early. And Node ends a thread at its heap limit, but only grants it
 * 16 MiB more to get there; with young generations larger than that, moving one into the old can jump over both, and
 * then the whole process ends.
 */
const youngMb = 24

export interface ThreadOptions {
  readonly name: string
  readonly data: object
  readonly transfer?: WorkerOptions['transferList']
  /** Heap limit in MiB; past it the thread ends with ERR_WORKER_OUT_OF_MEMORY instead of the process. */
  readonly heapMb?: number
  /** Where compiled modules are kept from one start to the next; undefined compiles them each time. */
  readonly cacheDir?: string
}

/**
 * Compiled modules of one data directory, which make a restart several times faster. Not in the system's folder for
 * temporary files, where another user could put something else.
 */
export function cacheDirOf(dataDir: string): string {
  return join(dataDir, 'cache')
}

/** Starts `./<entry>.ts` (built: `.js`) beside this file in a thread of its own. */
export function spawnThread(entry: string, options: ThreadOptions): Worker {
  const execArgv = process.execArgv.filter((argument) => inherited.test(argument))
  if (fromSource && !execArgv.includes(condition)) execArgv.push(condition)
  // Whether a directory may be written to is known only once its log is open; the engine makes the folder then.
  const cached = options.cacheDir !== undefined && existsSync(options.cacheDir)
  return new Worker(new URL(`./${entry}.${fromSource ? 'ts' : 'js'}`, import.meta.url), {
    name: `millrace ${options.name}`,
    workerData: options.data,
    execArgv,
    ...(cached ? { env: { NODE_COMPILE_CACHE: options.cacheDir, ...process.env } } : {}),
    ...(options.transfer === undefined ? {} : { transferList: options.transfer }),
    resourceLimits: {
      maxYoungGenerationSizeMb: youngMb,
      ...(options.heapMb === undefined ? {} : { maxOldGenerationSizeMb: options.heapMb }),
    },
  })
}

import { Worker } from 'node:worker_threads'
import type { WorkerOptions } from 'node:worker_threads'

/** Running from the repository's sources, threads must take the package's sources too; built, its dist. */
const fromSource = import.meta.url.endsWith('.ts')
const condition = '--conditions=millrace-source'

/** Options of the program that a thread needs as well to load the same modules; others may not apply to threads. */
const inherited =
  /^(--conditions=|-C=|--experimental-transform-types$|--enable-source-maps$|--no-warnings)/

export interface ThreadOptions {
  readonly name: string
  readonly data: object
  readonly transfer?: WorkerOptions['transferList']
  /** Heap limit in MiB; past it the thread ends with ERR_WORKER_OUT_OF_MEMORY instead of the process. */
  readonly heapMb?: number
}

/** Starts `./<entry>.ts` (built: `.js`) beside this file in a thread of its own. */
export function spawnThread(entry: string, options: ThreadOptions): Worker {
  const execArgv = process.execArgv.filter((argument) => inherited.test(argument))
  if (fromSource && !execArgv.includes(condition)) execArgv.push(condition)
  return new Worker(new URL(`./${entry}.${fromSource ? 'ts' : 'js'}`, import.meta.url), {
    name: `millrace ${options.name}`,
    workerData: options.data,
    execArgv,
    ...(options.transfer === undefined ? {} : { transferList: options.transfer }),
    ...(options.heapMb === undefined
      ? {}
      : { resourceLimits: { maxOldGenerationSizeMb: options.heapMb } }),
  })
}

import { existsSync } from 'node:fs'
import { MessageChannel, Worker } from 'node:worker_threads'
import type { Transferable } from 'node:worker_threads'
import type { Thread, ThreadOptions, Threads } from './threads.ts'

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

/** Edge: threads of this process. */
export const nodeThreads: Threads = {
  spawn: (entry, options) => threadOf(start(entry, options)),
  channel: () => {
    const { port1, port2 } = new MessageChannel()
    return [port1, port2]
  },
}

/** Starts `./<entry>.ts` (built: `.js`) beside this file in a thread of its own. */
function start(entry: string, options: ThreadOptions<unknown>): Worker {
  const execArgv = process.execArgv.filter((argument) => inherited.test(argument))
  if (fromSource && !execArgv.includes(condition)) execArgv.push(condition)
  // Whether a directory may be written to is known only once its log is open; the engine makes the folder then.
  const cached = options.cacheDir !== undefined && existsSync(options.cacheDir)
  return new Worker(new URL(`./${entry}.${fromSource ? 'ts' : 'js'}`, import.meta.url), {
    name: `millrace ${options.name}`,
    workerData: options.data,
    execArgv,
    ...(cached ? { env: { NODE_COMPILE_CACHE: options.cacheDir, ...process.env } } : {}),
    transferList: [...(options.transfer ?? [])] as Transferable[],
    resourceLimits: {
      maxYoungGenerationSizeMb: youngMb,
      ...(options.heapMb === undefined ? {} : { maxOldGenerationSizeMb: options.heapMb }),
    },
  })
}

function threadOf<To, From>(worker: Worker): Thread<To, From> {
  return {
    postMessage: (message, transfer = []) =>
      worker.postMessage(message, [...transfer] as Transferable[]),
    onMessage: (receive) => void worker.on('message', receive),
    onError: (failed) => void worker.on('error', failed),
    onExit: (ended) => void worker.on('exit', ended),
    terminate: () => worker.terminate(),
  }
}

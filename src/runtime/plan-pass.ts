import type { Env } from '../core/env/env.ts'
import { MillraceError } from '../errors.ts'
import { fileOf } from './load-pipeline.ts'
import type { Planned } from './messages.ts'
import type { Threads } from './threads.ts'

/**
 * Loads user modules in a thread that does nothing else and gives each one's plan or its error, in the order of `urls`. A
 * module that does not end within `timeoutMs` is refused, and the ones after it are loaded in a new thread.
 */
export async function planPass(
  urls: readonly string[],
  { env, threads }: { readonly env: Env; readonly threads: Threads },
  timeoutMs: number,
  cacheDir?: string,
): Promise<Planned[]> {
  const planned: Planned[] = []
  while (planned.length < urls.length) {
    const left = urls.slice(planned.length)
    const part = await onePass(left, env, threads, timeoutMs, cacheDir)
    planned.push(...part.planned)
    const url = left[part.planned.length]
    if (url !== undefined) planned.push({ url, error: part.failure(url).toJSON() })
  }
  return planned
}

interface Pass {
  readonly planned: Planned[]
  /** Why the module after the last planned one gave nothing. */
  failure(url: string): MillraceError
}

async function onePass(
  urls: readonly string[],
  env: Env,
  threads: Threads,
  timeoutMs: number,
  cacheDir: string | undefined,
): Promise<Pass> {
  const thread = threads.spawn('plan-thread', {
    name: 'plan',
    data: { urls },
    heapMb: 512,
    ...(cacheDir === undefined ? {} : { cacheDir }),
  })
  const planned: Planned[] = []
  let why: Error | undefined = new Error('its top level ended the thread')
  let cancel = (): void => {}
  const watch = (): void => {
    cancel()
    cancel = env.timers.after(timeoutMs, () => {
      why = undefined
      void thread.terminate()
    })
  }
  watch()
  thread.onMessage((message) => {
    watch()
    if (message.type === 'planned') planned.push(message.planned)
  })
  thread.onError((error) => (why = error))
  await new Promise((resolve) => thread.onExit(resolve))
  cancel()
  return { planned, failure: (url) => failureOf(url, why, timeoutMs) }
}

function failureOf(url: string, why: Error | undefined, timeoutMs: number): MillraceError {
  if (why === undefined)
    return new MillraceError('MR3095', `${fileOf(url)} had not loaded after ${timeoutMs} ms.`)
  return new MillraceError('MR3094', `${fileOf(url)}: ${why.message}.`, { cause: why })
}

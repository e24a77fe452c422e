import { existsSync } from 'node:fs'
import type { LetterQuery } from '../runtime/admin/letters.ts'
import type { LagRow, TopicDescription, TopicSummary } from '../runtime/admin/topics.ts'
import { MillraceError } from '../errors.ts'
import { engineClient, isRunning } from './engine-client.ts'
import type { EngineClient } from './engine-client.ts'

export interface TailQuery {
  readonly topic: string
  /** An offset, `earliest`, `latest`, or an ISO time. */
  readonly from: string
  readonly follow: boolean
}

/** A dead letter as commands show it; `letter` is its offset, the name that replay and drop take. */
export interface LetterJson {
  readonly letter: number
  readonly [field: string]: unknown
}

/** What can be read of a data directory, whether an engine runs on it or not. */
export interface Access {
  readonly kind: 'engine' | 'directory'
  topics(): Promise<readonly TopicSummary[]>
  topic(name: string): Promise<TopicDescription>
  lag(): Promise<readonly LagRow[]>
  deadLetters(): Promise<
    readonly { readonly pipeline: string; readonly topic: string; readonly open: number }[]
  >
  letters(
    pipeline: string,
    query: LetterQuery,
  ): Promise<{ readonly open: number; readonly letters: readonly LetterJson[] }>
  letter(pipeline: string, offset: number): Promise<LetterJson>
  /** Records as JSON lines. */
  tail(query: TailQuery, signal: AbortSignal): AsyncIterable<string>
  close(): Promise<void>
}

/** The running engine where there is one, else the directory itself, read-only. Throws MR6003 where there is neither. */
export async function openAccess(dataDir: string): Promise<Access> {
  if (await isRunning(dataDir)) return engineAccess(engineClient(dataDir))
  if (existsSync(dataDir)) {
    // Loaded only here: most commands talk to an engine.
    const { directoryAccess } = await import('./directory.ts')
    return directoryAccess(dataDir)
  }
  throw new MillraceError('MR6003', `There is no data directory ${dataDir}.`)
}

const path = (...parts: readonly (string | number)[]): string =>
  `/${parts.map((part) => encodeURIComponent(String(part))).join('/')}`

function engineAccess(client: EngineClient): Access {
  // The engine is this very program on the other side of a socket that only its owner may open: its answers are trusted.
  const get = async <T>(at: string): Promise<T> => (await client.call('GET', at)) as T
  return {
    kind: 'engine',
    topics: () => get(path('admin', 'topics')),
    topic: (name) => get(path('admin', 'topics', name)),
    lag: () => get(path('admin', 'lag')),
    deadLetters: () => get(path('admin', 'dlq')),
    letters: (pipeline, { from, limit }) =>
      get(`${path('admin', 'dlq', pipeline)}?from=${from}&limit=${limit}`),
    letter: (pipeline, offset) => get(path('admin', 'dlq', pipeline, offset)),
    tail: ({ topic, from, follow }, signal) =>
      client.lines(
        `${path('topics', topic)}?from=${encodeURIComponent(from)}&follow=${follow}`,
        signal,
      ),
    close: () => Promise.resolve(),
  }
}

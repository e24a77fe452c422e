import { MillraceError } from '../errors.ts'
import type { Source } from './source.ts'

export interface HttpSourceOptions {
  /** Where events are sent by POST, besides `/topics/<topic>`: `/` and then letters, digits, `/ . _ -`. */
  readonly path: string
  /**
   * `refuse` (default) answers with a verdict per invalid event; `deadLetter` accepts them and keeps them in the
   * dead letters of the pipeline.
   */
  readonly onInvalid?: 'refuse' | 'deadLetter'
}

/** Buckets of producers: the tasks of a push ingest. */
export const pushBuckets = 8

/** Paths the engine itself serves. */
const reserved = ['/topics', '/metrics', '/healthz', '/readyz', '/admin', '/api']

/** Events sent by HTTP POST: one JSON object, a JSON array, or NDJSON, also with gzip. The answer comes when they are durable. */
export function http(options: HttpSourceOptions): Source {
  const { path, onInvalid = 'refuse' } = options
  if (!/^(\/[A-Za-z0-9._-]+)+$/.test(path) || path.length > 200) {
    throw new MillraceError(
      'MR1063',
      `The path ${JSON.stringify(path)} of an http source is not like /events or /shop/orders.`,
    )
  }
  if (reserved.some((own) => path === own || path.startsWith(`${own}/`))) {
    throw new MillraceError('MR1063', `The path ${path} of an http source belongs to the engine.`)
  }
  if (onInvalid !== 'refuse' && onInvalid !== 'deadLetter') {
    const text = `onInvalid of the http source ${path} is ${JSON.stringify(onInvalid)}; it can be refuse or deadLetter.`
    throw new MillraceError('MR1063', text)
  }
  return {
    kind: 'http',
    replay: 'resends',
    partitions: pushBuckets,
    describe: `http POST ${path}`,
    start: 'latest',
    push: { path, onInvalid },
  }
}

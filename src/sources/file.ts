import { MillraceError } from '../errors.ts'
import { FileReader } from './file-reader.ts'
import { checkRate } from './pace.ts'
import type { Source } from './source.ts'

export interface FileSourceOptions {
  /**
   * False (default): the file is read once, to its end. True: what is appended is read too, through rotation by renaming
   * (`events.log` becomes `events.log.1`) and by truncation.
   */
  readonly follow?: boolean
  /** Slows a replay down; default: as fast as events are taken. */
  readonly eventsPerSecond?: number
  /** Where to begin the first time: `earliest` (default) or, with `follow`, `latest`: what is appended from now on. */
  readonly start?: 'earliest' | 'latest'
}

/** A file with one JSON event per line (NDJSON). Goes on after a restart where it stood. */
export function file(path: string, options: FileSourceOptions = {}): Source {
  const { follow = false, start = 'earliest', eventsPerSecond } = options
  checkRate('file', eventsPerSecond)
  if (path === '') throw new MillraceError('MR1063', 'The path of a file source is empty.')
  if (start === 'latest' && !follow) {
    throw new MillraceError(
      'MR1063',
      `The file source ${path} has start: 'latest' without follow: it would read nothing.`,
    )
  }
  const rate = eventsPerSecond === undefined ? '' : `, ${eventsPerSecond}/s`
  return {
    kind: 'file',
    replay: 'replayable',
    partitions: 1,
    describe: `file ${path}${follow ? ', followed' : ''}${rate}`,
    start,
    open: (context) => new FileReader(path, { follow, eventsPerSecond }, context),
  }
}

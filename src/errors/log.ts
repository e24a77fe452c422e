/** Log and disk: MR2xxx. */
import type { ErrorEntry } from './entry.ts'

export const logErrors = {
  MR2001: {
    kind: 'conflict',
    title: 'Another process holds the data directory',
    advice: 'Stop the other engine, or use another data directory.',
  },
  MR2002: {
    kind: 'data',
    title: 'Committed data in the log is damaged',
    advice:
      'Nothing was changed. `millrace verify` and the data directory say what it costs; then restore a backup, or salvage the rest.',
  },
  MR2003: {
    kind: 'data',
    title: 'The data directory holds files of another log',
    advice: 'Nothing was changed. Move the foreign file away, or use the directory it belongs to.',
  },
  MR2004: {
    kind: 'data',
    title: 'The data directory was written by a newer version',
    advice: 'Nothing was changed. Use that version of Millrace, or a newer one.',
  },
  MR2005: {
    kind: 'data',
    title: 'Committed data cannot be read',
    advice: 'It is never skipped: look at the disk, then restart.',
  },
  MR2006: {
    kind: 'fenced',
    title: 'A newer writer took over',
    advice: 'This one must stop; what it staged is dropped.',
  },
  MR2007: {
    kind: 'unavailable',
    title: 'The disk is full',
    advice:
      'Free some space: the log goes on by itself. Nothing of this was written; send it again then.',
    status: 507,
  },
  MR2008: {
    kind: 'unavailable',
    title: 'The disk failed while the log was written',
    advice:
      'The outcome is unknown; the engine stops and decides at its next start. Send it again then.',
    status: 503,
  },
  MR2009: {
    kind: 'unavailable',
    title: 'The log is closed',
    advice: 'Nothing of this was written. Send it again when the engine is up.',
    status: 503,
  },
  MR2010: {
    kind: 'conflict',
    title: 'A topic of this name has another specification',
    advice: 'Choose another name, or delete the topic first.',
    status: 409,
  },
  MR2011: {
    kind: 'invalid',
    title: 'There is no such topic or partition',
    advice: 'See `millrace topics list`.',
    status: 404,
  },
  MR2012: {
    kind: 'invalid',
    title: 'The topic cannot be created like this',
    advice:
      'Names are 1 to 200 of a-z A-Z 0-9 . _ - and neither . nor ..; partitions are a power of two, at most 1024.',
    status: 400,
  },
  MR2013: {
    kind: 'invalid',
    title: 'The commit is larger than a commit may be',
    advice: 'Commit more often, with fewer records at a time.',
    status: 413,
  },
  MR2014: {
    kind: 'data',
    title: 'The position lies outside the log',
    advice:
      'It belongs to another log or another life of this one: reset the position on purpose, never by default.',
  },
  MR2015: {
    kind: 'unavailable',
    title: 'The data directory cannot be opened',
    advice: 'Check that it is there, that it is writable and that the disk works.',
  },
  MR2016: {
    kind: 'invalid',
    title: 'A position cannot be stored like this',
    advice: 'Offsets are whole numbers from 0; the metadata of a position has at most 16 KiB.',
  },
  MR2017: {
    kind: 'conflict',
    title: 'The directory to write to is not empty',
    advice: 'Nothing was changed. Name a directory that does not exist yet.',
  },
  MR2018: {
    kind: 'data',
    title: 'The backup is damaged or not complete',
    advice:
      'Nothing was restored. See what is wrong with `millrace verify` and the directory of the backup, use another backup, or take out what is readable with `millrace salvage`.',
  },
  MR2019: {
    kind: 'unavailable',
    title: 'The data directory changes too fast to be copied',
    advice: 'Try again when less is written.',
  },
  MR2020: {
    kind: 'data',
    title: 'Nothing in the data directory can be salvaged',
    advice: 'Nothing was written. Restore a backup with `millrace restore`.',
  },
  MR2021: {
    kind: 'data',
    title: 'Stored data was found damaged while it was read again',
    advice:
      'The engine goes on. `millrace verify` and the data directory say what it costs; have a backup from before at hand, and look at the disk.',
  },
} as const satisfies Record<string, ErrorEntry>

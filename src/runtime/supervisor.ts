/**
 * What to do about a worker that died or does not move. Pure: facts in, a named decision out; worker-pool.ts acts.
 */
import { MillraceError } from '../errors.ts'

export type DeathCause = 'error' | 'exit' | 'out-of-memory' | 'stuck'

export interface Death {
  /** Monotonic milliseconds. */
  readonly at: number
  readonly cause: DeathCause
  /** The task it was working on, from its marker; undefined where it was between tasks. */
  readonly task: string | undefined
  /** The record it was working on, exact only in careful mode. */
  readonly offset: number | undefined
  /** Whether it ran that task record by record. */
  readonly careful: boolean
}

export interface Restart {
  readonly inMs: number
  /** Tasks to run record by record, so that a record that kills its worker is known exactly. */
  readonly careful: readonly string[]
  /** A record that killed its worker while it was alone: it goes to the dead letters. */
  readonly skip: { readonly task: string; readonly offset: number } | undefined
}

const forgetAfterMs = 60_000
const firstBackoffMs = 100
const longestBackoffMs = 10_000

/** How a worker comes back after the last of `deaths` (oldest first). */
export function restartAfter(deaths: readonly Death[]): Restart {
  const last = deaths.at(-1)
  if (last === undefined) return { inMs: 0, careful: [], skip: undefined }
  const recent = deaths.filter((death) => last.at - death.at < forgetAfterMs)
  const careful = new Set<string>()
  for (const task of new Set(recent.map((death) => death.task))) {
    if (task !== undefined && recent.filter((death) => death.task === task).length >= 2)
      careful.add(task)
  }
  const exact = last.careful && last.task !== undefined && last.offset !== undefined
  const skip = exact ? { task: last.task, offset: last.offset } : undefined
  // A record that is skipped will not kill again: no reason to wait.
  if (skip !== undefined) return { inMs: 0, careful: [...careful], skip }
  const inMs =
    recent.length === 1 ? 0 : Math.min(firstBackoffMs * 2 ** (recent.length - 2), longestBackoffMs)
  return { inMs, careful: [...careful], skip: undefined }
}

/** Deaths that still matter for `restartAfter`. Keeps the list bounded. */
export function remembered(deaths: readonly Death[], now: number): Death[] {
  return deaths.filter((death) => now - death.at < forgetAfterMs).slice(-32)
}

/** A worker's beat, and how long it has been seen standing there. */
export interface BeatSeen {
  readonly beat: number
  readonly stoodMs: number
}

/**
 * The observation after looking again, `passedMs` after the last look. Callers bound `passedMs`: a machine that slept, or
 * main itself being held up, says nothing against the worker.
 */
export function observeBeat(seen: BeatSeen | undefined, beat: number, passedMs: number): BeatSeen {
  if (seen === undefined || seen.beat !== beat) return { beat, stoodMs: 0 }
  return { beat, stoodMs: seen.stoodMs + passedMs }
}

/** What a worker's end means, from Node's `error` event and exit code. */
export function causeOf(error: unknown, ended: 'by-watchdog' | 'by-itself'): DeathCause {
  if (ended === 'by-watchdog') return 'stuck'
  if (error === undefined) return 'exit'
  const code =
    typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined
  return code === 'ERR_WORKER_OUT_OF_MEMORY' ? 'out-of-memory' : 'error'
}

export interface DeathFacts extends Pick<Death, 'cause' | 'task' | 'offset'> {
  readonly worker: number
  /** What its thread failed with, or what it said that it ends for. */
  readonly error: unknown
  readonly patienceMs: number
  readonly workerMemoryMb: number
}

/** What people are told about a worker that died. */
export function deathError(facts: DeathFacts): MillraceError {
  const { cause, task, offset, error } = facts
  const place = offset === undefined ? task : `${task}, offset ${offset}`
  const at = task === undefined ? '' : ` at ${place}`
  const who = `Worker ${facts.worker}`
  switch (cause) {
    case 'stuck':
      return new MillraceError(
        'MR6006',
        `${who} showed no progress for ${facts.patienceMs} ms${at}.`,
      )
    case 'out-of-memory': {
      const what = `${who} needed more than ${facts.workerMemoryMb} MiB of heap${at}.`
      return new MillraceError('MR6007', what, { cause: error })
    }
    case 'exit':
      return new MillraceError(
        'MR6005',
        `${who} ended by itself${at}; user code called process.exit.`,
      )
    case 'error': {
      const ours = error instanceof MillraceError
      const name = error instanceof Error && !ours ? `${error.name}: ` : ''
      const text = error instanceof Error ? `${name}${error.message}` : String(error)
      return new MillraceError('MR6005', `${who} failed with "${text}"${at}.`, { cause: error })
    }
  }
}

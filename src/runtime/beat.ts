/**
 * What a worker tells main through shared memory, because a worker that is stuck or dead sends no messages: a count that
 * moves, what it is doing, and which record it is at.
 */

/** Only in `working` can user code hold a worker up: that is where the watchdog counts. */
const phases = ['starting', 'opening', 'working', 'committing', 'idle', 'disk full'] as const
export type BeatPhase = (typeof phases)[number]

const COUNT = 0
const PHASE = 1
const WORDS = 2

export function newBeat(): SharedArrayBuffer {
  return new SharedArrayBuffer(WORDS * Int32Array.BYTES_PER_ELEMENT)
}

/** The worker's side. */
export function beatWriter(shared: SharedArrayBuffer): (phase: BeatPhase) => void {
  const words = new Int32Array(shared)
  return (phase) => {
    Atomics.store(words, PHASE, phases.indexOf(phase))
    Atomics.add(words, COUNT, 1)
  }
}

/** Main's side. */
export function readBeat(shared: SharedArrayBuffer): { readonly count: number; readonly phase: BeatPhase } {
  const words = new Int32Array(shared)
  return { count: Atomics.load(words, COUNT), phase: phases[Atomics.load(words, PHASE)] ?? 'starting' }
}

/**
 * Names of rare branches, told to whoever counts them: the simulator, which fails when one of them was never reached.
 * In production nobody listens, and a mark is one comparison.
 */
export const marks = [
  'commit: an old owner is refused (I8)',
  'commit: written and not known to be durable',
  'deliver: the sink is ahead of the log',
  'deliver: the sink opened again',
  'ingest: a commit under it did not end well',
  'ingest: a request comes again',
  'log: a failed disk ends it',
  'log: a segment is sealed',
  'log: no room for a commit',
  'recovery: a removed segment is there again',
  'recovery: a torn tail is set aside',
  'recovery: an index is made again',
  'recovery: frames above the mark are written again',
  'recovery: the tail has a flaw',
  'restore: a newer snapshot, as the changelog was trimmed',
  'restore: from a snapshot',
  'retention: a checkpoint first',
  'retention: indexes go for space',
  'retention: segments are removed',
  'retention: segments are rewritten as an archive',
  'snapshot: given up half-way',
  'snapshot: old ones go',
  'snapshot: passed over',
  'supervisor: a record is put aside',
  'supervisor: a stuck worker is ended',
  'supervisor: a task goes on record by record',
  'supervisor: a worker that nothing ends',
  'supervisor: waits before it starts a worker',
  'time: a silent partition is idle',
  'worker: fenced',
  'worker: full',
  'worker: starts over from the last commit',
  'worker: waits before it tries again',
] as const

export type Mark = (typeof marks)[number]

let listener: ((name: Mark) => void) | undefined

export function mark(name: Mark): void {
  if (listener !== undefined) listener(name)
}

/** One listener for the whole thread; undefined takes it away. */
export function onMark(listen: ((name: Mark) => void) | undefined): void {
  listener = listen
}

/** The places at which `points.ts` ends the engine, and what must have happened before each. */
import type { Point } from './point.ts'

/** `windows`: a change of partition, state and SQLite, kept for ever. `files`: kept for a second, a file sink. */
export type World = 'windows' | 'files' | 'new'

export interface PlannedPoint extends Point {
  readonly world: World
  /** Reached in this start only after one before was ended there: what it left is what recovery finds. */
  readonly left?: Omit<Point, 'name'>
  /** Records stay longer than the state of sessions, so that segments go as a whole; else archives are made of them. */
  readonly longer?: boolean
  /** The occurrences tried, one after another; the later ones are rare for what happens once in a start. */
  readonly often: boolean
}

type Moment = Point['when']
const around: readonly Moment[] = ['before', 'after']
const through: readonly Moment[] = ['before', 'half', 'after']

function points(
  name: string,
  moments: readonly Moment[],
  rest: Omit<PlannedPoint, 'name' | 'when' | 'often'> & { often?: boolean },
): PlannedPoint[] {
  return moments.map((when) => ({ often: false, ...rest, name: `${name}, ${when}`, when }))
}

const segment = String.raw`/log/[^/]*\.seg$`
const directory = '/log$'

function commit(): PlannedPoint[] {
  const world = 'windows'
  return [
    ...points('commit: write frames', through, {
      world,
      op: 'write',
      on: segment,
      at: 'behind',
      from: 60,
      often: true,
    }),
    ...points('commit: sync segment', around, {
      world,
      op: 'sync',
      on: segment,
      from: 60,
      often: true,
    }),
    ...points('commit: write mark', through, {
      world,
      op: 'write',
      on: '/MARK$',
      from: 60,
      often: true,
    }),
    ...points('commit: sync mark', around, {
      world,
      op: 'sync',
      on: '/MARK$',
      from: 60,
      often: true,
    }),
  ]
}

function roll(): PlannedPoint[] {
  const world = 'windows'
  const index = String.raw`\.idx$`
  return [
    ...points('roll: create segment', around, { world, op: 'create', on: segment }),
    ...points('roll: write header', through, { world, op: 'write', on: segment, at: 'start' }),
    ...points('roll: sync directory', around, {
      world,
      op: 'sync-directory',
      on: directory,
      from: 2,
    }),
    ...points('roll: open index', around, { world, op: 'open', on: index }),
    ...points('roll: write index', through, { world, op: 'write', on: index }),
  ]
}

function checkpoint(): PlannedPoint[] {
  const world = 'windows'
  const on = String.raw`/SUPER\.[01]$`
  return [
    ...points('checkpoint: open super', around, { world, op: 'open', on, from: 2 }),
    ...points('checkpoint: write super', through, { world, op: 'write', on, from: 2 }),
    ...points('checkpoint: sync super', around, { world, op: 'sync', on, from: 2 }),
  ]
}

function snapshot(): PlannedPoint[] {
  const world = 'windows'
  const on = String.raw`/snapshot\.tmp$`
  const done = String.raw`\.snap$`
  return [
    ...points('snapshot: create', around, { world, op: 'create', on }),
    ...points('snapshot: write entries', ['half', 'after'], {
      world,
      op: 'write',
      on,
      at: 'behind',
    }),
    ...points('snapshot: write header', through, { world, op: 'write', on, at: 'start' }),
    ...points('snapshot: sync', around, { world, op: 'sync', on }),
    ...points('snapshot: rename', around, { world, op: 'rename', on: done }),
    ...points('snapshot: sync directory', around, {
      world,
      op: 'sync-directory',
      on: String.raw`\.changelog/\d+$`,
    }),
    ...points('snapshot: remove the one before', around, { world, op: 'unlink', on: done }),
  ]
}

function retention(): PlannedPoint[] {
  const world = 'files'
  const file = String.raw`\.arc$`
  const removed = String.raw`/log/[^/]*\.(seg|arc)$`
  return [
    ...points('retention: remove segment', around, {
      world,
      longer: true,
      op: 'unlink',
      on: removed,
      archiving: false,
    }),
    ...points('retention: remove index', around, {
      world,
      longer: true,
      op: 'unlink',
      on: String.raw`\.idx$`,
      archiving: false,
    }),
    ...points('archive: open', around, { world, op: 'open', on: String.raw`\.arc\.tmp$` }),
    ...points('archive: write', through, { world, op: 'write', on: String.raw`\.arc\.tmp$` }),
    ...points('archive: sync', around, { world, op: 'sync', on: String.raw`\.arc\.tmp$` }),
    ...points('archive: rename', around, { world, op: 'rename', on: file }),
    ...points('archive: sync directory', around, {
      world,
      op: 'sync-directory',
      on: directory,
      archiving: true,
    }),
    ...points('archive: remove segment', around, {
      world,
      op: 'unlink',
      on: segment,
      archiving: true,
    }),
  ]
}

function sinks(): PlannedPoint[] {
  const sqlite = { world: 'windows', op: 'sqlite', often: true } as const
  const file = { world: 'files', often: true } as const
  const part = String.raw`\.part$`
  const position = String.raw`\.position\.new$`
  return [
    ...points('SQLite sink: begin', around, { ...sqlite, on: '^BEGIN', from: 2 }),
    ...points('SQLite sink: write row', around, { ...sqlite, on: '^INSERT.*pages' }),
    ...points('SQLite sink: write position', around, {
      ...sqlite,
      on: '^INSERT OR REPLACE INTO .*millrace',
      from: 5,
    }),
    ...points('SQLite sink: commit', around, { ...sqlite, on: '^COMMIT', from: 2 }),
    ...points('file sink: open part', around, { ...file, op: 'open', on: part }),
    ...points('file sink: write rows', through, { ...file, op: 'write', on: part }),
    ...points('file sink: sync rows', around, { ...file, op: 'sync', on: part }),
    ...points('file sink: write position', through, {
      ...file,
      op: 'write',
      on: position,
      from: 5,
    }),
    ...points('file sink: sync position', around, { ...file, op: 'sync', on: position, from: 5 }),
    ...points('file sink: rename position', around, {
      ...file,
      op: 'rename',
      on: String.raw`\.position$`,
      from: 5,
    }),
    ...points('file sink: finish file', around, {
      ...file,
      op: 'rename',
      on: String.raw`\.ndjson$`,
    }),
  ]
}

function recovery(): PlannedPoint[] {
  const world = 'windows'
  const torn = { op: 'write', on: segment, at: 'behind', from: 40, when: 'half' } as const
  const whole = { op: 'write', on: '/MARK$', from: 40, when: 'before' } as const
  const rows = { op: 'sync', on: String.raw`\.part$`, from: 5, when: 'after' } as const
  const marks = String.raw`/SUPER\.[01]$`
  return [
    ...points('recovery: copy the torn tail', through, {
      world,
      op: 'write',
      on: '/quarantine/',
      left: torn,
    }),
    ...points('recovery: sync the copy', around, {
      world,
      op: 'sync',
      on: '/quarantine/',
      left: torn,
    }),
    ...points('recovery: cut the tail off', around, {
      world,
      op: 'truncate',
      on: segment,
      left: torn,
    }),
    ...points('recovery: sync the cut', around, { world, op: 'sync', on: segment, left: torn }),
    ...points('recovery: write a commit again', through, {
      world,
      op: 'write',
      on: segment,
      at: 'behind',
      left: whole,
    }),
    ...points('recovery: sync what was written again', around, {
      world,
      op: 'sync',
      on: segment,
      left: whole,
    }),
    ...points('recovery: write mark', through, { world, op: 'write', on: '/MARK$', left: whole }),
    ...points('recovery: write super', through, { world, op: 'write', on: marks, left: whole }),
    ...points('recovery: sync super', around, { world, op: 'sync', on: marks, left: torn }),
    ...points('recovery: claim a file', around, {
      world: 'files',
      op: 'rename',
      on: String.raw`\.position$`,
      left: rows,
    }),
    ...points('recovery: cut a part', around, {
      world: 'files',
      op: 'truncate',
      on: String.raw`\.part$`,
      left: rows,
    }),
    ...points('recovery: finish a part', around, {
      world: 'files',
      op: 'rename',
      on: String.raw`\.ndjson$`,
      left: rows,
    }),
    ...points('recovery: claim in SQLite', around, {
      world,
      op: 'sqlite',
      on: '^COMMIT',
      left: whole,
    }),
  ]
}

function creation(): PlannedPoint[] {
  const world = 'new'
  return [
    ...points('creation: make the directory', around, { world, op: 'mkdir', on: directory }),
    ...points('creation: rename', around, { world, op: 'rename', on: directory }),
    ...points('creation: create mark', around, { world, op: 'create', on: '/MARK$' }),
    ...points('creation: write segment', through, { world, op: 'write', on: segment }),
    ...points('creation: write mark', through, { world, op: 'write', on: '/MARK$' }),
    ...points('creation: write super', through, { world, op: 'write', on: String.raw`/SUPER\.0$` }),
  ]
}

export const table: readonly PlannedPoint[] = [
  ...commit(),
  ...roll(),
  ...checkpoint(),
  ...snapshot(),
  ...retention(),
  ...sinks(),
  ...recovery(),
  ...creation(),
]

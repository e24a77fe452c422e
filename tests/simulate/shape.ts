/** A pipeline as plain data: a seed draws it (draw-shape.ts), pipeline.ts builds it, model.ts works it out. */

/** The field that rows are looked up or grouped by, as a path or as a function of the row; `value` only as a function. */
export interface KeyOf {
  readonly field: 'user' | 'page' | 'value'
  readonly by: 'path' | 'function'
}

export type Step =
  | { readonly kind: 'where'; readonly kinds: readonly string[] }
  /** Drops rows whose value is a multiple of it; from another version of the pipeline on, of another. */
  | { readonly kind: 'filter'; readonly multiples: readonly number[] }
  /** Twice the value and one. */
  | { readonly kind: 'map' }
  /** As many rows as the value says, modulo this. */
  | { readonly kind: 'flatMap'; readonly modulo: number }
  | { readonly kind: 'select' }
  /** Another page: the value modulo this. */
  | { readonly kind: 'derive'; readonly pages: number }
  | { readonly kind: 'keyBy'; readonly key: KeyOf }
  | { readonly kind: 'enrich'; readonly table: 'users' | 'sections'; readonly key: KeyOf }
  | {
      readonly kind: 'aggregate'
      readonly sizeMs: number
      readonly latenessMs: number
      readonly emit: 'close' | 'update'
      readonly of: 'path' | 'function'
      /** Late rows go to a topic. */
      readonly late: boolean
    }
  /** Rows of windows become events again. */
  | { readonly kind: 'again' }

export interface Part {
  readonly name: string
  /** Whose rows it takes, by position; -1 is the stream. */
  readonly from: number
  readonly step: Step
  /**
   * The function throws at this value, and then this happens to the row. With `fail` it throws there now and then: the
   * task stops, and an operator resumes it.
   */
  readonly fails?: { readonly at: number; readonly onError: 'deadLetter' | 'skip' | 'fail' }
  /** Its rows go to a topic of so many partitions. */
  readonly topic?: number
  readonly sink?: 'transactional' | 'at-least-once'
  /** The versions of the pipeline that have it: from the first on, up to and without the second. */
  readonly since: number
  readonly until?: number
}

export type Shape = readonly Part[]

/** What follows for the rows of a part from the parts before it. */
export interface Place {
  readonly form: 'event' | 'window'
  /** What an aggregate calls its key. */
  readonly keyName: string
  /** The field that holds the key, if any is known to. */
  readonly keyPath: string | undefined
  /** They may have left the partition of their source. */
  readonly moved: boolean
  /** A window before them may give several rows: how many there are is not known, only which is the last. */
  readonly unsure: boolean
  /** Windows before them. */
  readonly depth: number
}

export const atStream: Place = {
  form: 'event',
  keyName: 'user',
  keyPath: 'user',
  moved: false,
  unsure: false,
  depth: 0,
}

export function placesOf(shape: Shape): Place[] {
  const places: Place[] = []
  for (const { from, step } of shape) places.push(placeAfter(places[from] ?? atStream, step))
  return places
}

export function placeAfter(before: Place, step: Step): Place {
  switch (step.kind) {
    case 'where':
    case 'filter':
    case 'select':
      return before
    case 'map':
    case 'flatMap':
    case 'derive':
      return { ...before, keyPath: undefined }
    case 'keyBy':
    case 'enrich': {
      const { field, by } = step.key
      if (by === 'function') return { ...before, keyName: 'key', keyPath: undefined, moved: true }
      const same = before.keyPath === field
      const stays = same && (step.kind === 'keyBy' || !before.moved)
      return {
        ...before,
        keyName: field,
        keyPath: step.kind === 'keyBy' ? field : undefined,
        moved: before.moved || !stays,
      }
    }
    case 'aggregate':
      return {
        ...before,
        form: 'window',
        keyPath: before.keyName,
        unsure: before.unsure || step.emit === 'update' || step.latenessMs > 0,
        depth: before.depth + 1,
      }
    case 'again':
      return { ...before, form: 'event', keyPath: undefined }
  }
}

/** Whether a version of the pipeline has a part: with all that it follows from. */
export function isIn(shape: Shape, part: Part, version: number): boolean {
  const { since, until = Infinity, from } = part
  const parent = shape[from]
  return (
    since <= version && version < until && (parent === undefined || isIn(shape, parent, version))
  )
}

/** The shape without a part and what follows from it. */
export function without(shape: Shape, gone: number): Shape {
  const at: number[] = []
  const kept: Part[] = []
  for (const [i, part] of shape.entries()) {
    const from = part.from < 0 ? -1 : at[part.from]!
    const stays = i !== gone && (part.from < 0 || from >= 0)
    at.push(stays ? kept.length : -2)
    if (stays) kept.push({ ...part, from })
  }
  return kept
}

export const topicOf = ({ name }: Part): string => `topic-${name}`
export const lateTopicOf = ({ name }: Part): string => `late-${name}`
/** Where sinks find its rows. */
export const rowTopicOf = ({ name }: Part): string => `sim.${name}`

/** Fields that `enrich` takes over from a table, as data: no function has to be called for them. */
import { MillraceError } from '../errors.ts'
import type { Field } from '../schema/schema.ts'
import type { EnrichNode, TableNode } from './definition.ts'
import { kindOf } from './functions.ts'
import type { PathValue } from './paths.ts'
import type { Shape } from './shape.ts'
import { fieldAt } from './shape.ts'

export interface JoinOptions<J extends 'left' | 'inner'> {
  /** Name in plan and metrics; and of the topic its rows are written to. Default: made from its place. */
  readonly name?: string
  /** What becomes of rows for which the table has none: `left` (default) keeps them, `inner` lets them go. */
  readonly join?: J
}

/** The fields that a join adds. */
export type Joined<U, F extends Readonly<Record<string, string>>, J> = {
  -readonly [N in keyof F]: PathValue<U, F[N]> | (J extends 'inner' ? never : undefined)
}

type Part = Pick<EnrichNode, 'fn' | 'fields' | 'inner' | 'onError' | 'retries'>

/** What an enrich node says of its fields. Throws MR3012 for a field that the table has not, MR3014, MR3016. */
export function joinedFields(
  table: TableNode,
  fields: Readonly<Record<string, string>>,
  join: 'left' | 'inner',
  shape: Shape,
): { readonly node: Part; readonly shape: Shape } {
  if (join !== 'left' && join !== 'inner')
    throw new MillraceError(
      'MR3014',
      `join of enrich() is ${kindOf(join)}; it can be left or inner.`,
    )
  const entries = Object.entries(fields)
  if (entries.length === 0)
    throw new MillraceError(
      'MR3016',
      'enrich() takes at least one field of the table, or a function.',
    )
  const added: Record<string, Field> = {}
  for (const [name, path] of entries) {
    if (name === '' || name.includes('.') || name === '__proto__') {
      const what = `enrich() adds a field called ${JSON.stringify(name)}; a name has no dots.`
      throw new MillraceError('MR3012', what)
    }
    if (typeof path !== 'string')
      throw new MillraceError(
        'MR3016',
        `enrich() takes field paths and got ${kindOf(path)} for ${name}.`,
      )
    const field = fieldAt(table.schema.root, path, `enrich() from ${table.topic}`)
    added[name] = { ...(field ?? { type: 'unknown' }), optional: true }
  }
  const known = shape?.fields
  return {
    node: { fn: pick(entries), fields, inner: join === 'inner', onError: 'deadLetter', retries: 0 },
    shape:
      shape === undefined || known === undefined
        ? undefined
        : { type: 'object', optional: shape.optional, fields: { ...known, ...added } },
  }
}

/** The same as a function of the pipeline. */
function pick(entries: readonly (readonly [string, string])[]): EnrichNode['fn'] {
  const paths = entries.map(([name, path]) => ({ name, names: path.split('.') }))
  return (_: never, found: object | undefined) => {
    const added: Record<string, unknown> = {}
    for (const { name, names } of paths) {
      let at: unknown = found
      for (const one of names)
        at =
          typeof at === 'object' && at !== null && Object.hasOwn(at, one)
            ? (at as Record<string, unknown>)[one]
            : undefined
      added[name] = at
    }
    return added
  }
}

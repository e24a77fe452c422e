/** The table in which a SQLite sink keeps its positions, and how an operator deletes one. */
import { newOpening } from '../position.ts'
import type { Opening } from '../position.ts'
import type { SinkContext } from '../sink.ts'

export const positions = '_millrace_positions'

/** Names of pipelines and sinks have no quotes: they can stand in a statement as they are. */
export function openingIn(path: string, context: SinkContext): Opening {
  const { pipeline, name } = context
  const statement = `DELETE FROM ${positions} WHERE pipeline = '${pipeline}' AND sink = '${name}'`
  return newOpening(context, path, `\`${statement}\` in ${path}`)
}

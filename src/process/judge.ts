/** Whether a record may become a row: values and keys that nobody validated against this schema are looked at here. */
import { MillraceError } from '../errors.ts'
import type { BlockView } from '../log/block.ts'
import type { StageInput } from '../plan/plan.ts'
import { parseEvent } from '../schema/json-gate.ts'
import type { Schema } from '../schema/schema.ts'
import { typeOf } from './operators/operator.ts'

/** What the stream or table of an input says about its records; repartition topics are ours and say nothing. */
export interface InputRules {
  readonly schema: Schema
  readonly key: { readonly path: string } | undefined
}

const strictText = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

export class Judge {
  readonly #role: StageInput['role']
  readonly #schema: Schema | undefined
  /** The value of a record that was looked at last and is good. */
  value: unknown

  constructor(role: StageInput['role'], rules: InputRules | undefined) {
    this.#role = role
    this.#schema = rules?.schema
  }

  /** Nothing has to be looked at but whether value and key are there. */
  trusts(view: BlockView): boolean {
    return this.#schema === undefined || view.schemaVersion === this.#schema.version
  }

  /** Why a record may not become a row. `buffer` is over the block's bytes. */
  refusal(view: BlockView, buffer: Buffer, i: number): MillraceError | undefined {
    const trusted = this.trusts(view)
    const start = view.valueStarts[i]!
    if (start < 0 && this.#role !== 'table') {
      const what = 'The record has no value, and the topic is read as a stream.'
      return new MillraceError('MR4006', what)
    }
    this.value = undefined
    const bad =
      trusted || start < 0 ? undefined : this.#value(buffer, start, start + view.valueLengths[i]!)
    return bad ?? this.#key(view, i, trusted)
  }

  #value(buffer: Buffer, start: number, end: number): MillraceError | undefined {
    const parsed = parseEvent(buffer, start, end)
    if (!parsed.ok) return new MillraceError('MR4006', parsed.what)
    const { value } = parsed
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      return new MillraceError('MR4006', `The value is ${typeOf(value)}.`)
    }
    const problem = this.#schema?.check(value)
    if (problem !== undefined)
      return new MillraceError('MR4007', problem.endsWith('.') ? problem : `${problem}.`)
    this.value = value
    return undefined
  }

  /** Keys must be UTF-8 where they are used: a replaced byte would move the record to another group. */
  #key(view: BlockView, i: number, trusted: boolean): MillraceError | undefined {
    const key = view.key(i)
    if (key === undefined) {
      return this.#role === 'table'
        ? new MillraceError('MR4004', 'The record of a table has no key.')
        : undefined
    }
    if (trusted) return undefined
    try {
      strictText.decode(key)
      return undefined
    } catch {
      return new MillraceError('MR4004', 'The key of the record is not UTF-8.')
    }
  }
}

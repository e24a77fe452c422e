/** Functions of the user, as far as they can be judged without calling them. */
import { MillraceError } from '../errors.ts'
import type { OnError } from './definition.ts'

/** How an operator that calls a function of yours deals with its failures. */
export interface FunctionOptions {
  /** Name in plan, metrics and dead letters; and of the topic its rows are written to. Default: made from its place. */
  readonly name?: string
  /** When the function throws, after the retries: `deadLetter` (default), `skip` (counted), or `fail` (the task stops). */
  readonly onError?: OnError
  /** Calls after the first that threw. Default 0, at most 100. */
  readonly retries?: number
}

const kinds: Readonly<Record<string, string>> = {
  AsyncFunction: 'is async',
  AsyncGeneratorFunction: 'is an async generator',
  GeneratorFunction: 'is a generator',
}

/** `fn` itself. Throws MR3016 where it is no function, MR3015 where it cannot give its result at once. */
export function checkedFunction<F>(where: string, fn: F): F {
  if (typeof fn !== 'function') {
    throw new MillraceError('MR3016', `${where} takes a function here and got ${kindOf(fn)}.`)
  }
  const kind = kinds[fn.constructor.name]
  if (kind !== undefined) throw new MillraceError('MR3015', `The function of ${where} ${kind}.`)
  return fn
}

/** The options with their defaults. Throws MR3014. */
export function failurePolicy(
  where: string,
  options: FunctionOptions,
): { onError: OnError; retries: number } {
  const { onError = 'deadLetter', retries = 0 } = options
  if (onError !== 'deadLetter' && onError !== 'skip' && onError !== 'fail') {
    const text = `onError of ${where} is ${JSON.stringify(onError)}; it can be deadLetter, skip or fail.`
    throw new MillraceError('MR3014', text)
  }
  if (!Number.isInteger(retries) || retries < 0 || retries > 100) {
    throw new MillraceError(
      'MR3014',
      `retries of ${where} is ${retries}; it is a whole number from 0 to 100.`,
    )
  }
  return { onError, retries }
}

export function kindOf(value: unknown): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'an array'
  return typeof value === 'string' ? JSON.stringify(value) : typeof value
}

/**
 * Assertions for invariants. They stay on in production: a broken invariant means that going on could do harm.
 * Operating errors (bad input, full disk) are values or MillraceErrors, never assertions.
 */
export class AssertionError extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'AssertionError'
  }
}

/** Throws unless `condition` holds. Give the message as a function where building it costs something. */
export function assert(condition: unknown, message: string | (() => string)): asserts condition {
  if (!condition) throw new AssertionError(typeof message === 'string' ? message : message())
}

/** The value, asserted to be there. */
export function must<T>(value: T | undefined | null, message: string): T {
  if (value === undefined || value === null) throw new AssertionError(message)
  return value
}

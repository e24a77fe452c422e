/** A promise that was not kept, by its number in the design's list of guarantees. */
export class Violation extends Error {
  readonly invariant: string
  constructor(invariant: string, what: string) {
    super(`${invariant}: ${what}`)
    this.name = 'Violation'
    this.invariant = invariant
  }
}

export function violation(invariant: string, what: string): Violation {
  return new Violation(invariant, what)
}

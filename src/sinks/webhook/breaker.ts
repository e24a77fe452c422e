/**
 * A circuit breaker, pure: facts in, state out. Closed, everything passes. After `failures` failures in a row it opens
 * and nothing passes for `openMs`; then one attempt may try (half open), and its end decides.
 */
export interface BreakerOptions {
  readonly failures: number
  readonly openMs: number
}

export type BreakerState =
  | { readonly kind: 'closed'; readonly failures: number }
  | { readonly kind: 'open'; readonly until: number }
  | { readonly kind: 'half-open' }

export const closed: BreakerState = { kind: 'closed', failures: 0 }

/** Whether an attempt may go now (then `state` is the next one), or how long to wait. */
export function ask(
  state: BreakerState,
  now: number,
):
  | { readonly go: true; readonly state: BreakerState }
  | { readonly go: false; readonly waitMs: number } {
  switch (state.kind) {
    case 'closed':
      return { go: true, state }
    case 'open':
      return now >= state.until
        ? { go: true, state: { kind: 'half-open' } }
        : { go: false, waitMs: state.until - now }
    case 'half-open':
      return { go: false, waitMs: 0 }
  }
}

export function succeeded(): BreakerState {
  return closed
}

export function failed(state: BreakerState, now: number, options: BreakerOptions): BreakerState {
  const failures = state.kind === 'closed' ? state.failures + 1 : options.failures
  return failures >= options.failures
    ? { kind: 'open', until: now + options.openMs }
    : { kind: 'closed', failures }
}

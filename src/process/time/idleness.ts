/**
 * A partition that brings no records must not hold back the others' windows. Its owner decides, and commits, that its
 * watermark rises: to the smallest of the active partitions; when all are idle, by the wall time that passes. A replay
 * takes the decision from the log and does not decide anew (I12).
 */
export interface IdleFacts {
  /** The partition's watermark. */
  readonly watermark: number
  /** Monotonic time. */
  readonly now: number
  /** Since when it could have had records and had none. */
  readonly quietSince: number
  readonly idleMs: number
  /** Of the other partitions; undefined when all are idle. */
  readonly smallestActive: number | undefined
  readonly smallestKnown: number | undefined
  /** Since when all are idle, and the watermark that time is added to. */
  readonly allIdle: AllIdle | undefined
  /** When it was last raised. */
  readonly raisedAt: number
  readonly granularityMs: number
}

export interface AllIdle {
  readonly since: number
  readonly base: number
}

export interface IdleDecision {
  readonly idle: boolean
  readonly raiseTo: number | undefined
  readonly allIdle: AllIdle | undefined
  /** Monotonic time of the next look. */
  readonly lookAt: number
}

/** Between two looks at the others' progress, while there is some. */
const pollMs = 100
/** Other workers' partitions may wake up without a word: nobody looks away for longer. */
const longestPollMs = 1_000
/** With everything idle, a raise must be worth this, and a tenth of the time passed: quiet engines write ever less. */
const leastRaiseMs = 250

export function decideIdle(facts: IdleFacts): IdleDecision {
  const { now, watermark } = facts
  const idleAt = facts.quietSince + facts.idleMs
  if (now < idleAt) return { idle: false, raiseTo: undefined, allIdle: undefined, lookAt: idleAt }
  const { smallestActive } = facts
  if (smallestActive !== undefined) {
    const gain = smallestActive - watermark
    const due = gain >= facts.granularityMs || (gain > 0 && now - facts.raisedAt >= pollMs)
    const raiseTo = due ? smallestActive : undefined
    return { idle: true, raiseTo, allIdle: undefined, lookAt: now + pollMs }
  }
  if (facts.smallestKnown === undefined) {
    return { idle: true, raiseTo: undefined, allIdle: undefined, lookAt: now + longestPollMs }
  }
  const base = Math.max(watermark, facts.smallestKnown)
  const allIdle = facts.allIdle ?? { since: now, base }
  const passed = now - allIdle.since
  const target = Math.floor(allIdle.base + passed)
  const step = Math.max(leastRaiseMs, passed / 10)
  const raiseTo = target - watermark >= step ? target : undefined
  const wait = (raiseTo ?? watermark) + step - target
  const lookAt = now + Math.min(longestPollMs, Math.max(pollMs, wait))
  return { idle: true, raiseTo, allIdle, lookAt }
}

/** What happened in a run, counted. */
export interface Tally {
  kills: number
  powerCuts: number
  workerKills: number
  /** Workers that were stopped, replaced, and woke up. */
  frozen: number
  /** Processes that ended for a worker that nothing ends. */
  stuck: number
  /** Times user code ended its worker, times it did not return, and records that went to the dead letters for it. */
  fatal: number
  hung: number
  blamed: number
  stops: number
  /** Times the disk was full, and times it failed. */
  full: number
  failures: number
  /** Crashes that came while the log thread was in the middle of disk work. */
  midWrite: number
  /** Crashes that came before the engine was up again. */
  inRecovery: number
  /** Recoveries that found a torn tail. */
  torn: number
  snapshots: number
  /** Snapshots of all stores that an operator asked for, and got. */
  taken: number
  /** Times a task was paused, and dead letters that were sent back. */
  paused: number
  /** Starts with another version of the pipeline than the one before. */
  reloads: number
  replayed: number
  /** Batches that reached a sink after the engine had given them up, or after their worker died. */
  lateDeliveries: number
  /** Requests of which a copy came later. */
  copies: number
  events: number
}

export function noTally(): Tally {
  return {
    kills: 0,
    powerCuts: 0,
    workerKills: 0,
    frozen: 0,
    fatal: 0,
    stuck: 0,
    hung: 0,
    blamed: 0,
    stops: 0,
    full: 0,
    failures: 0,
    midWrite: 0,
    inRecovery: 0,
    torn: 0,
    snapshots: 0,
    taken: 0,
    paused: 0,
    reloads: 0,
    replayed: 0,
    lateDeliveries: 0,
    copies: 0,
    events: 0,
  }
}

/** Whatever ended a process, or from outside a worker, that had not asked for it. */
export function crashesOf({
  kills,
  powerCuts,
  workerKills,
  frozen,
  stuck,
  failures,
}: Tally): number {
  return kills + powerCuts + workerKills + frozen + stuck + failures
}

/** What a seed decides: the shape of the pipeline, the sizes, and which faults there are. */
import type { Mode } from '../../src/index.ts'
import type { SeededRandom } from '../../src/testing/index.ts'
import { drawShape } from './draw-shape.ts'
import type { Shape } from './shape.ts'

export interface Config {
  readonly mode: Mode
  readonly partitions: number
  /** Of the table of sections, and of what is looked up there. */
  readonly pagePartitions: number
  readonly shape: Shape
  /** So many of the pipeline, one after another. */
  readonly versions: number
  readonly workers: number
  /** Drawn anew at each start, or always `workers`. */
  readonly changeWorkers: boolean
  readonly commitIntervalMs: number
  readonly stepRows: number
  readonly segmentBytes: number
  readonly checkpointBytes: number
  readonly snapshotBytes: number
  readonly producers: number
  /** One more that has no id: it sends each body once. */
  readonly plain: boolean
  readonly bodies: number
  readonly bodyEvents: number
  readonly users: number
  readonly pages: number
  /** Event time between two events of a producer, and how far one may be out of order. */
  readonly paceMs: number
  readonly disorderMs: number
  /** Event times are multiples of this: with a coarse one they meet the ends of windows exactly. */
  readonly grainMs: number
  readonly boundMs: number
  /** `end`: a last event per partition closes all windows. `idle`: partitions fall silent and time does. */
  readonly closing: 'end' | 'idle'
  readonly idleMs: number
  readonly crashes: number
  /** Between a recovery and what ends it, at most. */
  readonly gapMs: number
  /** Between two bodies of a producer, at most; they go on until the last crash. */
  readonly bodyGapMs: number
  /** Writes and reads that handle a part, operations that take long. */
  readonly weather: boolean
  /** Tasks are paused and resumed, dead letters are sent back, while all else goes on. */
  readonly steered: boolean
  /** A second pipeline reads the same topic. */
  readonly tap: boolean
  /** A third one reads it, whose function ends its worker at some events, or does not return. */
  readonly fatal: boolean
  /** The program around the engine sends events, too. */
  readonly inside: boolean
  /** Once all is checked, a bit of a sealed segment turns over. */
  readonly rot: boolean
  readonly lostAnswers: number
  /** Chance that a copy of a request comes later. */
  readonly lateCopies: number
  /** Now and then the engine stays down for hours, and its clock is set while it is. */
  readonly pauses: boolean
  /** Chance that a delivery to a sink fails before or after it was applied. */
  readonly sinkFaults: number
}

export function draw(random: SeededRandom): Config {
  // Most of what a seed costs is there before its first crash: few seeds have few of them.
  const many = random.chance(0.85)
  const closing = random.chance(0.7) ? 'end' : 'idle'
  const versions = random.pick([1, 1, 2, 3])
  return {
    // On this log both mean the same commits; the promises checked are the same.
    mode: random.chance(0.8) ? 'exactly-once' : 'at-least-once',
    partitions: random.pick([1, 1, 1, 2, 2, 4]),
    pagePartitions: random.pick([1, 1, 1, 2, 2, 4]),
    shape: drawShape(random, { idle: closing === 'idle', versions }),
    versions,
    workers: random.pick([1, 1, 1, 1, 2, 2, 3]),
    changeWorkers: random.chance(0.25),
    commitIntervalMs: random.pick([1, 5, 20]),
    stepRows: random.pick([1, 3, 16, 1_000]),
    segmentBytes: random.pick([16_384, 65_536, 1_048_576]),
    checkpointBytes: random.pick([8_192, 65_536]),
    snapshotBytes: random.pick([500, 4_000, 1_000_000]),
    producers: 1 + random.int(3),
    plain: random.chance(0.7),
    bodies: 4 + random.int(12),
    bodyEvents: random.pick(many ? [1, 2, 6] : [1, 4, 12]),
    users: random.pick([1, 3, 12]),
    pages: random.pick([1, 3, 8]),
    // Where time closes the windows, it has to pass: little of it lies between the events.
    paceMs: random.pick(closing === 'end' ? [100, 700, 2_000] : [20, 100]),
    disorderMs: random.pick([0, 1_000, 8_000]),
    grainMs: random.pick([1, 500]),
    boundMs: random.pick([0, 1_000, 5_000]),
    closing,
    idleMs: closing === 'end' ? 86_400_000 : random.pick([300, 2_000]),
    crashes: many ? 30 + random.int(70) : random.chance(0.3) ? 0 : 1 + random.int(7),
    gapMs: many ? random.pick([2, 10, 40]) : 120,
    bodyGapMs: many ? random.pick([60, 200]) : 30,
    pauses: random.chance(0.3),
    weather: random.chance(0.4),
    steered: random.chance(0.5),
    tap: random.chance(0.3),
    rot: random.chance(0.3),
    lostAnswers: random.pick([0, 0.1, 0.4]),
    lateCopies: random.pick([0, 0.1, 0.4]),
    sinkFaults: random.pick([0, 0.1, 0.3]),
    fatal: random.chance(0.15),
    inside: random.chance(0.2),
  }
}

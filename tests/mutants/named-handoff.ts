/** Planted bugs in the memory that threads share: what a tired engineer could write there. */
import type { NamedMutant } from './mutant.ts'

const published = 'src/log/embedded/published.ts'
const handoff = (only: string) => ({ tests: ['tests/exhaustive/handoff.test.ts'], only })
const whole = handoff('a reader gets a whole publication')
const woken = handoff('a reader that sleeps is woken')

export const namedHandoff: readonly NamedMutant[] = [
  {
    name: 'published-end-looked-at-by-a-load',
    what: 'A reader looks whether it was overtaken by a load, which the reads before it may move below.',
    breaks: 'I9',
    file: published,
    find: 'if (Atomics.add(this.#words, COUNT, 0) === count) return read',
    replace: 'if (Atomics.load(this.#words, COUNT) === count) return read',
    gate: whole,
  },
  {
    name: 'published-end-not-looked-at-again',
    what: 'A reader does not look whether it was overtaken while it read.',
    breaks: 'I9',
    file: published,
    find: 'if (Atomics.add(this.#words, COUNT, 0) === count) return read',
    replace: 'return read',
    gate: whole,
  },
  {
    name: 'published-end-in-one-place',
    what: 'The end of the log is written over the one that readers read.',
    breaks: 'I9',
    file: published,
    find: 'return (count & 1) * FIELDS',
    replace: 'return (count & 0) * FIELDS',
    gate: whole,
  },
  {
    name: 'published-end-counted-first',
    what: 'A publication is counted before it is written.',
    breaks: 'I9',
    file: published,
    find: `    const at = placeOf(Atomics.load(this.#words, COUNT) + 1)
    this.#places[at] = p.segmentEpoch
    this.#places[at + 1] = p.segmentBase
    this.#places[at + 2] = p.end
    this.#places[at + 3] = p.lsn
    Atomics.add(this.#words, COUNT, 1)
`,
    replace: `    const at = placeOf(Atomics.add(this.#words, COUNT, 1) + 1)
    this.#places[at] = p.segmentEpoch
    this.#places[at + 1] = p.segmentBase
    this.#places[at + 2] = p.end
    this.#places[at + 3] = p.lsn
`,
    gate: whole,
  },
  {
    name: 'published-end-not-counted',
    what: 'A publication is written and not counted.',
    breaks: 'I7',
    file: published,
    find: '    Atomics.add(this.#words, COUNT, 1)\n',
    replace: '',
    gate: whole,
  },
  {
    name: 'sleep-without-a-last-look',
    what: 'A reader says that it sleeps and does not look once more.',
    breaks: 'I7',
    file: published,
    find: 'return end.read().lsn <= seenLsn',
    replace: 'return true',
    gate: woken,
  },
  {
    name: 'sleep-after-the-last-look',
    what: 'A reader looks for the last time before it says that it sleeps.',
    breaks: 'I7',
    file: published,
    find: `    Atomics.store(this.#asleep, 0, 1)
    return end.read().lsn <= seenLsn`,
    replace: `    if (end.read().lsn > seenLsn) return false
    Atomics.store(this.#asleep, 0, 1)
    return true`,
    gate: woken,
  },
  {
    name: 'worker-blamed-between-two-tasks',
    what: 'A worker that dies while it says what it works on leaves the old task with the offset of the new.',
    breaks: 'I2',
    file: 'src/runtime/beat.ts',
    find: '    if (!same) Atomics.store(this.#words, NAME_LENGTH, 0)\n',
    replace: '',
    gate: { tests: ['src/runtime/beat.test.ts'] },
  },
]

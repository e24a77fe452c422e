/** Mechanical mutants that need no test, each with the reason. They are not planted. */
import type { MechanicalMutant } from './mechanical.ts'

export interface Harmless {
  readonly file: string
  /** The changed line as it was, and as it is. */
  readonly before: string
  readonly after: string
  /** Which one, where the file holds such a line more than once; from 1, which is the default. */
  readonly nth?: number
  /** Nothing that the program does is different: it counts as neither caught nor survived. */
  readonly equivalent: boolean
  readonly why: string
}

export const harmless: readonly Harmless[] = [
  {
    file: 'src/process/operators/where.ts',
    before: 'if (values.length === 1 && only !== undefined) return (value) => value === only',
    after: 'if (values.length === 1 && only === undefined) return (value) => value === only',
    equivalent: false,
    why: 'Costs time: a set of one value is asked instead, and gives the same answer.',
  },
  {
    file: 'src/runtime/admin/topics.ts',
    before: 'return all.toSorted((a, b) => (a.name < b.name ? -1 : 1))',
    after: 'return all.toSorted((a, b) => (a.name <= b.name ? -1 : 1))',
    equivalent: true,
    why: 'no two topics have one name.',
  },
  {
    file: 'src/process/ingest-pull.ts',
    before: "else signal.addEventListener('abort', done, { once: true })",
    after: 'else ;',
    equivalent: false,
    why: 'A worker goes on when the first of its runners stirs, or when it is told to stop itself: nobody waits for the others.',
  },
  {
    file: 'src/state/memory.ts',
    before: 'if (this.#sorted.length + this.#added.length > 2 * live + 1_024) this.#drop()',
    after: 'if (this.#sorted.length + this.#added.length <= 2 * live + 1_024) this.#drop()',
    equivalent: false,
    why: 'Costs time and memory: the order of the keys is made anew too often, and kept too long.',
  },
  {
    file: 'src/process/deliver-runner.ts',
    before: 'const first = this.#lanes.length === 0 ? 0 : this.#first % this.#lanes.length',
    after: 'const first = this.#lanes.length !== 0 ? 0 : this.#first % this.#lanes.length',
    equivalent: false,
    why: 'Costs fairness: the partitions of a sink do not take turns in being first, which shows only while their dead letters do not fit into one commit.',
  },
  {
    file: 'src/process/windows/aggregate.ts',
    before: 'if (budget.rows-- <= 0) {',
    after: 'if (budget.rows-- < 0) {',
    equivalent: false,
    why: 'One key more is closed before other work has its turn.',
  },
  {
    file: 'src/log/embedded/segments.ts',
    before: 'if (kept !== this.#lastUsed) this.#keep(kept)',
    after: 'if (kept !== this.#lastUsed) ;',
    equivalent: false,
    why: 'Costs time: of the maps of segments that are kept, another is let go first.',
  },
  {
    file: 'src/log/embedded/segments.ts',
    before: 'this.#ranges.clear()',
    after: ';',
    equivalent: false,
    why: 'Costs memory, as long as somebody holds on to a log that was closed.',
  },
  {
    file: 'src/process/shedding.ts',
    before: 'return murmur2(this.#place) >>> 0 < this.#share * 2 ** 32',
    after: 'return murmur2(this.#place) >>> 0 <= this.#share * 2 ** 32',
    equivalent: false,
    why: 'Of 2^32 hashes one more is in a sample; a share of 0, of which that would be all, is refused.',
  },
]

export function explained({ file, before, after, nth }: MechanicalMutant): Harmless | undefined {
  return harmless.find(
    (h) => h.file === file && h.before === before && h.after === after && (h.nth ?? 1) === nth,
  )
}

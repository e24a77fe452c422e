/** Planted bugs in what a stage leaves out of a stream. */
import type { NamedMutant } from './mutant.ts'

const shedding = { tests: ['src/process/shedding.test.ts'] }

export const namedShedding: readonly NamedMutant[] = [
  {
    name: 'shed-not-counted',
    what: 'What is left out beyond the lag is in no counter.',
    breaks: 'I11',
    file: 'src/process/stage-inputs.ts',
    find: `    counters.shed += between
`,
    replace: '',
    gate: shedding,
  },
  {
    name: 'shed-and-worked-on',
    what: 'A record that a policy sheds is counted as shed, and worked on all the same.',
    breaks: 'I2',
    file: 'src/process/scanned-rows.ts',
    find: 'if (refusal === undefined && this.#isWanted(view, i, wanted)) continue',
    replace: 'if (refusal === undefined) continue',
    gate: shedding,
  },
  {
    name: 'shed-below-the-lag',
    what: 'One record more is shed than the lag is too large.',
    breaks: 'I2',
    file: 'src/process/stage-inputs.ts',
    find: 'baseOffset + i < surplusTo)',
    replace: 'baseOffset + i <= surplusTo)',
    gate: shedding,
  },
  {
    name: 'shed-whatever-the-policy',
    what: 'Every policy leaves out all that is too old.',
    breaks: 'I2',
    file: 'src/process/shedding.ts',
    find: `this.unread = shed.policy === 'drop-oldest'`,
    replace: `this.unread = shed.policy !== 'sample'`,
    gate: shedding,
  },
  {
    name: 'time-stands-at-what-is-shed',
    what: 'A record is late or not by what became of the records before it.',
    breaks: 'I12',
    file: 'src/process/stage-inputs.ts',
    find: `if (refused === 'unwanted') task.counters.shed++
    else if`,
    replace: `if (refused === 'unwanted') {
      task.counters.shed++
      return
    }
    if`,
    gate: shedding,
  },
]

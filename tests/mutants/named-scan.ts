/** Planted bugs in what is found in bytes, and in what is added up before it crosses the log. */
import type { NamedMutant } from './mutant.ts'

const windows = { tests: ['src/process/process-runner.test.ts'] }

export const namedScan: readonly NamedMutant[] = [
  {
    name: 'field-behind-the-last-one-missed',
    what: 'A scan stops behind the last field its template has, where a row has another one later.',
    breaks: 'I12',
    file: 'src/schema/scan/wasm.ts',
    find: 'const whole = spec.unknown || template.absent.length > 0',
    replace: 'const whole = spec.unknown',
    gate: { tests: ['src/schema/scan/scan.test.ts'] },
  },
  {
    name: 'view-kept',
    what: 'What a function returns holds the view, which shows another row soon.',
    breaks: 'I2',
    file: 'src/schema/scan/views.ts',
    find: 'return hasView(value, undefined) ? structuredClone(value) : value',
    replace: 'return value',
    gate: { tests: ['src/process/shape.test.ts'] },
  },
  {
    name: 'unknown-fields-written',
    what: 'A row is written as it was read, with fields that the schema does not name.',
    breaks: 'I12',
    file: 'src/process/scanned-rows.ts',
    find: 'return (flag & flags.unknown) === 0',
    replace: 'return true',
    gate: { tests: ['src/process/shape.test.ts', 'src/process/operators/operators.test.ts'] },
  },
  {
    name: 'late-rows-added-up',
    what: 'The first phase of an aggregate adds up what comes too late.',
    breaks: 'I12',
    file: 'src/process/operators/combine.ts',
    find: 'const late = batch.watermark[row]! >= start + sizeMs + latenessMs',
    replace: 'const late = false && sizeMs + latenessMs > 0',
    gate: windows,
  },
  {
    name: 'sums-kept-after-the-commit',
    what: 'What was added up for one commit crosses again with the next.',
    breaks: 'I2',
    file: 'src/process/operators/combine.ts',
    find: `    this.#topic.stage(writer, now)
    this.#tasks.length = 0`,
    replace: `    this.#topic.stage(writer, now)`,
    gate: windows,
  },
]

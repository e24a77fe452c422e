/** The configuration of the tests, with one difference: the files run in the order in which a gate names them. */
import { relative } from 'node:path'
import { mergeConfig } from 'vitest/config'
import { BaseSequencer } from 'vitest/node'
import type { TestSpecification } from 'vitest/node'
import base from '../../vitest.config.ts'

const order = (process.env['GATE_ORDER'] ?? '').split(',')

class AsNamed extends BaseSequencer {
  // oxlint-disable-next-line require-await -- the test runner wants a promise
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const place = ({ moduleId }: TestSpecification): number =>
      order.indexOf(relative(process.cwd(), moduleId))
    return files.toSorted((a, b) => place(a) - place(b))
  }
}

export default mergeConfig(base, {
  test: { sequence: { sequencer: AsNamed }, setupFiles: ['tests/mutants/reach-setup.ts'] },
})

import type { Check } from './finding.ts'
import { sources } from './source.ts'

const contractLinesMax = 150

/** A seam is one file that can be read in one sitting. oxlint bounds the other files and the functions. */
export const contracts: Check = {
  name: 'contracts',
  run(root) {
    return sources(root, 'src')
      .filter(({ isContract }) => isContract)
      .map(({ file, text }) => ({ file, lines: text.trimEnd().split('\n').length }))
      .filter(({ lines }) => lines > contractLinesMax)
      .map(({ file, lines }) => ({
        file,
        line: contractLinesMax + 1,
        rule: 'contracts',
        message: `a contract has at most ${contractLinesMax} lines, this one ${lines}: move types beside it, or shorten`,
      }))
  },
}

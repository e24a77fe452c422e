import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Check, Finding } from './finding.ts'
import { lineAt, sources } from './source.ts'

const numbers = Array.from({ length: 12 }, (_, i) => `I${i + 1}`)
const guarantees = 'docs/concepts/guarantees.md'

/**
 * Every guarantee can be found by its number: in the product where it is upheld (an assertion, or a comment where none
 * makes sense), in the simulator as the name of a check, and in the docs.
 */
export const invariants: Check = {
  name: 'invariants',
  run(root) {
    const product = sources(root, 'src').filter(({ isTest }) => !isTest)
    const simulator = sources(root, 'tests').filter(({ file }) =>
      file.startsWith('tests/simulate/'),
    )
    const docs = readFileSync(join(root, guarantees), 'utf8')
    const missing = numbers.flatMap((number) => [
      ...(product.some(({ text }) => mentions(text, number))
        ? []
        : [finding('src', `${number} is upheld nowhere in src/: name it where it is`)]),
      ...(simulator.some(({ text }) => text.includes(`'${number}'`))
        ? []
        : [finding('tests/simulate', `no check of the simulator has the name '${number}'`)]),
      ...(docs.includes(`- **${number}** `)
        ? []
        : [finding(guarantees, `${number} is not said here`)]),
    ])
    const unknown = [...product, ...simulator].flatMap(({ file, text }) =>
      [...text.matchAll(/\bI(\d{1,2})\b(?!\w)/g)]
        .filter(([number]) => !numbers.includes(number))
        .map(({ index, 0: number }) => ({
          ...finding(file, `${number} is no guarantee`),
          line: lineAt(text, index),
        })),
    )
    return [...missing, ...unknown]
  },
}

function mentions(text: string, number: string): boolean {
  return new RegExp(`\\b${number}\\b`).test(text)
}

function finding(file: string, message: string): Finding {
  return { file, line: 1, rule: 'invariants', message }
}

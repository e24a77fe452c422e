import { posix } from 'node:path'
import type { Check, Finding } from './finding.ts'
import { sources, type Source } from './source.ts'

/** Files that say what must come out. What they share with the product they would get wrong with it. */
const oracles = ['tests/simulate/model.ts', 'tests/simulate/check.ts']

/** Oracles take types of the product and no code, themselves and through what they import. */
export const independence: Check = {
  name: 'oracles',
  run(root) {
    const byFile = new Map(sources(root, 'tests').map((source) => [source.file, source]))
    return oracles.flatMap((oracle) => {
      const source = byFile.get(oracle)
      if (source !== undefined) return findings(source, byFile)
      return [{ file: oracle, line: 1, rule: 'oracles', message: 'this oracle is gone' }]
    })
  },
}

function findings(oracle: Source, byFile: ReadonlyMap<string, Source>): Finding[] {
  const found: Finding[] = []
  const seen = new Set([oracle])
  for (const { file, imports } of seen) {
    for (const { specifier, line, typeOnly } of imports) {
      if (typeOnly || specifier.startsWith('node:')) continue
      const target = posix.join(posix.dirname(file), specifier)
      const next = specifier.startsWith('.') ? byFile.get(target) : undefined
      const message = `${oracle.file} may take types from the product and no code; ${specifier} is code`
      if (next === undefined) found.push({ file, line, rule: 'oracles', message })
      else seen.add(next)
    }
  }
  return found
}

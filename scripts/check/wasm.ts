import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Check, Finding } from './finding.ts'
import { compiled, wasmModules } from './wasm-build.ts'

/** The committed binaries are what the committed sources compile to, byte for byte. */
export const wasm: Check = {
  name: 'wasm',
  async run(root) {
    const findings: Finding[] = []
    for (const module of wasmModules) {
      const { source, binary } = module
      // Trees that plant violations of other rules have none.
      if (!existsSync(join(root, source))) continue
      if (readFileSync(join(root, binary), 'utf8') === (await compiled(root, module))) continue
      const message = `this is not what ${source} compiles to: run npm run wasm`
      findings.push({ file: binary, line: 1, rule: 'wasm', message })
    }
    return findings
  },
}

import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Check } from './finding.ts'
import { binaryFile, binaryModule, compileWasm } from './wasm-build.ts'

/** The committed binary is what the committed source compiles to, byte for byte. */
export const wasm: Check = {
  name: 'wasm',
  async run(root) {
    // Trees that plant violations of other rules have no scanner.
    if (!existsSync(join(root, binaryFile))) return []
    const built = binaryModule(await compileWasm(root))
    if (readFileSync(join(root, binaryFile), 'utf8') === built) return []
    const message = 'this is not what wasm/scan.ts compiles to: run npm run wasm'
    return [{ file: binaryFile, line: 1, rule: 'wasm', message }]
  },
}

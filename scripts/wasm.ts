/** `npm run wasm`: compiles what is in wasm/ into the modules that hold it. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { compiled, wasmModules } from './check/wasm-build.ts'

const root = join(import.meta.dirname, '..')
for (const module of wasmModules) {
  writeFileSync(join(root, module.binary), await compiled(root, module))
  process.stdout.write(`${module.source} → ${module.binary}\n`)
}

/** `npm run wasm`: compiles wasm/scan.ts into src/schema/scan/wasm-binary.ts. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { binaryFile, binaryModule, compileWasm } from './check/wasm-build.ts'

const root = join(import.meta.dirname, '..')
const wasm = await compileWasm(root)
writeFileSync(join(root, binaryFile), binaryModule(wasm))
process.stdout.write(`${binaryFile}: ${wasm.length} bytes of WebAssembly\n`)

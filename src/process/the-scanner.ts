import type { Scanner } from '../schema/scan/scanner.ts'
import { PlainScanner } from '../schema/scan/plain.ts'
import { hasSimd, WasmScanner } from '../schema/scan/wasm.ts'

let scanner: Scanner | undefined

/** The scanner of this thread: steps take turns, and none needs what it found for the one before. */
export function theScanner(): Scanner {
  return (scanner ??= hasSimd() ? new WasmScanner() : new PlainScanner())
}

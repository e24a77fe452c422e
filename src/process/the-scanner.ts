import type { Scanner } from '../schema/scan/scanner.ts'
import { PlainScanner } from '../schema/scan/plain.ts'
import { hasSimd, WasmScanner } from '../schema/scan/wasm.ts'

/** By a scanner in WebAssembly, by one in TypeScript, or by JSON.parse. */
export type Reading = 'wasm' | 'plain' | 'parse'

const scanners = new Map<Reading, Scanner>()

/** The scanner of this thread: steps take turns, and none needs what it found for the one before. Undefined for `parse`. */
export function theScanner(reading: Reading = hasSimd() ? 'wasm' : 'plain'): Scanner | undefined {
  let scanner = scanners.get(reading)
  if (scanner === undefined && reading !== 'parse') {
    scanner = reading === 'wasm' ? new WasmScanner() : new PlainScanner()
    scanners.set(reading, scanner)
  }
  return scanner
}

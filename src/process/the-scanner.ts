import type { Scanner } from '../schema/scan/scanner.ts'
import { PlainScanner } from '../schema/scan/plain.ts'
import { hasSimd, WasmScanner } from '../schema/scan/wasm.ts'

/** By a scanner in WebAssembly, by one in TypeScript, or by JSON.parse. */
export type Reading = 'wasm' | 'plain' | 'parse'

const scanners = new Map<Reading | undefined, Scanner>()

/** The scanner of this thread: steps take turns, and none needs what it found for the one before. Undefined for `parse`. */
export function theScanner(reading?: Reading): Scanner | undefined {
  let scanner = scanners.get(reading)
  if (scanner === undefined && reading !== 'parse') {
    scanner = reading === undefined ? best() : made(reading)
    scanners.set(reading, scanner)
  }
  return scanner
}

function made(reading: 'wasm' | 'plain'): Scanner {
  return reading === 'wasm' ? new WasmScanner() : new PlainScanner()
}

function best(): Scanner {
  if (!hasSimd()) return made('plain')
  try {
    return made('wasm')
  } catch (error) {
    // Its memory reserves gigabytes of addresses, which a limit on these (`ulimit -v`) refuses.
    if (error instanceof RangeError) return made('plain')
    throw error
  }
}

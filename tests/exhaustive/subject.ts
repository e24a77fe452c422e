/** What is decoded, and how it is judged. */
import type { DiskFile } from '../../src/core/env/env.ts'
import { MillraceError } from '../../src/errors.ts'

export interface Subject {
  readonly name: string
  readonly seeds: readonly Uint8Array[]
  /** It takes so long that it is called one time in eight only. */
  readonly slow?: boolean
  /** The seeds are JSON, at least in their first line. */
  readonly json?: boolean
  /** Makes checksums right again after a change, so that what lies behind them is reached. */
  readonly seal?: (bytes: Uint8Array) => void
  /** Throws where the bytes are taken for something they are not. Returns whether they were taken at all. */
  readonly decode: (bytes: Uint8Array) => boolean | Promise<boolean>
}

export function must(holds: boolean, what: string): void {
  if (!holds) throw new Error(what)
}

/** Runs `act`; errors with one of these codes are an answer, all others are not. */
export function refusing(codes: string, act: () => void): boolean {
  try {
    act()
    return true
  } catch (error) {
    if (error instanceof MillraceError && codes.includes(error.code)) return false
    throw error
  }
}

/** A file that is nothing but these bytes. */
export class Bytes implements DiskFile {
  readonly path = 'snapshot'
  bytes: Uint8Array
  constructor(bytes: Uint8Array) {
    this.bytes = bytes
  }
  read(into: Uint8Array, position: number): number {
    const part = this.bytes.subarray(position, position + into.length)
    into.set(part)
    return part.length
  }
  write(bytes: Uint8Array, position: number): number {
    const grown = new Uint8Array(Math.max(this.bytes.length, position + bytes.length))
    grown.set(this.bytes)
    grown.set(bytes, position)
    this.bytes = grown
    return bytes.length
  }
  size(): number {
    return this.bytes.length
  }
  truncate(): void {}
  fdatasync(): void {}
  close(): void {}
}

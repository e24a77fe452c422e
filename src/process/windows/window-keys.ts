/** Keys of window state: the window's start in ten characters that sort as the numbers do, then type and text of the group. */
import type { GroupKey } from '../keys.ts'
import { fromStoreKey } from '../keys.ts'

const BIAS = 2e14
const WIDTH = 10

/** Sorts by start; safe for the starts of windows in the years 1 to 9999. */
export function startPrefix(start: number): string {
  return (start + BIAS).toString(36).padStart(WIDTH, '0')
}

/** Greater than every key with this prefix, and less than the next prefix. */
export function prefixEnd(prefix: string): string {
  return `${prefix}\uffff`
}

export function startOf(key: string): number {
  return Number.parseInt(key.slice(0, WIDTH), 36) - BIAS
}

export function groupOf(key: string): GroupKey {
  return fromStoreKey(key.slice(WIDTH))
}

/** The text of the group's key, which decided its partition. */
export function partitionText(key: string): string {
  return key.slice(WIDTH + 1)
}

/**
 * Keys of rows. A key is a string, a number, a boolean, or an array of these (composite); its text decides the partition,
 * and text and type together decide the group, so that 5 and "5" are two groups, as they are for a Map.
 */
import { keyText } from './ingest-event.ts'

export type GroupKey = string | number | boolean | readonly unknown[]

/** The key as a group key; undefined where it cannot be one (null, objects, NaN, lone surrogates). */
export function groupKey(value: unknown): GroupKey | undefined {
  if (typeof value === 'string') return value.isWellFormed() ? value : undefined
  if (typeof value === 'boolean') return value
  if (Object.is(value, -0)) return 0
  return keyText(value) === undefined ? undefined : (value as GroupKey)
}

/** What decides the partition: a string as it is, a number's shortest decimal, a composite as JSON. */
export function textOf(key: GroupKey): string {
  if (typeof key === 'string') return key
  return typeof key === 'object' ? JSON.stringify(key) : String(key)
}

/** Type and text: the identity of the group in a store. */
export function storeKeyOf(key: GroupKey): string {
  switch (typeof key) {
    case 'string':
      return `s${key}`
    case 'number':
      return `n${key}`
    case 'boolean':
      return `b${key}`
    default:
      return `j${JSON.stringify(key)}`
  }
}

export function fromStoreKey(stored: string): GroupKey {
  const text = stored.slice(1)
  switch (stored.charCodeAt(0)) {
    case 0x73:
      return text
    case 0x6e:
      return Number(text)
    case 0x62:
      return text === 'true'
    default:
      return JSON.parse(text) as GroupKey
  }
}

/** Keys of repartition topics are JSON, so that the next stage sees the type too. */
export function keyJson(key: GroupKey): string {
  return JSON.stringify(key)
}

export function fromKeyJson(json: string): GroupKey {
  // Most keys are strings without escapes: no parser is needed for these.
  if (json.charCodeAt(0) === 0x22 && !json.includes('\\')) return json.slice(1, -1)
  return JSON.parse(json) as GroupKey
}

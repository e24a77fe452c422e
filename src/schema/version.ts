import { xxh64 } from '../core/hash.ts'

/** 32 bits of a hash over anything made of JSON and functions; never 0. The order of object keys does not matter. */
export function versionOf(value: unknown): number {
  const hash = xxh64(new TextEncoder().encode(canonical(value)))
  return Number(hash & 0xffffffffn) || 1
}

function canonical(value: unknown): string {
  if (typeof value === 'function') return JSON.stringify(String(value))
  if (value instanceof RegExp) return JSON.stringify(String(value))
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null'
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`
  const entries = Object.entries(value).filter(([, member]) => member !== undefined)
  // TypeBox keeps the functions of Refine in a hidden property.
  if ('~refine' in value) entries.push(['~refine', value['~refine']])
  entries.sort(([a], [b]) => (a < b ? -1 : 1))
  return `{${entries.map(([name, member]) => `${JSON.stringify(name)}:${canonical(member)}`).join(',')}}`
}

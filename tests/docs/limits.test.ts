import { expect, test } from 'vitest'
import { limits } from '../../src/limits.ts'
import { pageOf } from './pages.ts'

const { text } = pageOf('docs/reference/limits.md')
const rows = text
  .split('\n')
  .map((line) => /^\| `(\w+)` \| ([^|]+) \| /.exec(line))
  .filter((match) => match !== null)
  .map((match) => [match[1] ?? '', match[2] ?? ''] as const)

/** A limit as people read it: by its name it is bytes, milliseconds or a count. */
function shown(name: string, value: number): string {
  const bytes = [1, 'bytes', 1024, 'KiB', 1024 ** 2, 'MiB', 1024 ** 3, 'GiB'] as const
  const times = [1, 'ms', 1_000, 's', 60_000, 'min', 3_600_000, 'h', 86_400_000, 'd'] as const
  const units = name.endsWith('Ms') ? times : /Bytes(PerSecond)?$/.test(name) ? bytes : undefined
  if (units === undefined) return value.toLocaleString('en-US')
  let best = ''
  for (let i = 0; i < units.length; i += 2) {
    const size = units[i] as number
    if (value % size === 0) best = `${(value / size).toLocaleString('en-US')} ${units[i + 1] ?? ''}`
  }
  return name.endsWith('PerSecond') ? `${best}/s` : best
}

test('the page has every limit with its value, and no other', () => {
  const expected = Object.entries(limits).map(([name, value]) => [name, shown(name, value)])
  const byName = (a: readonly string[], b: readonly string[]): number =>
    (a[0] ?? '') < (b[0] ?? '') ? -1 : 1
  expect(rows.toSorted(byName)).toEqual(expected.toSorted(byName))
})

import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { MillraceError } from '../errors.ts'
import { exitCodeOf, exitCodes } from './exit-codes.ts'

describe('exit codes', () => {
  it('are documented, each with its meaning, and none besides', () => {
    const page = readFileSync(new URL('../../docs/reference/cli.md', import.meta.url), 'utf8')
    const rows = [...page.matchAll(/^\| (\d+) \| (.+) \|$/gm)].map(([, code, meaning]) => [
      code,
      meaning,
    ])
    expect(Object.fromEntries(rows)).toEqual(exitCodes)
  })

  it('say what kind of thing went wrong', () => {
    expect(exitCodeOf(new MillraceError('MR6001', 'x'))).toBe(5)
    expect(exitCodeOf(new MillraceError('MR6002', 'x'))).toBe(2)
    expect(exitCodeOf(new MillraceError('MR6003', 'x'))).toBe(4)
    expect(exitCodeOf(new MillraceError('MR3090', 'x'))).toBe(3)
    expect(exitCodeOf(new Error('x'))).toBe(1)
  })
})

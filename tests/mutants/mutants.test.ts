import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { parseSync } from 'oxc-parser'
import { expect, test } from 'vitest'
import { harmless } from './harmless.ts'
import { drawn, folders, mutantsOf } from './mechanical.ts'
import { planted, root, sourceOf } from './mutant.ts'
import { named } from './named.ts'

test('every named mutant still finds the text it changes, once, and leaves valid syntax', () => {
  for (const mutant of named) {
    const text = planted(sourceOf(mutant.file), mutant)
    const { errors } = parseSync(mutant.file, text)
    const missing =
      'tests' in mutant.gate
        ? mutant.gate.tests.filter((file) => !existsSync(join(root, file)))
        : []
    expect({ name: mutant.name, errors, missing }).toEqual({
      name: mutant.name,
      errors: [],
      missing: [],
    })
  }
})

test('there are at least 40, of different names, and each says which promise it breaks', () => {
  expect(named.length).toBeGreaterThanOrEqual(40)
  expect(new Set(named.map(({ name }) => name)).size).toBe(named.length)
  for (const { breaks } of named) expect(breaks).toMatch(/^I([1-9]|1[0-2])$/)
})

test('text that occurs twice is no place for a mutant', () => {
  const mutant = { name: 'm', file: 'f', find: 'a', replace: 'b' }
  expect(planted('xax', mutant)).toBe('xbx')
  expect(() => planted('aa', mutant)).toThrow('more than once')
  expect(() => planted('x', mutant)).toThrow('does not hold')
})

test('the draw is the same for the same seed, from all folders, and leaves valid syntax', () => {
  const draw = drawn(3, 150)
  expect(drawn(3, 150)).toEqual(draw)
  expect(drawn(4, 150)).not.toEqual(draw)
  for (const { file, replace, name } of draw)
    expect([name, parseSync(file, replace).errors]).toEqual([name, []])
  for (const folder of folders) expect(draw.some(({ file }) => file.startsWith(folder))).toBe(true)
})

test('every harmless mutant is still one that could be drawn', () => {
  const gone = harmless.filter(
    ({ file, before, after }) =>
      !mutantsOf(file).some((m) => m.before === before && m.after === after),
  )
  expect(gone).toEqual([])
})

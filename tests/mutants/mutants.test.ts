import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseSync } from 'oxc-parser'
import { expect, onTestFinished, test } from 'vitest'
import { runGate } from './gate.ts'
import { harmless } from './harmless.ts'
import { allIn, drawn, folders, mutantsOf } from './mechanical.ts'
import type { MechanicalMutant as Mechanical } from './mechanical.ts'
import { planted, root, sourceOf } from './mutant.ts'
import { named } from './named.ts'
import { telling } from './reach.ts'
import { Results } from './results.ts'

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
  const all = allIn()
  const draw = drawn(3, 150, all)
  expect(drawn(3, 150, all)).toEqual(draw)
  expect(drawn(4, 150, all)).not.toEqual(draw)
  for (const { file, replace, name } of draw)
    expect([name, parseSync(file, replace).errors]).toEqual([name, []])
  for (const folder of folders) expect(draw.some(({ file }) => file.startsWith(folder))).toBe(true)
})

test('every place can tell that it was reached, also one within another', () => {
  for (const file of ['src/log/embedded/reader.ts', 'src/process/stage-inputs.ts']) {
    const mutants = mutantsOf(file)
    const text = telling(sourceOf(file), mutants, mutants)
    expect([file, parseSync(file, text).errors]).toEqual([file, []])
    expect(text.split('globalThis.reached').length - 1).toBe(mutants.length)
  }
})

test('a run that was stopped knows what it caught, whatever became of line numbers', () => {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-results-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  const [first, second] = drawn(1, 2, mutantsOf('src/state/memory.ts')) as [Mechanical, Mechanical]
  const found = { caught: true, by: 'a test', seconds: 1, commit: 'c' }
  new Results(join(folder, 'results')).add(first, found)
  const again = new Results(join(folder, 'results'))
  expect(again.of({ ...first, line: first.line + 1 })).toMatchObject(found)
  expect(again.of(second)).toBeUndefined()
})

test('what a gate started ends with it', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-gate-'))
  const server = createServer()
  onTestFinished(() => {
    server.close()
    rmSync(folder, { recursive: true })
  })
  await once(server.listen(join(folder, 'socket')), 'listening')
  const gone = new Promise((resolve) => {
    server.on('connection', (socket) => socket.on('close', resolve).on('error', resolve).resume())
  })
  mkdirSync(join(folder, 'tests/simulate'), { recursive: true })
  const hangs = `
    const { spawn } = require('node:child_process')
    const inner = "require('node:net').connect('socket', () => console.log('there'))"
    const child = spawn(process.execPath, ['-e', inner], { stdio: ['ignore', 'pipe', 'inherit'] })
    child.stdout.once('data', () => console.log('seed 1 broke I1'))`
  writeFileSync(join(folder, 'tests/simulate/main.ts'), hangs)
  const verdict = await runGate(folder, { from: 1, seeds: 1 }, 60)
  expect(verdict).toMatchObject({ outcome: 'failed', by: 'simulator, seed 1: I1' })
  await gone
})

test('every harmless mutant is still one that could be drawn', () => {
  const gone = harmless.filter(
    ({ file, before, after }) =>
      !mutantsOf(file).some((m) => m.before === before && m.after === after),
  )
  expect(gone).toEqual([])
})

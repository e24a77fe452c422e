/** Data directories of every format version open, now and in later versions; those of a newer one are refused. */
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { describe, expect, onTestFinished, test } from 'vitest'
import { realEnv } from '../../src/core/env/real/index.ts'
import { FORMAT_VERSION } from '../../src/log/embedded/format.ts'
import { openEmbeddedLog, openReadOnly } from '../../src/log/embedded/index.ts'
import { contentsOf } from './contents.ts'

const versions = readdirSync(import.meta.dirname).filter((name) => /^v\d+$/.test(name))
const env = realEnv()

function copyOf(version: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'golden-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  cpSync(join(import.meta.dirname, version, 'data'), folder, { recursive: true })
  return folder
}

const recorded = (version: string): unknown =>
  JSON.parse(readFileSync(join(import.meta.dirname, version, 'contents.json'), 'utf8'))

test('there is a golden directory of every format version', () => {
  const all = Array.from({ length: FORMAT_VERSION }, (_, i) => `v${i + 1}`)
  expect(versions.toSorted()).toEqual(all)
})

describe.each(versions)('a data directory of format %s', (version) => {
  test('has every kind of file there is', () => {
    const names = readdirSync(join(import.meta.dirname, version, 'data'), {
      recursive: true,
      encoding: 'utf8',
    })
    for (const kind of [/\.seg$/, /\.idx$/, /\.arc$/, /\.snap$/, /MARK$/, /SUPER\.0$/, /SUPER\.1$/])
      expect(names.some((name) => kind.test(name))).toBe(true)
    expect(names).toContain('paused.json')
  })

  test('opens, and holds what was recorded when it was made', async () => {
    const directory = copyOf(version)
    for (const life of ['first', 'second']) {
      const log = await openEmbeddedLog({ env, directory })
      const { torn } = { torn: log.report.tornBytes }
      expect([life, torn, await contentsOf(env, log, directory)]).toEqual([
        life,
        0,
        recorded(version),
      ])
      await log.stop()
    }
  })

  test('opens for reading alone', async () => {
    const directory = copyOf(version)
    const log = openReadOnly(env, directory)
    expect(await contentsOf(env, log, directory)).toEqual(recorded(version))
    log.close()
  })
})

describe('a data directory of a newer format', () => {
  /** Sets the version of a file's head, with a right checksum up to `end`. */
  function renumber(path: string, end: number): void {
    const bytes = readFileSync(path)
    bytes.writeUInt32LE(FORMAT_VERSION + 1, 8)
    bytes.writeUInt32LE(crc32(bytes.subarray(8, end)), 4)
    writeFileSync(path, bytes)
  }

  const filesOf = (directory: string): unknown[] =>
    readdirSync(directory, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && entry.name !== 'LOCK')
      .map((entry) => [
        entry.name,
        readFileSync(join(entry.parentPath, entry.name)).toString('hex'),
      ])

  test.each(['SUPER', 'log'])('is refused, and left as it is (by its %s)', async (where) => {
    const directory = copyOf(`v${FORMAT_VERSION}`)
    if (where === 'SUPER') for (const slot of [0, 1]) renumber(join(directory, `SUPER.${slot}`), 96)
    else {
      const name = readdirSync(join(directory, 'log')).find((file) => file.endsWith('.seg'))!
      renumber(join(directory, 'log', name), 64)
    }
    const before = filesOf(directory)
    await expect(openEmbeddedLog({ env, directory })).rejects.toMatchObject({ code: 'MR2004' })
    expect(() => openReadOnly(env, directory)).toThrow(/MR2004.*version 2/)
    expect(filesOf(directory)).toEqual(before)
  })
})

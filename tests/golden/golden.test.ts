/** Data directories of every format version open, now and in later versions; those of a newer one are refused. */
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { describe, expect, onTestFinished, test } from 'vitest'
import { restoreBackup } from '../../src/cli/backup-directory.ts'
import { realEnv } from '../../src/core/env/real/index.ts'
import { xxh64 } from '../../src/core/hash.ts'
import { FORMAT_VERSION } from '../../src/log/embedded/format.ts'
import { openEmbeddedLog, openReadOnly } from '../../src/log/embedded/index.ts'
import { Paused } from '../../src/runtime/paused.ts'
import { snapshotOnce } from '../../src/state/snapshot.ts'
import { changelog, contentsOf } from './contents.ts'

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

  const fileIn = (folder: string, ending: string): string =>
    join(folder, readdirSync(folder).find((name) => name.endsWith(ending))!)

  const filesOf = (directory: string): unknown[] =>
    readdirSync(directory, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && entry.name !== 'LOCK')
      .map((entry) => [
        entry.name,
        readFileSync(join(entry.parentPath, entry.name)).toString('hex'),
      ])

  test.each(['SUPER', 'a segment', 'an archive'])(
    'is refused, and left as it is (by the version in %s)',
    async (where) => {
      const directory = copyOf(`v${FORMAT_VERSION}`)
      if (where === 'SUPER')
        for (const slot of [0, 1]) renumber(join(directory, `SUPER.${slot}`), 96)
      else renumber(fileIn(join(directory, 'log'), where === 'a segment' ? '.seg' : '.arc'), 64)
      const before = filesOf(directory)
      await expect(openEmbeddedLog({ env, directory })).rejects.toMatchObject({ code: 'MR2004' })
      expect(() => openReadOnly(env, directory)).toThrow(/MR2004.*version 2/)
      expect(filesOf(directory)).toEqual(before)
    },
  )

  test('is not taken for damaged where a snapshot is of it: an older one would do, and it would go', async () => {
    const directory = copyOf(`v${FORMAT_VERSION}`)
    const path = fileIn(join(directory, 'state', changelog, '0'), '17.snap')
    const bytes = readFileSync(path)
    bytes.writeUInt32LE(2, 4)
    bytes.writeBigUInt64LE(xxh64(bytes.subarray(0, 56)), 56)
    writeFileSync(path, bytes)
    const log = await openEmbeddedLog({ env, directory })
    await expect(contentsOf(env, log, directory)).rejects.toThrow(/MR2004.*17\.snap.*version 2/)
    const made = snapshotOnce(env, log, changelog, 0, `${directory}/state`)
    await expect(made).rejects.toThrow(/MR2004/)
    await log.stop()
    expect(readFileSync(path).equals(bytes)).toBe(true)
  })

  test('costs nothing where an index is of it: that is made anew', async () => {
    const directory = copyOf(`v${FORMAT_VERSION}`)
    renumber(fileIn(join(directory, 'log'), '.idx'), 96)
    const log = await openEmbeddedLog({ env, directory })
    expect(await contentsOf(env, log, directory)).toEqual(recorded(`v${FORMAT_VERSION}`))
    await log.stop()
  })

  test('is refused, and left as it is, where MARK is not what it was: it has the version of SUPER', async () => {
    const directory = copyOf(`v${FORMAT_VERSION}`)
    const mark = readFileSync(join(directory, 'MARK'))
    for (const slot of [0, 4096]) mark.write('MRK2', slot)
    writeFileSync(join(directory, 'MARK'), mark)
    const before = filesOf(directory)
    await expect(openEmbeddedLog({ env, directory })).rejects.toThrow(/MR2002.*slot of MARK/)
    expect(filesOf(directory)).toEqual(before)
  })

  test('is refused where paused.json or a backup is of it', async () => {
    const directory = copyOf(`v${FORMAT_VERSION}`)
    writeFileSync(join(directory, 'paused.json'), '{"version":2,"tasks":["shop/main/0"]}')
    expect(() => new Paused(env, directory)).toThrow(/MR6016.*paused\.json/)
    writeFileSync(join(directory, 'backup.json'), '{"format":2,"parts":[]}')
    const restoring = restoreBackup(env, directory, `${directory}-restored`, false)
    expect(() => [...restoring]).toThrow(/MR2004.*backup\.json has format 2/)
    for (const text of ['null', '{"format":1,"madeAt":"","files":[5]}', '{"format":"1"}']) {
      writeFileSync(join(directory, 'backup.json'), text)
      const again = restoreBackup(env, directory, `${directory}-restored`, false)
      expect(() => [...again]).toThrow(/MR2018.*backup\.json/)
    }
    expect(existsSync(`${directory}-restored`)).toBe(false)
  })
})

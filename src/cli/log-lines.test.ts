import { expect, test } from 'vitest'
import { damaged, golden, named, restored } from '../log/embedded/damage.suite.ts'
import { dumpLog } from '../log/embedded/inspect.ts'
import { jsonOf, linesOf } from './log-lines.ts'

const plain = { topic: undefined, records: true }

test('every commit, record and position of a log is printed once, in order', async () => {
  const { env } = restored(await golden())
  const all = [...dumpLog(env.disk, 'data', 0)]
  const commits = all.map((one) => (one.what === 'commit' ? one.commit.lsn : -1))
  expect(commits).toEqual(commits.map((_, i) => i + 1))
  const lines = all.flatMap((one) => linesOf(one, plain))
  const values = lines
    .map((line) => /^ {4}(\d+) .* (\d+) x{300}$/.exec(line))
    .filter((m) => m !== null)
  expect(values.map((m) => [Number(m[1]), Number(m[2])])).toEqual(
    Array.from({ length: 24 }, (_, i) => [i, i]),
  )
  for (let i = 0; i < 24; i++) expect(lines.join('\n')).toContain(`positions g a/0 at ${i}`)
  // Who wrote it stands in a commit far before.
  for (const lsn of [8, 20, 24])
    expect(dumpLog(env.disk, 'data', lsn).next().value).toEqual(all[lsn - 1])
})

test('what is damaged is printed as such, and what follows it as well', async () => {
  const files = await golden()
  const [first = ''] = named(files, '.seg')
  // The head of the fourth frame or so: which commit it was shows from what is printed around it.
  const at = Buffer.from(files.get(first)!).indexOf('MRFR', 4_800)
  const { env } = restored(damaged(files, first, at, 0))
  for (const path of env.disk.list('data/log').filter(({ name }) => name.endsWith('.idx')))
    env.disk.unlink(`data/log/${path.name}`)
  const all = [...dumpLog(env.disk, 'data', 0)]
  const flaw = all.findIndex(({ what }) => what === 'flaw')
  expect(all.filter(({ what }) => what === 'flaw')).toHaveLength(1)
  expect(linesOf(all[flaw]!, plain)[0]).toContain(
    `DAMAGED  ${first.slice(first.lastIndexOf('/') + 1)} bytes ${at} to`,
  )
  expect(jsonOf(all[flaw]!, plain)).toMatchObject({ at, damaged: expect.any(String) as string })
  expect(all.length).toBeGreaterThan(flaw + 10)
})

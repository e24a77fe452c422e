/** What an operator does with a directory that a run has left: verifies, reads, backs up, restores, salvages it (I6). */
import { makeBackup, restoreBackup } from '../../src/cli/backup-directory.ts'
import { salvageDirectory } from '../../src/cli/salvage-directory.ts'
import { verifyDirectory } from '../../src/cli/verify-directory.ts'
import type { DirectoryReport } from '../../src/cli/verify-directory.ts'
import { MillraceError } from '../../src/errors.ts'
import { BlockBuilder } from '../../src/log/block.ts'
import { openEmbeddedLog, openReadOnly } from '../../src/log/embedded/index.ts'
import { describeTopic, listTopics, startOffset } from '../../src/runtime/admin/topics.ts'
import { SeededRandom } from '../../src/testing/index.ts'
import type { SimulatedEnv } from '../../src/testing/index.ts'
import { settled, worldWith } from '../exhaustive/disk-from.ts'
import { TopicWalk } from './observer.ts'
import type { RunResult } from './run.ts'
import { violation, Violation } from './violation.ts'

/** Undefined where everything is as it must be. */
export async function operate(result: RunResult): Promise<Violation | undefined> {
  const random = new SeededRandom(result.seed, 'operator')
  const world = worldWith(result.contents)
  const env = world.env('operator')
  try {
    if (result.config.rot) salvage(env)
    else await settled(world, copies(env, result.walk))
    const disk = world.disk()
    const files = [...disk.contents().keys()].filter((path) => path.startsWith('/data/log/'))
    for (let bits = 1 + random.int(3); bits > 0; bits--) {
      const path = files[random.int(files.length)]!
      disk.flipBit(path, random.int(disk.contents().get(path)!.length), random.int(8))
    }
    salvage(env)
    return undefined
  } catch (error) {
    if (error instanceof Violation) return error
    return violation('I6', error instanceof Error ? (error.stack ?? error.message) : String(error))
  }
}

/** A sound directory is found sound, and so are its copies, which hold the same. */
async function copies(env: SimulatedEnv, walk: TopicWalk): Promise<void> {
  sound(run(verifyDirectory(env.disk, 'data')))
  sound(run(makeBackup(env, 'data', 'backup')).report)
  sound(run(restoreBackup(env, 'backup', 'restored', false)).report)
  const saved = run(salvageDirectory(env, 'data', 'saved'))
  sound(saved.report)
  if (saved.lost.length > 0) throw violation('I1', `salvage lost ${JSON.stringify(saved.lost[0])}`)
  for (const directory of ['data', 'restored', 'saved']) await same(env, directory, walk)
  for (const directory of ['restored', 'saved']) await goesOn(env, directory)
}

/** A copy is a log like any other: it opens, takes commits and changes of its topics, and has them when it opens again. */
async function goesOn(env: SimulatedEnv, directory: string): Promise<void> {
  const open = (): ReturnType<typeof openEmbeddedLog> =>
    openEmbeddedLog({ env, directory, reserve: { low: 0, high: 0 } })
  let log = await open()
  const spec = { name: 'copied', kind: 'user', partitions: 2 } as const
  await log.topics.create(spec)
  await log.topics.create({ ...spec, retentionMs: 1_000 }, { change: true })
  await log.topics.hold('someone', spec.name, 1_000, 1 << 20)
  await refused('MR2010', log.topics.create({ ...spec, partitions: 3 }))
  await refused('MR2011', log.topics.offsets('nowhere'))
  const writer = await log.open('operator')
  const block = new BlockBuilder()
  block.add(1, undefined, new TextEncoder().encode(directory))
  writer.append(spec.name, 1, block.finish(1), 1)
  writer.position('someone', { topic: spec.name, partition: 1, offset: 1, meta: directory })
  const committed = await writer.commit()
  if (committed.outcome !== 'committed')
    throw violation('I7', `${directory}: ${committed.error.message}`)
  await log.stop()
  log = await open()
  const [position] = await log.positions('someone')
  const offsets = await log.topics.offsets(spec.name)
  if (position?.meta !== directory || offsets[1]?.next !== 1)
    throw violation('I1', `${directory}: what was committed is not there when it opens again`)
  await log.topics.delete(spec.name)
  await refused('MR2011', log.topics.offsets(spec.name))
  await log.stop()
  sound(run(verifyDirectory(env.disk, directory)))
}

async function refused(code: string, asked: Promise<unknown>): Promise<void> {
  const error = await asked.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  if (!(error instanceof MillraceError) || error.code !== code)
    throw violation('I6', `${code} was expected, and not ${String(error)}`)
}

async function same(env: SimulatedEnv, directory: string, walk: TopicWalk): Promise<void> {
  const log = openReadOnly(env, directory)
  const there = new TopicWalk()
  await there.read(log)
  for (const [topic, partitions] of walk.records)
    for (const [partition, records] of partitions.entries()) {
      const now = there.records.get(topic)?.[partition] ?? []
      const begins = there.begins.get(`${topic}/${partition}`) ?? 0
      const wanted = records.filter(({ offset }) => offset >= begins)
      const wrong = wanted.findIndex(
        ({ offset, text }, i) => now[i]?.offset !== offset || now[i].text !== text,
      )
      if (wrong >= 0)
        throw violation('I6', `${directory}: ${topic}/${partition} differs at ${wrong}`)
    }
  for (const { name } of await listTopics(log)) {
    const { offsets } = await describeTopic(log, name)
    const [first] = offsets
    const [earliest, latest] = [
      await startOffset(log, name, 0, 'earliest'),
      await startOffset(log, name, 0, 'latest'),
    ]
    const since = await startOffset(log, name, 0, new Date(0).toISOString())
    if (earliest !== first?.earliest || latest !== first.next || since < earliest || since > latest)
      throw violation(
        'I6',
        `${directory}: ${name} begins at ${earliest}, ${since}, ends at ${latest}`,
      )
  }
  log.close()
}

/** Of damage comes a report, and what salvage makes of it is sound; or it says that nothing can be made of it. */
function salvage(env: SimulatedEnv): void {
  run(verifyDirectory(env.disk, 'data'))
  const target = `saved-${env.random.int(1_000_000)}`
  try {
    sound(run(salvageDirectory(env, 'data', target)).report)
  } catch (error) {
    if (!(error instanceof MillraceError) || error.code !== 'MR2020') throw error
  }
}

/** Nothing is lost. An index that a power cut has torn costs nothing: it is made again. */
function sound({ verdict, directory, findings }: DirectoryReport): void {
  if (verdict !== 'damaged') return
  const found = findings.find(({ grade }) => grade === 'damage')
  throw violation('I6', `${directory} is ${verdict}: ${found?.file} ${found?.what}`)
}

function run<T>(work: Generator<unknown, T>): T {
  for (;;) {
    const step = work.next()
    if (step.done === true) return step.value
  }
}

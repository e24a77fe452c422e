/**
 * Salvage after any damage, compared with a ledger of everything that was written: what is not in the new directory is in
 * the report by its offsets, nothing is lost that no damage touched, and the new directory opens, restores and goes on.
 */
import { expect, test } from 'vitest'
import { SeededRandom, Simulation } from '../core/env/simulated/index.ts'
import type { SimulatedEnv } from '../core/env/simulated/index.ts'
import { MillraceError } from '../errors.ts'
import { digest, inSimulation, restored, small } from '../log/embedded/damage.suite.ts'
import { openEmbeddedLog } from '../log/embedded/index.ts'
import { listUnits, walkUnit } from '../log/embedded/walk.ts'
import { blockOf, drain, topic, valuesOf } from '../log/log.suite.ts'
import { jsonCodec } from '../state/codecs.ts'
import { MemoryStore } from '../state/memory.ts'
import { restoreStores } from '../state/restore.ts'
import { snapshotOnce } from '../state/snapshot.ts'
import { salvage } from './salvage.suite.ts'

const changelog = 'p.main.counts.changelog'
const stateDir = `${small.directory}/state`
const options = { ...small, segmentBytes: 20_000, retentionCheckMs: 1e9 }
const commits = 240

const newStore = () =>
  new MemoryStore<number>({
    name: 'counts',
    codec: jsonCodec<number>(),
    partitionKey: (key) => key,
    maxBytes: 1e6,
  })

interface Touched {
  readonly from: number
  readonly to: number
  /** `topic/partition/offset` of what lies there. */
  readonly offsets: readonly string[]
}

interface Ledger {
  readonly files: ReadonlyMap<string, Uint8Array>
  /** `topic/partition/offset` to its value, of what retention has not let go. */
  readonly records: ReadonlyMap<string, string>
  /** The change at each offset of the changelog. */
  readonly changes: readonly { readonly key: string; readonly value: number }[]
  readonly earliest: ReadonlyMap<string, number>
  /** What is in each file with frames. */
  readonly frames: ReadonlyMap<string, readonly Touched[]>
}

/** Two topics, one of which retention has taken the beginning of, and a store with two snapshots and a trimmed changelog. */
async function written(): Promise<Ledger> {
  const sim = new Simulation({ seed: 'ledger' })
  const env = sim.env('engine')
  const all = new Map<string, string>()
  const changes: { key: string; value: number }[] = []
  const earliest = new Map<string, number>()
  await inSimulation(
    sim,
    (async () => {
      const log = await openEmbeddedLog({ env, ...options })
      await log.topics.create({ ...topic('kept'), partitions: 2 })
      await log.topics.create({ ...topic('passing'), retentionBytes: 8_000 })
      await log.topics.create({ ...topic(changelog), kind: 'changelog' })
      const store = newStore()
      const writer = await log.open('w')
      const next = [0, 0]
      for (let i = 0; i < commits; i++) {
        const passing = `${i} ${'y'.repeat(500)}`
        writer.append('passing', 0, blockOf([passing]), 1)
        all.set(`passing/0/${i}`, passing)
        writer.position('g', { topic: 'passing', partition: 0, offset: i, meta: '' })
        if (i % 20 === 0) await log.host.retain()
        if (i % 4 !== 0) {
          expect((await writer.commit()).outcome).toBe('committed')
          continue
        }
        const partition = (i / 4) % 2
        const values = Array.from({ length: 1 + (i % 3) }, (_, k) => `${i}.${k} ${'x'.repeat(6)}`)
        writer.append('kept', partition, blockOf(values), values.length)
        for (const value of values) all.set(`kept/${partition}/${next[partition]!++}`, value)
        const key = `key ${i % 7}`
        store.put(key, i)
        changes.push({ key, value: i })
        const { bytes, count } = store.changes()!
        writer.state(changelog, 0, bytes, count)
        expect((await writer.commit()).outcome).toBe('committed')
        store.committed()
        if (i === 100 || i === 180) {
          const made = await snapshotOnce(env, log, changelog, 0, stateDir)
          if (made!.spareOffset > 0) await log.topics.trim(changelog, 0, made!.spareOffset)
        }
      }
      for (const name of ['kept', 'passing', changelog])
        for (const [partition, { earliest: first }] of (await log.topics.offsets(name)).entries())
          earliest.set(`${name}/${partition}`, first)
      await log.stop()
    })(),
  )
  const records = [...all].filter(([place]) => {
    const [name, partition, offset] = place.split('/')
    return Number(offset) >= earliest.get(`${name}/${partition}`)!
  })
  const names = new Map([
    [1, 'kept'],
    [2, 'passing'],
    [3, changelog],
  ])
  const frames = new Map<string, Touched[]>()
  for (const unit of listUnits(env.disk, small.directory)) {
    const inside: Touched[] = []
    for (const found of walkUnit(env.disk, unit, unit.size)) {
      if (found.found === 'flaw') throw new Error('what was written is sound')
      const offsets = found.sections.flatMap(
        ({ section: { topic: id, partition, baseOffset, nextOffset, kind } }) =>
          kind > 3
            ? []
            : Array.from(
                { length: nextOffset - baseOffset },
                (_, k) => `${names.get(id)}/${partition}/${baseOffset + k}`,
              ),
      )
      inside.push({ from: found.at, to: found.end, offsets })
    }
    frames.set(`/${unit.path}`, inside)
  }
  return { files: sim.disk().contents(), records: new Map(records), changes, earliest, frames }
}

/** Damages some files; gives what lay where it did. */
function damage(ledger: Ledger, random: SeededRandom) {
  const files = new Map(ledger.files)
  const hurt = new Set<string>()
  const all = [...files.keys()].filter((path) => !path.endsWith('/LOCK'))
  const weights = all.flatMap((path) =>
    Array.from({ length: /\.(seg|snap|arc)$/.test(path) ? 3 : 1 }, () => path),
  )
  const done: string[] = []
  // Now and then both snapshots, of which one is enough, and what the log still has of the changes in them.
  const first = random.chance(0.1) ? all.filter((path) => /\.snap$|\/1-1-/.test(path)) : []
  const others = Array.from(
    { length: 1 + random.int(3) },
    () => weights[random.int(weights.length)]!,
  )
  for (const path of [...first, ...others]) {
    const bytes = files.get(path)?.slice()
    if (bytes === undefined || bytes.length === 0) continue
    const at = random.chance(0.2)
      ? random.int(Math.min(bytes.length, 128))
      : random.int(bytes.length)
    let [from, to] = [at, at + 1]
    const how = random.pick(['flip', 'flip', 'flip', 'zero', 'cut', 'gone'] as const)
    if (how === 'flip') files.set(path, ((bytes[at]! ^= 1 << random.int(8)), bytes))
    else if (how === 'zero') {
      from = at - (at % 512)
      to = from + 512
      files.set(path, bytes.fill(0, from, to))
    } else if (how === 'cut') {
      to = Infinity
      files.set(path, bytes.slice(0, at))
    } else {
      ;[from, to] = [0, Infinity]
      files.delete(path)
    }
    done.push(`${how} ${path} ${at}`)
    // The first page and the index of an archive say what is in it; a segment says it itself.
    const whole = path.endsWith('.arc') && from < (ledger.frames.get(path)?.[0]?.from ?? 0)
    for (const frame of ledger.frames.get(path) ?? [])
      if (whole || (frame.from < to && frame.to > from))
        for (const offset of frame.offsets) hurt.add(offset)
  }
  return { files, hurt, done: done.join(', ') }
}

/** Everything that the new directory gives out; then it takes more. */
async function contents(env: SimulatedEnv) {
  const log = await openEmbeddedLog({ env, ...options, directory: 'new' })
  const records = new Map<string, string>()
  const known = new Set((await log.topics.list()).map(({ name }) => name))
  for (const [name, partition] of [
    ['kept', 0],
    ['kept', 1],
    ['passing', 0],
  ] as const) {
    if (!known.has(name)) continue
    const reader = await log.reader([{ topic: name, partition, offset: 0 }])
    for (;;) {
      const { blocks, end } = drain(reader)
      for (const block of blocks)
        valuesOf([block]).forEach((value, i) =>
          records.set(`${name}/${partition}/${block.baseOffset + i}`, value),
        )
      if (end.result === 'gone') reader.seek({ topic: name, partition, offset: end.earliest })
      else {
        expect(end.result).toBe('caught-up')
        break
      }
    }
  }
  const store = newStore()
  if (known.has(changelog))
    await restoreStores(env, log, 'new/state', [{ changelog, partition: 0, store }])
  const writer = await log.open('w')
  if (known.has('kept')) writer.append('kept', 0, blockOf(['new']), 1)
  expect(await writer.commit()).toMatchObject({ outcome: 'committed' })
  const position = (await log.positions('g')).find(({ partition }) => partition === 0)?.offset
  await log.stop()
  return { records, state: new Map(store.entries()), position }
}

test('whatever is damaged: all that can be read is there, and all that is not is in the report', async () => {
  const ledger = await written()
  expect([...ledger.files.keys()].filter((path) => path.endsWith('.arc')).length).toBeGreaterThan(0)
  expect(ledger.earliest.get(`${changelog}/0`)).toBe(26)
  const tally = { records: 0, changes: 0, forgotten: 0, behind: 0, positions: 0 }
  for (let seed = 0; seed < 120; seed++) {
    const { files, hurt, done } = damage(ledger, new SeededRandom(seed, 'salvage'))
    const wrong: string[] = []
    const claim = (holds: boolean, what: string): void => {
      if (!holds) wrong.push(`seed ${seed} (${done}): ${what}`)
    }
    const { sim, env, disk } = restored(files)
    const before = digest(disk)
    const made = salvage(env)
    if (made instanceof MillraceError) throw made
    expect(digest(disk).filter((line) => !line.startsWith('/new/'))).toEqual(before)
    claim(made.report.verdict === 'sound', JSON.stringify(made.report.findings))
    const lost = new Set<string>()
    for (const { topic: name, partition, from, to } of made.lost)
      for (let offset = from; offset < to; offset++) lost.add(`${name}/${partition}/${offset}`)
    const uncertain = made.findings.some((finding) => finding.uncertain === true)
    const ends = new Map(made.ends.map((end) => [`${end.topic}/${end.partition}`, end.next]))
    const isBehind = (place: string): boolean => {
      const cut = place.lastIndexOf('/')
      return Number(place.slice(cut + 1)) >= (ends.get(place.slice(0, cut)) ?? 0)
    }

    const found = await inSimulation(sim, contents(env))
    for (const [place, value] of found.records)
      claim(value === ledger.records.get(place), `${place} is another one`)
    claim(made.records === found.records.size, 'there are not as many as it says')
    for (const place of ledger.records.keys()) {
      const there = found.records.has(place)
      if (isBehind(place)) {
        claim(uncertain && !there, `${place} lies behind the end, and it does not say so`)
        tally.behind++
        continue
      }
      claim(there !== lost.has(place), `${place} is not either there or lost`)
      if (lost.has(place)) {
        claim(hurt.has(place), `${place} is lost, and was not damaged`)
        tally.records++
      }
    }

    let whole = true
    for (const key of new Set(ledger.changes.map((change) => change.key))) {
      const history = ledger.changes.flatMap((change, offset) =>
        change.key === key ? [{ value: change.value, place: `${changelog}/0/${offset}` }] : [],
      )
      const { place, value } = history.at(-1)!
      const now = found.state.get(key)
      const named = lost.has(place)
      if (named || isBehind(place)) {
        claim(named || uncertain, `the last change of ${key} is lost, and it does not say so`)
        whole = false
      } else claim(now === value, `${key} is not as it was last`)
      claim(now === undefined || history.some((one) => one.value === now), `${key} never was so`)
    }
    tally.changes += whole ? 0 : 1
    tally.forgotten += lost.has(`${changelog}/0/0`) ? 1 : 0
    if (found.position !== commits - 1) {
      const said = made.findings.some(({ grade }) => grade === 'damage')
      claim(said, 'the position is another one, and it does not say so')
      tally.positions++
    }
    expect(wrong).toEqual([])
  }
  expect(Object.entries(tally).filter(([, times]) => times === 0)).toEqual([])
}, 60_000)

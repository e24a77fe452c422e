import { describe, expect, test } from 'vitest'
import { count, pipeline, sum, tumbling } from '../index.ts'
import type { PipelineDefinition } from '../index.ts'
import { StageWorld } from '../../tests/support/stage-world.ts'
import { replayLetters } from '../runtime/admin/letters.ts'
import { decodeLetterRecord } from './dead-letters.ts'
import type { DeadLetter } from './dead-letters.ts'
import type { Letter, Row } from '../../tests/support/stage-fixture.ts'
import { base, Event, ran, row, totals, withMap } from '../../tests/support/stage-fixture.ts'

describe('a function that fails', () => {
  const throws = (e: Row): object => {
    if (e.n === 13) throw new Error('unlucky')
    return { n: e.n }
  }
  const records = [row('k0', 1), row('k1', 13), row('k0', 2)]

  test('sends the record to the dead letters with everything needed to find and replay it', async () => {
    const { world, letters, out } = await ran(withMap(throws, { retries: 2 }), records)
    expect(out).toEqual([{ n: 1 }, { n: 2 }])
    expect(letters).toMatchObject([
      {
        id: 'p/events:mapped@events/1/0',
        stage: 'p/events',
        operator: 'mapped',
        node: 1,
        code: 'MR4001',
        attempts: 3,
        topic: 'events',
        partition: 1,
        offset: 0,
        timestamp: base,
        key: 'k1',
        raw: '{"id":"k1","n":13}',
        planHash: world.plan.hash,
      },
    ])
    expect(letters[0]?.['message']).toContain('unlucky')
    expect(totals(world)).toEqual({ read: 3, processed: 2, deadLettered: 1, emitted: 2 })
  })

  test('is tried again as often as it may', async () => {
    let calls = 0
    const flaky = (e: Row): object => {
      if (++calls < 3) throw new Error('not yet')
      return { n: e.n }
    }
    const { letters, out } = await ran(withMap(flaky, { retries: 2 }), [row('k0', 1)])
    expect({ letters, out, calls }).toEqual({ letters: [], out: [{ n: 1 }], calls: 3 })
  })

  test('is skipped and counted where the pipeline says so', async () => {
    const { world, letters, out } = await ran(withMap(throws, { onError: 'skip' }), records)
    expect({ letters, out }).toEqual({ letters: [], out: [{ n: 1 }, { n: 2 }] })
    expect(totals(world)).toEqual({ read: 3, processed: 2, skipped: 1, emitted: 2 })
  })

  test('stops its task alone with `fail`; resumed, the task goes on from its last commit', async () => {
    let broken = true
    const fn = (e: Row): object => {
      if (e.n === 13 && broken) throw new Error('unlucky')
      return { n: e.n }
    }
    const { world, out } = await ran(withMap(fn, { onError: 'fail' }), [
      row('k0', 1),
      row('k1', 5),
      row('k1', 13),
      row('k1', 6),
    ])
    expect(out).toEqual([{ n: 1 }])
    const [zero, one] = world.reports()
    expect(zero).toMatchObject({ status: 'running', counters: { read: 1, emitted: 1 }, lag: 0 })
    expect(one).toMatchObject({
      status: 'failed',
      counters: { read: 0, emitted: 0 },
      lag: 3,
      error: { code: 'MR4018' },
    })
    const { message } = one!.error!
    expect(message).toMatch(/unlucky.*MR4001.*offset 1 of partition 1 of topic events/)
    expect(message).toContain('millrace resume')
    expect(message).not.toContain('dead letter')
    await world.produce('events', [row('k0', 2), row('k1', 7)])
    await world.drain()
    expect((await world.read('out')).map(({ value }) => value)).toEqual([{ n: 1 }, { n: 2 }])
    broken = false
    for (const { runners } of world.workers)
      for (const runner of runners) runner.resume('p/events/1')
    await world.drain()
    const all = (await world.read('out')).map(({ value }) => (value as Row).n)
    expect(all).toEqual([1, 2, 5, 13, 6, 7])
    expect(world.reports().map(({ status, lag }) => [status, lag])).toEqual([
      ['running', 0],
      ['running', 0],
    ])
  })

  test.each([
    ['a promise', () => Promise.resolve({ n: 1 }), 'MR4002'],
    ['a promise that rejects', () => Promise.reject(new Error('later')), 'MR4002'],
    ['nothing', () => undefined, 'MR4003'],
    ['an array', () => [{ n: 1 }], 'MR4003'],
    ['a number', () => 7, 'MR4003'],
    ['something JSON cannot hold', () => ({ n: 1n }), 'MR4003'],
    ['something that has no JSON', () => ({ toJSON: () => undefined }), 'MR4003'],
    ['more than a topic takes', () => ({ big: 'x'.repeat(1024 * 1024) }), 'MR4013'],
  ])('that returns %s is a dead letter with a code', async (_, fn, code) => {
    const { world, letters, out } = await ran(withMap(fn as () => object), [row('k0', 1)])
    expect(out).toEqual([])
    expect(letters).toMatchObject([{ code }])
    expect(totals(world)).toEqual({ read: 1, deadLettered: 1 })
  })

  test('cannot change what a table holds', async () => {
    const definition = pipeline('p', { partitions: 1 }, (p) => {
      const users = p.table('users', { schema: Event, key: 'id' })
      p.stream('events', { schema: Event, key: 'id' })
        .enrich(users, 'id', (_, user) => {
          if (user !== undefined) (user as { n: number }).n++
          return { known: user !== undefined }
        })
        .to(p.topic('out'))
    })
    const world = new StageWorld(definition)
    await world.produce('users', [{ ...row('k0', 1), partition: 0 }])
    for (const restart of [false, true]) {
      if (restart) world.start(1)
      await world.produce('events', [{ ...row('k0', 1), partition: 0 }])
      await world.drain()
    }
    const codes = (await world.read('p.dead-letters')).map(({ value }) => (value as Letter).code)
    expect(codes).toEqual(['MR4001', 'MR4001'])
  })

  test('rows that flatMap made of one record have letters of their own, the same at every attempt', async () => {
    const definition = pipeline('p', { partitions: 1 }, (p) => {
      p.stream('events', { schema: Event, key: 'id' })
        .flatMap((e) => [{ part: e.n }, { part: e.n + 1 }])
        .filter(
          ({ part }) => {
            throw new Error(`no ${part}`)
          },
          { name: 'never' },
        )
        .to(p.topic('out'))
    })
    const { letters, world } = await ran(definition, [
      { ...row('k0', 1), partition: 0 },
      { ...row('k0', 5), partition: 0 },
    ])
    expect(letters.map(({ id, raw }) => [id, raw])).toEqual([
      ['p/events:never@events/0/0', '{"part":1}'],
      ['p/events:never@events/0/0.1', '{"part":2}'],
      ['p/events:never@events/0/1', '{"part":5}'],
      ['p/events:never@events/0/1.1', '{"part":6}'],
    ])
    expect(totals(world)).toEqual({ read: 2, deadLettered: 2 })
  })
})

describe('a key', () => {
  test.each([
    ['that is absent', undefined],
    ['that is null', null],
    ['that is an object', {}],
    ['that is no number', Number.NaN],
    ['that is half a character', '\ud800'],
    ['that is too long', 'é'.repeat(5_000)],
  ])('%s makes a dead letter', async (_, key) => {
    const definition = pipeline('p', { partitions: 2 }, (p) => {
      p.stream('events', { schema: Event, key: 'id' })
        .keyBy((() => key) as () => string, { name: 'keyed' })
        .window(tumbling('1s'))
        .aggregate('out', { n: count() })
        .to(p.topic('out'))
    })
    const { world, letters } = await ran(definition, [row('k0', 1)])
    expect(letters).toMatchObject([{ code: 'MR4004', operator: 'keyed' }])
    expect(totals(world)).toEqual({ read: 1, deadLettered: 1 })
  })
})

describe('records that nobody validated', () => {
  const identity = withMap((e) => e)

  test.each([
    ['no JSON', Buffer.from('{"id":'), 'MR4006'],
    ['no UTF-8', Buffer.from([0x22, 0xff, 0x22]), 'MR4006'],
    ['no object', Buffer.from('[1]'), 'MR4006'],
    ['nested too deep', Buffer.from(`{"id":${'['.repeat(70)}${']'.repeat(70)}}`), 'MR4006'],
    ['not the schema’s shape', { id: 'k0', n: 'one' }, 'MR4007'],
    ['no value', undefined, 'MR4006'],
  ])('with %s become dead letters, and the rest goes on', async (_, value, code) => {
    const world = new StageWorld(identity)
    await world.produce(
      'events',
      [{ partition: 0, timestamp: base, key: 'k0', value }, row('k0', 1)],
      0,
    )
    await world.drain()
    expect((await world.read('p.dead-letters')).map((each) => each.value)).toMatchObject([
      { code, operator: 'events', offset: 0 },
    ])
    expect((await world.read('out')).length).toBe(1)
    expect(totals(world)).toEqual({ read: 2, processed: 1, deadLettered: 1, emitted: 1 })
  })

  test('with a time too far ahead neither become rows nor move the watermark', async () => {
    const { world, letters } = await ran(identity, [
      row('k0', 1, base + 11 * 60_000),
      row('k0', 2, base + 60_000),
    ])
    expect(letters).toMatchObject([{ code: 'MR4008', offset: 0 }])
    expect(world.reports()[0]?.watermark).toBe(base + 60_000 - 5_000)
  })
})

describe('state and amplification', () => {
  test('a state past its limit stops its task alone, with a code, and nothing of the task is committed', async () => {
    const definition = pipeline('p', { partitions: 2, state: '20KB' }, (p) => {
      p.stream('events', { schema: Event, key: 'id' })
        .keyBy('id')
        .window(tumbling('1h'))
        .aggregate('out', { n: count() })
        .to(p.topic('out'))
    })
    const many = Array.from({ length: 500 }, (_, i) => ({
      partition: 1,
      timestamp: base,
      key: `key ${i}`,
      value: { id: `key ${i}`, n: i },
    }))
    const { world } = await ran(definition, [row('k0', 1), ...many])
    const [zero, one] = world.reports()
    expect(zero).toMatchObject({ status: 'running', counters: { read: 1 }, stateKeys: 2 })
    expect(one).toMatchObject({
      status: 'failed',
      counters: { read: 0 },
      error: { code: 'MR4010' },
      lag: 500,
      stateKeys: 0,
    })
    expect(one?.error?.message).toMatch(/keys.*TTL.*RocksDB/s)
  })

  test('a record that makes more than a commit holds is a dead letter; its neighbours are not', async () => {
    const padded = pipeline('p', { partitions: 2 }, (p) => {
      p.stream('events', { schema: Event, key: 'id' })
        .flatMap((e) => Array.from({ length: e.n }, (_, i) => ({ i, pad: 'x'.repeat(10_000) })), {
          name: 'padded',
        })
        .to(p.topic('out'))
    })
    const { world, letters, out } = await ran(padded, [
      row('k0', 2),
      row('k1', 3),
      row('k0', 1_400),
      row('k0', 4),
      row('k1', 5),
    ])
    expect(letters).toMatchObject([{ code: 'MR4013', partition: 0, offset: 1 }])
    expect(out.length).toBe(14)
    expect(totals(world)).toEqual({ read: 5, processed: 4, deadLettered: 1, emitted: 14 })
  })
})

/** Sends the last dead letter back, as `millrace dlq replay` does. */
async function replayLast(world: StageWorld, change: Partial<DeadLetter> = {}): Promise<void> {
  const last = (await world.read('p.dead-letters')).at(-1)!
  const record = decodeLetterRecord(Buffer.from(JSON.stringify(last.value)))
  if (record?.kind !== 'letter') throw new Error('the last record is no letter')
  const letter = { ...record.letter, ...change }
  const { log, plan, now } = world
  const writer = await log.open('admin')
  await replayLetters({ log, writer, plan, now }, [{ offset: last.offset, letter }])
  await world.drain()
}

async function lettersOf(world: StageWorld): Promise<Letter[]> {
  const records = (await world.read('p.dead-letters')).map(({ value }) => value as Letter)
  return records.filter(({ code }) => code !== undefined)
}

describe('replay', () => {
  test('a letter that was worked on once is not worked on again after a crash', async () => {
    let broken = true
    const fn = (e: Row): object => {
      if (e.n === 13 && broken) throw new Error('unlucky')
      return { n: e.n }
    }
    const { world } = await ran(withMap(fn), [row('k1', 13), row('k1', 1)])
    broken = false
    await replayLast(world)
    world.crash(world.workers[0]!)
    await world.produce('events', [row('k1', 2)])
    await world.drain()
    expect((await world.read('out')).map(({ value }) => (value as Row).n)).toEqual([1, 13, 2])
  })

  test('a letter enters again at the operator that failed, and only there', async () => {
    let broken = true
    const seen: number[] = []
    const definition = pipeline('p', { partitions: 2 }, (p) => {
      p.stream('events', { schema: Event, key: 'id' })
        .derive((e) => {
          seen.push(e.n)
          return { n: e.n + 100 }
        })
        .filter(
          (e) => {
            if (broken && e.n === 113) throw new Error('unlucky')
            return true
          },
          { name: 'checked' },
        )
        .keyBy('n')
        .window(tumbling('1s'))
        .aggregate('out', { rows: count(), total: sum('n') })
        .to(p.topic('out'))
    })
    const { world, letters } = await ran(definition, [row('k1', 13), row('k0', 1)])
    const [letter] = letters
    expect(letter).toMatchObject({ operator: 'checked', raw: '{"id":"k1","n":113}' })
    broken = false
    await replayLast(world)
    await world.produce('events', [row('k0', 1, base + 300_000), row('k1', 1, base + 300_000)])
    await world.drain()
    const rows = (await world.read('out')).map((each) => each.value)
    expect(rows).toHaveLength(2)
    expect(rows).toContainEqual(expect.objectContaining({ n: 113, rows: 1, total: 113 }))
    expect(seen.toSorted((a, b) => a - b)).toEqual([1, 1, 1, 13])
  })

  test('a letter whose window is closed for good is late, and opens nothing', async () => {
    const definition = pipeline('p', { partitions: 1 }, (p) => {
      const out = p
        .stream('events', { schema: Event, key: 'id' })
        .keyBy('id')
        .window(tumbling('1s'))
        .aggregate('out', { total: sum((e) => (e.n === 13 ? Number.NaN : e.n)) })
      out.to(p.topic('out'))
      out.late().to(p.topic('late'))
    })
    const at0 = (id: string, n: number, timestamp = base) => ({
      ...row(id, n, timestamp),
      partition: 0,
    })
    const { world, letters } = await ran(definition, [
      at0('k0', 1),
      at0('k0', 13),
      at0('k9', 1, base + 60_000),
    ])
    expect(letters).toMatchObject([{ code: 'MR4005', operator: 'out', raw: '{"id":"k0","n":13}' }])
    const before = await world.read('out')
    await replayLast(world, { raw: Buffer.from('{"id":"k0","n":4}') })
    const nonsense = [{ partition: 0, timestamp: base, value: { nonsense: 1 } }]
    await world.produce('p.events.replay', nonsense, 0)
    await world.drain()
    expect(await world.read('out')).toEqual(before)
    expect((await world.read('late')).map((each) => each.value)).toEqual([{ id: 'k0', n: 4 }])
    expect((await lettersOf(world)).map(({ code }) => code)).toEqual(['MR4005', 'MR4014'])
  })

  test('a letter enters at its operator where that is another node of the pipeline by now', async () => {
    const having = (before: number, broken: boolean): PipelineDefinition =>
      pipeline('p', { partitions: 2 }, (p) => {
        let rows = p.stream('events', { schema: Event, key: 'id' })
        for (let i = 0; i < before; i++) rows = rows.filter(() => true, { name: `more-${i}` })
        rows
          .map(
            (e) => {
              if (broken) throw new Error('unlucky')
              return { n: e.n + 1 }
            },
            { name: 'first' },
          )
          .map(({ n }) => ({ n: n * 10 }), { name: 'second' })
          .to(p.topic('out'))
      })
    const { world } = await ran(having(1, true), [row('k1', 1)])
    const changed = new StageWorld(having(0, false), { log: world.log })
    await replayLast(changed)
    expect((await changed.read('out')).map(({ value }) => value)).toEqual([{ n: 20 }])
  })

  test('a letter that fails again keeps its first origin and counts on', async () => {
    const definition = withMap(
      () => {
        throw new Error('always')
      },
      { retries: 1 },
    )
    const { world, letters } = await ran(definition, [row('k1', 1), row('k1', 2)])
    const { id, topic, partition, offset, raw, key, node, operator } = letters[1]!
    const same = { id, topic, partition, offset, raw, key, node }
    expect(same).toMatchObject({ topic: 'events', partition: 1, offset: 1 })
    await replayLast(world)
    await replayLast(world)
    // There is no such operator any more: the letter is kept as it is.
    await replayLast(world, { operator: 'gone' })
    await replayLast(world, { operator, node: node as number })
    expect((await lettersOf(world)).slice(2)).toMatchObject([
      { ...same, code: 'MR4001', attempts: 4 },
      { ...same, code: 'MR4001', attempts: 6 },
      { ...same, id: expect.any(String), operator: 'gone', node: -1, code: 'MR4014', attempts: 7 },
      { ...same, code: 'MR4001', attempts: 9 },
    ])
    expect(totals(world)).toEqual({ read: 6, deadLettered: 6 })
  })

  test('a time that was out of bounds is judged again', async () => {
    const definition = pipeline('p', { partitions: 2 }, (p) => {
      p.stream('events', { schema: Event, key: 'id', future: '1m' }).to(p.topic('out'))
    })
    const { world, letters } = await ran(definition, [row('k1', 1, base + 3_600_000)])
    expect(letters).toMatchObject([{ code: 'MR4008' }])
    await replayLast(world)
    expect((await lettersOf(world)).at(-1)).toMatchObject({ code: 'MR4008', attempts: 2 })
    world.now += 3_600_000
    await replayLast(world)
    expect(await lettersOf(world)).toHaveLength(2)
    expect((await world.read('out')).map(({ value }) => value)).toEqual([{ id: 'k1', n: 1 }])
  })

  describe('behind a change of partition', () => {
    let broken = true
    const definition = pipeline('p', { partitions: 2 }, (p) => {
      p.stream('events', { schema: Event, key: 'id' })
        .keyBy((e) => e.n)
        .filter(
          () => {
            if (broken) throw new Error('not yet')
            return true
          },
          { name: 'checked' },
        )
        .window(tumbling('1s'))
        .aggregate('out', { rows: count() })
        .to(p.topic('out'))
    })
    const finished = async (world: StageWorld): Promise<unknown[]> => {
      broken = false
      await replayLast(world)
      const later = base + 300_000
      await world.produce('events', [row('k0', 5), row('k0', 0, later), row('k1', 0, later)])
      await world.drain()
      return (await world.read('out')).map(({ value }) => (value as { rows: number }).rows)
    }

    test('a letter goes back to its own group, whose key is a number', async () => {
      broken = true
      const { world, letters } = await ran(definition, [row('k1', 5)])
      expect(letters).toMatchObject([{ code: 'MR4001', key: '5', typedKey: 5 }])
      expect(await finished(world)).toEqual([2])
    })

    test('so does a record that its functions did not return for, although it was never a row', async () => {
      const skip = [0, 1].map((partition) => ({ task: `p/out/${partition}`, offset: 0 }))
      const marks = new Set<string | undefined>()
      const mark = (task: string | undefined): void => void marks.add(task?.slice('p/out/0'.length))
      const { world, letters } = await ran(definition, [row('k1', 5)], { skip, mark })
      expect(letters).toMatchObject([{ code: 'MR4009', key: '5', typedKey: 5, attempts: 1 }])
      expect(marks).not.toContain(' (replay)')
      expect(await finished(world)).toEqual([2])
      // What comes back is told apart from what is read, also by its place should it hold up a worker again.
      expect(marks).toContain(' (replay)')
    })
  })
})

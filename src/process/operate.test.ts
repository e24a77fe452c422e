import { describe, expect, test } from 'vitest'
import type { PipelineDefinition } from '../index.ts'
import { count, pipeline, sum, tumbling } from '../index.ts'
import { StageWorld } from '../../tests/support/stage-world.ts'
import type { Row } from '../../tests/support/stage-fixture.ts'
import { base, Event, ran, row, withMap } from '../../tests/support/stage-fixture.ts'

describe('operating a stage', () => {
  test('a paused task stands still at a batch boundary, loses nothing, and repeats nothing', async () => {
    const world = new StageWorld(withMap((e) => ({ n: e.n })))
    const each = (fn: (runner: StageWorld['workers'][number]['runners'][number]) => void): void => {
      for (const { runners } of world.workers) runners.forEach(fn)
    }
    await world.produce('events', [row('k0', 1), row('k1', 1)])
    await world.drain()
    each((runner) => runner.pause('p/events/1'))
    await world.produce('events', [row('k0', 2), row('k1', 2)])
    await world.drain()
    expect(world.reports().map(({ status, lag }) => [status, lag])).toEqual([
      ['running', 0],
      ['paused', 1],
    ])
    each((runner) => runner.resume('p/events/1'))
    each((runner) => runner.pause('p/events/0'))
    each((runner) => runner.resume('p/events/0'))
    await world.produce('events', [row('k0', 3), row('k1', 3)])
    await world.drain()
    const out = (await world.read('out')).map(({ value, key }) => `${key} ${(value as Row).n}`)
    expect(out.toSorted()).toEqual(['k0 1', 'k0 2', 'k0 3', 'k1 1', 'k1 2', 'k1 3'])
  })

  test('what was read while a task was paused, and what was not yet, comes once it is resumed', async () => {
    // So much that a commit is full in the middle of what was read.
    const filler = 'x'.repeat(6_000)
    const world = new StageWorld(withMap((e) => (e.id === 'k1' ? { filler } : { n: e.n })))
    const [worker] = world.workers
    const many = Array.from({ length: 1_024 }, (_, n) => row('k1', n))
    for (const records of [many, [row('k0', 1)], many, [row('k0', 2)]])
      await world.produce('events', records)
    const budget = { rows: 10_000, bytes: 1e7 }
    await world.turn(worker!, budget)
    for (const runner of worker!.runners) runner.pause('p/events/0')
    await world.turn(worker!, budget)
    for (const runner of worker!.runners) runner.resume('p/events/0')
    await world.drain()
    const out = (await world.read('out')).filter(({ key }) => key === 'k0')
    expect(out.map(({ value }) => (value as Row).n)).toEqual([1, 2])
  })

  test('without careful mode it is said whose function runs, and not at which record', async () => {
    let last = ''
    const seen: string[] = []
    const definition = withMap((e) => {
      seen.push(`${e.id} ${last}`)
      return { n: e.n }
    })
    await ran(definition, [row('k0', 1), row('k1', 1), row('k0', 2)], {
      mark: (task, offset) => void (last = `${task} ${offset}`),
    })
    expect(new Set(seen)).toEqual(new Set(['k0 p/events/0 undefined', 'k1 p/events/1 undefined']))
  })

  test('a resumed task goes on though nothing new arrives', async () => {
    let broken = true
    const fn = (e: Row): object => {
      if (broken) throw new Error('not yet')
      return { n: e.n }
    }
    const { world } = await ran(withMap(fn, { onError: 'fail' }), [row('k1', 1)])
    const { runners } = world.workers[0]!
    const waited = new AbortController()
    const before = runners.map((runner) => runner.wait(waited.signal))
    broken = false
    for (const runner of runners) runner.resume('p/events/1')
    await Promise.race(before)
    // Nor is it missed by who waits a moment later.
    await Promise.race(runners.map((runner) => runner.wait(waited.signal)))
    waited.abort()
    await world.drain()
    expect((await world.read('out')).map(({ value }) => value)).toEqual([{ n: 1 }])
  })

  test('windows that closed in a step in which their task failed close once it is resumed', async () => {
    let broken = true
    const definition = pipeline('p', { partitions: 1 }, (p) => {
      p.stream('events', { schema: Event, key: 'id', bound: '0ms', idle: '1d', future: '1d' })
        .filter(
          ({ n }) => {
            if (n === 13 && broken) throw new Error('unlucky')
            return true
          },
          { onError: 'fail' },
        )
        .keyBy('id')
        .window(tumbling('1s'))
        .aggregate('out', { n: count() })
        .to(p.topic('out'))
    })
    const at0 = (n: number, time: number) => ({ ...row('k0', n, base + time), partition: 0 })
    const world = new StageWorld(definition)
    const [worker] = world.workers
    const budget = { rows: 1, bytes: 1e6 }
    await world.produce('events', [at0(1, 0)])
    await world.drain()
    // In one commit: a record that lets the window close, its closing, and the record that fails.
    await world.produce('events', [at0(2, 5_000), at0(13, 6_000)])
    await world.turn(worker!, budget, 4)
    expect(world.reports()).toMatchObject([{ status: 'failed', counters: { read: 1 } }])
    broken = false
    for (const runner of worker!.runners) runner.resume('p/events/0')
    await world.produce('events', [at0(3, 20_000)])
    await world.drain()
    expect((await world.read('out')).map(({ timestamp }) => timestamp - base)).toEqual([
      0, 5_000, 6_000,
    ])
  })

  test('a task that retention overtook stops; resumed, it counts the gap and goes on', async () => {
    const world = new StageWorld(
      withMap((e) => ({ n: e.n })),
      { paused: ['p/events/1'] },
    )
    await world.produce('events', [row('k0', 1), row('k1', 1), row('k1', 2)])
    await world.drain()
    world.memory.cut('events', 1, 2)
    await world.produce('events', [row('k0', 2), row('k1', 3)])
    for (const { runners } of world.workers)
      for (const runner of runners) runner.resume('p/events/1')
    await world.drain()
    expect(world.reports()).toMatchObject([
      { status: 'running' },
      { status: 'behind-retention', error: { code: 'MR4012' } },
    ])
    for (const { runners } of world.workers)
      for (const runner of runners) runner.resume('p/events/1')
    await world.drain()
    expect(world.reports()[1]).toMatchObject({
      status: 'running',
      counters: { read: 3, expired: 2, processed: 1 },
    })
    expect((await world.read('out')).map(({ value }) => (value as Row).n)).toEqual([1, 2, 3])
  })

  test('careful mode says each record before it is worked on; a blamed one becomes a dead letter unseen', async () => {
    const marks: string[] = []
    const mark = (task: string | undefined, offset: number | undefined): void =>
      void marks.push(`${task} ${offset}`)
    const seen: number[] = []
    const definition = withMap((e) => {
      marks.push(`call ${e.n}`)
      seen.push(e.n)
      return { n: e.n }
    })
    const skip = [{ task: 'p/events/0', offset: 1 }]
    const { letters, out } = await ran(definition, [row('k0', 1), row('k0', 2), row('k0', 3)], {
      careful: true,
      mark,
      skip,
    })
    expect(seen).toEqual([1, 3])
    expect(out).toEqual([{ n: 1 }, { n: 3 }])
    expect(letters).toMatchObject([{ code: 'MR4009', offset: 1, raw: '{"id":"k0","n":2}' }])
    expect(marks.indexOf('call 3')).toBe(marks.indexOf('p/events/0 2') + 1)
  })

  test('in careful mode no record is blamed for what is made of a window that closes behind it', async () => {
    let last = ''
    const seen: string[] = []
    const definition = pipeline('p', { partitions: 1 }, (p) => {
      p.stream('events', { schema: Event, key: 'id', bound: '0ms', idle: '1d', future: '1d' })
        .window(tumbling('1s'))
        .aggregate('counts', { n: count() })
        .map(({ n }) => {
          seen.push(`${n} ${last}`)
          return { n }
        })
        .to(p.topic('out'))
    })
    const at0 = (n: number, time: number) => ({ ...row('k0', n, base + time), partition: 0 })
    const { out } = await ran(definition, [at0(1, 0), at0(2, 5_000)], {
      careful: true,
      mark: (task, offset) => void (last = `${task} ${offset}`),
    })
    expect(out).toEqual([{ n: 1 }])
    expect(seen).toEqual(['1 p/events/0 undefined'])
  })

  test('where a stage begins at the latest record, a crash before the first record does not move the beginning', async () => {
    const definition = pipeline('p', { partitions: 1 }, (p) => {
      p.stream('events', { schema: Event, key: 'id', start: 'latest' })
        .map((e) => ({ n: e.n }))
        .to(p.topic('out'))
    })
    const at0 = (n: number) => ({ ...row('k0', n), partition: 0 })
    const world = new StageWorld(definition)
    await world.produce('events', [at0(1)])
    await world.drain()
    world.crash(world.workers[0]!)
    await world.produce('events', [at0(2)])
    world.start(1)
    await world.drain()
    expect((await world.read('out')).map(({ value }) => value)).toEqual([{ n: 2 }])
  })
})

describe('a stage that begins where another pipeline left off', () => {
  const make = (fields: 'one' | 'two', size: '1s' | '2s' = '1s'): PipelineDefinition =>
    pipeline('p', { partitions: 1 }, (p) => {
      const windows = p
        .stream('events', { schema: Event, key: 'id' })
        .keyBy('id')
        .window(tumbling(size))
      const out =
        fields === 'one'
          ? windows.aggregate('out', { a: sum('n') })
          : windows.aggregate('out', { b: sum('n') })
      out.to(p.topic('out'))
    })
  const reopened = async (definition: PipelineDefinition): Promise<StageWorld> => {
    const { world } = await ran(make('one'), [{ ...row('k0', 1), partition: 0 }])
    return new StageWorld(definition, { log: world.log })
  }

  test('keeps windows that mean the same', async () => {
    const world = await reopened(make('one'))
    await world.drain()
    expect(world.reports()).toMatchObject([{ stateKeys: 2 }])
  })

  test.each([
    ['other fields', make('two')],
    ['another size', make('one', '2s')],
  ])('refuses windows of %s with a code', async (_, definition) => {
    const world = await reopened(definition)
    await expect(world.drain()).rejects.toMatchObject({ code: 'MR4016' })
  })

  test('takes one aggregate more, one less, and one of another name; an old one still means the same', async () => {
    const having = (names: readonly string[], size: '1s' | '2s' = '1s'): PipelineDefinition =>
      pipeline('p', { partitions: 1 }, (p) => {
        const windows = p
          .stream('events', { schema: Event, key: 'id' })
          .keyBy('id')
          .window(tumbling(size))
        for (const name of names) windows.aggregate(name, { n: count() }).to(p.topic(name))
      })
    const kept = ['a', 'b']
    const { world } = await ran(having(['a']), [{ ...row('k0', 1), partition: 0 }])
    for (const names of [kept, ['b'], kept, ['c']]) {
      const next = new StageWorld(having(names), { log: world.log })
      await next.drain()
      // Windows and stream time.
      expect(next.reports()).toMatchObject([
        { stateKeys: 1 + names.filter((n) => n === 'a').length },
      ])
    }
    const other = new StageWorld(having(['a'], '2s'), { log: world.log })
    await expect(other.drain()).rejects.toMatchObject({ code: 'MR4016' })
  })

  test.each([
    ['without the one that was being closed', ['a']],
    ['with the one that was being closed first', ['b', 'a']],
  ])('closes windows once each %s, wherever closing was cut short', async (_, names) => {
    const having = (all: readonly string[]): PipelineDefinition =>
      pipeline('p', { partitions: 1 }, (p) => {
        const windows = p
          .stream('events', { schema: Event, key: 'id', bound: '0ms', idle: '1d', future: '1d' })
          .keyBy('id')
          .window(tumbling('1s'), { lateness: '1h' })
        for (const name of all) windows.aggregate(name, { n: count() }).to(p.topic(name))
      })
    const ids = ['k0', 'k1', 'k2']
    const upTo = (turns: number): number[] => [...Array(turns).keys()]
    const cuts = upTo(12).flatMap((turns) => upTo(6).map((again) => [turns, again] as const))
    for (const [turns, again] of cuts) {
      const world = new StageWorld(having(['a', 'b']))
      const at = (id: string, time: number) => ({ ...row(id, 1, base + time), partition: 0 })
      await world.produce('events', [...ids.map((id) => at(id, 0)), at('end', 10_000)])
      for (let turn = 0; turn < turns; turn++)
        await world.turn(world.workers[0]!, { rows: 1, bytes: 1e6 })
      // Of the changed pipeline closing may be cut short as well, in another aggregate.
      let changed = new StageWorld(having(names), { log: world.log })
      for (let turn = 0; turn < again; turn++)
        await changed.turn(changed.workers[0]!, { rows: 1, bytes: 1e6 })
      changed = new StageWorld(having(names), { log: world.log })
      await changed.drain()
      for (const name of names)
        expect((await changed.read(name)).map(({ key }) => key)).toEqual(ids)
    }
  })

  test('refuses a position behind the end of the topic', async () => {
    const world = await reopened(make('one'))
    const writer = await world.log.open('other')
    writer.position('p/events', { topic: 'events', partition: 0, offset: 99, meta: '' })
    await writer.commit()
    await expect(world.drain()).rejects.toMatchObject({ code: 'MR4017' })
  })
})

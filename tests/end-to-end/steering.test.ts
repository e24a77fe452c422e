import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { Engine } from 'millrace'
import { ask, Place, until } from './harness.ts'

interface Steered {
  readonly tasks: readonly string[]
  readonly unchanged: readonly string[]
}

function steer(engine: Engine, how: 'pause' | 'resume', target: string): Promise<Steered> {
  return ask(engine, `/admin/${how}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ target }),
  }) as Promise<Steered>
}

const records = async (engine: Engine, topic: string): Promise<number> =>
  ((await ask(engine, `/admin/topics/${topic}`)) as { records: number }).records

const reasons = async (engine: Engine): Promise<string> =>
  ((await ask(engine, '/readyz')) as { reasons: string[] }).reasons.join('\n')

describe('what an operator asks for', { timeout: 90_000 }, () => {
  it('a pause outlasts a restart, is shown, and ends when it is ended', async () => {
    await using place = new Place()
    const url = place.pipeline(
      'shop',
      `p.stream('in', { schema: Type.Object({ n: Type.Number() }), key: 'n', partitions: 1 })
        .filter(() => true)
        .to(p.topic('out', { partitions: 1 }))`,
    )
    const first = await place.start(url, { workers: 1 })
    await first.ready
    const task = 'shop/in/0'
    expect(await steer(first, 'pause', 'shop')).toEqual({ tasks: [task], unchanged: [] })
    expect(await steer(first, 'pause', task)).toEqual({ tasks: [], unchanged: [task] })
    await first.stop()

    const second = await place.start(url, { workers: 1 })
    expect(second.status().paused).toEqual([task])
    await second.ready
    await second.produce('in', [{ n: 1 }, { n: 2 }])
    expect(await ask(second, '/readyz')).toEqual({
      ready: true,
      reasons: [],
      paused: [task],
      degraded: [],
    })
    const { tasks } = (await ask(second, '/admin/tasks')) as { tasks: object[] }
    expect(tasks).toContainEqual(expect.objectContaining({ id: task, status: 'paused' }))
    expect(await steer(second, 'resume', 'shop')).toEqual({ tasks: [task], unchanged: [] })
    await until(
      () => records(second, 'out'),
      (count) => count === 2,
    )
    expect(await steer(second, 'resume', 'shop')).toEqual({ tasks: [], unchanged: [task] })
    expect(second.status().paused).toEqual([])
  })

  it('resumes what failed, in part or as a whole, and says what it resumed', async () => {
    await using place = new Place()
    const flag = join(place.directory, 'repaired')
    const make = (name: string, head: string, failure: string): string =>
      place.file(
        `${name}.ts`,
        `import { existsSync } from 'node:fs'
import { workerData } from 'node:worker_threads'
import { MillraceError, pipeline } from 'millrace'
const repaired = () => existsSync(${JSON.stringify(flag)})
${head}
const tape = {
  kind: 'tape', replay: 'replayable', partitions: 1, describe: 'a tape', start: 'earliest',
  open({ position }) {
    ${failure}
    let at = Number(position ?? 0)
    const one = () => new TextEncoder().encode(JSON.stringify({ n: at++ }))
    const poll = () =>
      at === 3 ? { result: 'ended' } : { result: 'events', events: [one()], position: String(at) }
    return { poll, close() {} }
  },
} as any
export default pipeline('${name}', (p) => {
  p.stream('${name}', { schema: { type: 'object' }, from: tape }).to(p.topic('${name}-out'))
})
void [MillraceError, workerData]`,
      )
    const engine = await place.start(
      [
        make('torn', '', `if (!repaired()) throw new MillraceError('MR1063', 'It is torn.')`),
        make('broken', '', `if (!repaired()) throw new Error('It is broken.')`),
        // The pass that plans loads it, the worker does not.
        make('late', `if (workerData.shares && !repaired()) throw new Error('It is late.')`, ''),
      ],
      { workers: 1 },
    )
    await engine.ready
    const names = ['torn', 'broken', 'late']
    await until(
      () => reasons(engine),
      (text) => names.every((name) => text.includes(`It is ${name}.`)),
    )
    writeFileSync(flag, '')
    for (const [name, target] of [
      ['torn', 'ingest/torn'],
      ['broken', 'broken'],
      ['late', 'late'],
    ] as const) {
      const { tasks } = await steer(engine, 'resume', target)
      expect(tasks.join()).toContain(name === 'late' ? 'late/' : `ingest/${name}/tape/0`)
      await until(
        () => records(engine, `${name}-out`),
        (count) => count === 3,
      )
    }
    await until(
      () => reasons(engine),
      (text) => text === '',
    )
    expect((await steer(engine, 'resume', 'ingest/torn')).tasks).toEqual([])
    expect(engine.status().pipelines.map(({ state }) => state)).toEqual(names.map(() => 'running'))
    expect(await steer(engine, 'resume', 'nobody')).toMatchObject({ error: { code: 'MR6010' } })
  })
})

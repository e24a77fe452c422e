import { spawn, spawnSync } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { Place, until } from './harness.ts'

const main = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))

const shop = `
  p.stream('orders', { schema: Type.Object({ id: Type.Number(), cents: Type.Number() }), key: 'id', partitions: 2, from: http({ path: '/orders' }) })
    .filter((order) => { if (order.cents < 0) throw new Error('negative'); return true })
    .to(p.topic('good', { partitions: 1 }))
`

interface Done {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

function cli(place: Place, args: readonly string[], input = ''): Done {
  const done = spawnSync(process.execPath, [main, ...args], {
    cwd: place.directory,
    encoding: 'utf8',
    input,
    env: { ...process.env, NODE_OPTIONS: '' },
  })
  return { code: done.status, out: done.stdout, err: done.stderr }
}

/** `millrace run` once it is ready. */
async function run(
  place: Place,
  file: string,
): Promise<{ child: ChildProcess; url: string; said: () => string }> {
  const args = [main, 'run', file, '--port', '0', '--workers', '1', '--json']
  const child = spawn(process.execPath, args, {
    cwd: place.directory,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, NODE_OPTIONS: '' },
  })
  place.children.push(child)
  let errors = ''
  child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()))
  const first = once(child.stdout, 'data') as Promise<[Buffer]>
  const died = once(child, 'exit').then(() => Promise.reject(new Error(`it ended: ${errors}`)))
  died.catch(() => undefined)
  const [line] = await Promise.race([first, died])
  return { child, url: (JSON.parse(line.toString()) as { url: string }).url, said: () => errors }
}

async function ended(child: ChildProcess, signal: 'SIGTERM' | 'SIGKILL'): Promise<unknown> {
  const exit = once(child, 'exit')
  child.kill(signal)
  return (await exit)[0]
}

describe('the command line', { timeout: 90_000 }, () => {
  it('serves a whole life: run, produce, look, kill, run again, stop, look without an engine', async () => {
    await using place = new Place()
    place.pipeline('shop', shop)
    const first = await run(place, 'shop.ts')
    const lines = Array.from({ length: 50 }, (_, id) =>
      JSON.stringify({ id, cents: id === 7 ? -1 : id }),
    )
    writeFileSync(join(place.directory, 'orders.ndjson'), [...lines, '{"id":"x"}'].join('\n'))
    const sent = cli(place, ['produce', 'orders', 'orders.ndjson', '--json'])
    expect(sent).toMatchObject({ code: 3, out: '{"accepted":50,"refused":1,"deadLettered":0}\n' })
    expect(sent.err).toContain('line 51:')
    await until(
      () => Promise.resolve(cli(place, ['tail', 'good']).out.trim().split('\n')),
      (found) => found.length === 49,
    )
    expect(cli(place, ['dlq', 'list', 'shop']).out).toMatch(/MR4001 .*negative/)
    expect(cli(place, ['run', 'shop.ts', '--port', '0'])).toMatchObject({ code: 5 })
    expect(await ended(first.child, 'SIGKILL')).toBeNull()

    const second = await run(place, 'shop.ts')
    const phases = await until(
      () => Promise.resolve(/"phases":(\{.*?\})/.exec(second.said())?.[1]),
      (found) => found !== undefined,
    )
    const ends = Object.entries(JSON.parse(phases ?? '{}') as Record<string, number>)
    expect(ends.map(([phase]) => phase)).toEqual([
      'recovered',
      'planned',
      'listening',
      'loaded',
      'ready',
    ])
    expect(ends.map(([, ms]) => ms)).toEqual(ends.map(([, ms]) => ms).toSorted((a, b) => a - b))
    expect(cli(place, ['produce', 'orders'], '{"id":100,"cents":5}\n').out).toBe(
      '1 accepted, 0 refused.\n',
    )
    await until(
      () => Promise.resolve(cli(place, ['lag', '--json']).out),
      (lag) => (JSON.parse(lag) as { lag: number }[]).every((row) => row.lag === 0),
    )
    expect(cli(place, ['pause', 'shop', '--json']).out).toContain('shop/')
    expect(await ended(second.child, 'SIGTERM')).toBe(0)

    const offline = cli(place, ['topics', 'list', '--json'])
    expect(JSON.parse(offline.out)).toContainEqual(
      expect.objectContaining({ name: 'good', records: 50 }),
    )
    expect(cli(place, ['tail', 'good', '--json']).out.trim().split('\n')).toHaveLength(50)
    expect(cli(place, ['dlq', 'list']).out).toMatch(/shop +1/)
    expect(cli(place, ['topics', 'create', 'more'])).toMatchObject({ code: 4 })
  })

  it('refuses a damaged data directory, names the place, and touches nothing', async () => {
    await using place = new Place()
    place.pipeline('shop', shop)
    const { child } = await run(place, 'shop.ts')
    cli(place, ['produce', 'orders'], '{"id":100,"cents":5}\n')
    await ended(child, 'SIGTERM')
    const data = join(place.directory, '.millrace')
    for (const slot of ['SUPER.0', 'SUPER.1']) writeFileSync(join(data, slot), 'rotten')
    const mark = readFileSync(join(data, 'MARK'))
    const refused = cli(place, ['run', 'shop.ts', '--port', '0'])
    expect(refused.code).toBe(6)
    expect(refused.err).toMatch(/MR2\d\d\d: .*SUPER/)
    expect(readFileSync(join(data, 'SUPER.0'), 'utf8')).toBe('rotten')
    expect(readFileSync(join(data, 'MARK'))).toEqual(mark)
    expect(cli(place, ['topics', 'list']).code).toBe(6)
  })
})

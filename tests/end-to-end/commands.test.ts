import { execFileSync, spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { request } from 'node:http'
import type { IncomingMessage } from 'node:http'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { exitCodeOf } from '../../src/cli/exit-codes.ts'
import { program } from '../../src/cli/program.ts'
import { ask, Place, until } from './harness.ts'

const main = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))

interface Done {
  readonly code: number
  readonly out: readonly string[]
  readonly notes: readonly string[]
  readonly error: string
}

/** A command as a process would run it, without the process. */
async function command(place: Place, args: readonly string[], input = ''): Promise<Done> {
  const done = { code: 0, out: [] as string[], notes: [] as string[], error: '' }
  const output = {
    line: (text: string) => void done.out.push(text),
    json: (value: unknown) => void done.out.push(JSON.stringify(value)),
    table: (_header: unknown, rows: readonly unknown[]) =>
      void done.out.push(...rows.map((row) => JSON.stringify(row))),
    note: (text: string) => void done.notes.push(text),
    error: () => {},
    progress: <T>(_text: string, work: Promise<T>) => work,
    flushed: () => Promise.resolve(),
  }
  const surroundings = {
    output,
    stdin: bytesOf(input),
    signal: new AbortController().signal,
    pid: 1,
    exitWith: (code: number) => void (done.code = code),
  }
  const dataDir = ['--data-dir', join(place.directory, 'data')]
  try {
    await program(surroundings, '0.0.0').parseAsync([...args, ...dataDir], { from: 'user' })
  } catch (error) {
    done.code = exitCodeOf(error)
    done.error = String(error)
  }
  return done
}

async function* bytesOf(text: string): AsyncIterable<Uint8Array> {
  if (text !== '') yield Buffer.from(text)
}

const orders = (name: string): string => `
  p.stream('${name}', {
    schema: Type.Object({ id: Type.Number(), text: Type.Optional(Type.String()) }), key: 'id', partitions: 2,
  }).to(p.topic('copies', { partitions: 1 }))`

describe('produce', { timeout: 90_000 }, () => {
  it('names lines by their place in the input, and knows when there is no such topic', async () => {
    await using place = new Place()
    const engine = await place.start(place.pipeline('shop', orders('orders')), { workers: 1 })
    await engine.ready
    const gaps = '\n{"id":1}\n \r\n\n{"id":"x"}\n\n{"id":2}\n{"id":'
    expect(await command(place, ['produce', 'orders'], gaps)).toMatchObject({
      code: 3,
      out: ['2 accepted, 2 refused.'],
      notes: [expect.stringMatching(/^line 5: .*id is "x"/), expect.stringMatching(/^line 8: /)],
    })
    for (const nothing of ['', '\n\n \n']) {
      expect(await command(place, ['produce', 'orders'], nothing)).toMatchObject({
        code: 0,
        out: ['0 accepted, 0 refused.'],
      })
      const unknown = await command(place, ['produce', 'ordres'], nothing)
      expect(unknown).toMatchObject({ code: 3, out: [] })
      expect(unknown.error).toMatch(/MR1035: .*"ordres".*orders/)
    }
  })

  it('sends any number of small or bad lines, none twice', async () => {
    await using place = new Place()
    const engine = await place.start(place.pipeline('shop', orders('orders')), { workers: 1 })
    await engine.ready
    const good = Array.from({ length: 120_000 }, (_, id) => `{"id":${id}}`)
    const bad = Array.from({ length: 2_500 }, () => '{"id":"x"}')
    const input = [...bad, ...good, ...bad].join('\n')
    const { code, out, notes } = await command(place, ['produce', 'orders'], input)
    expect([code, ...out]).toEqual([3, '120000 accepted, 5000 refused.'])
    expect(notes).toHaveLength(101)
    expect(notes[99]).toContain('line 100: ')
    const { records } = (await ask(engine, '/admin/topics/orders')) as { records: number }
    expect(records).toBe(120_000)
    const long = `{"id":1}\n${'x'.repeat(6 * 1024 * 1024)}`
    const stopped = await command(place, ['produce', 'orders'], long)
    expect(stopped).toMatchObject({ code: 3, notes: ['1 were accepted before.'] })
    expect(stopped.error).toMatch(/MR1020: Line 2/)
  })
})

describe('tail', { timeout: 90_000 }, () => {
  it('prints the same with an engine and without, from wherever it is asked', async () => {
    await using place = new Place()
    const engine = await place.start(place.pipeline('shop', orders('orders')), { workers: 1 })
    await engine.ready
    const big = '{"id":1, "big": 12345678901234567890}'
    await command(place, ['produce', 'orders'], `${big}\n{"id":2}\n{"id":3}\n`)
    const look = async (): Promise<unknown[]> => [
      await command(place, ['tail', 'orders', '--json']),
      await command(place, ['tail', 'orders']),
      await command(place, ['tail', 'orders', '--from', '0:1,1:1']),
      await command(place, ['tail', 'orders', '--from', '2020-01-01T00:00:00Z']),
      await command(place, ['tail', 'orders', '--from', 'May 5']),
      await command(place, ['tail', 'nothing']),
    ]
    const running = await look()
    expect(running[1]).toMatchObject({ out: expect.arrayContaining([big, '{"id":3}']) })
    expect(running[2]).toMatchObject({ code: 0, out: [expect.any(String)] })
    expect(running[4]).toMatchObject({ code: 3, error: expect.stringContaining('"May 5"') })
    await engine.stop()
    expect(await look()).toEqual(running)
  })
})

describe('pause and resume', { timeout: 90_000 }, () => {
  it('say what they did', async () => {
    await using place = new Place()
    const engine = await place.start(place.pipeline('shop', orders('orders')), { workers: 1 })
    await engine.ready
    const say = async (...args: string[]): Promise<readonly string[]> =>
      (await command(place, args)).out
    const tasks = 'shop/orders/0, shop/orders/1'
    expect(await say('pause', 'shop/orders/0')).toEqual(['Paused: shop/orders/0'])
    expect(await say('pause', 'shop')).toEqual([
      'Paused: shop/orders/1',
      'Was paused already: shop/orders/0',
    ])
    expect(await say('resume', 'shop')).toEqual([`Resumed: ${tasks}`])
    expect(await say('resume', 'shop')).toEqual([`Was neither paused nor failed: ${tasks}`])
  })
})

describe('an offer of HTTP/2', { timeout: 90_000 }, () => {
  it('does not keep a client from sending events', async () => {
    await using place = new Place()
    const engine = await place.start(place.pipeline('shop', orders('orders')), { workers: 1 })
    await engine.ready
    const headers = {
      connection: 'Upgrade, HTTP2-Settings',
      upgrade: 'h2c',
      'content-type': 'application/json',
    }
    const asked = request(`${engine.url}/topics/orders`, { method: 'POST', headers, agent: false })
    asked.end('{"id":1}')
    const [answer] = (await once(asked, 'response')) as [IncomingMessage]
    answer.resume()
    expect(answer.statusCode).toBe(200)
  })
})

/** `millrace <args>` as a process of its own, with what it wrote to stderr so far. */
function spawned(
  place: Place,
  args: readonly string[],
): { child: ChildProcess; err: () => string } {
  const child = spawn(process.execPath, [main, ...args], {
    cwd: place.directory,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, NODE_OPTIONS: '' },
  })
  place.children.push(child)
  let err = ''
  child.stderr?.on('data', (chunk: Buffer) => (err += chunk.toString()))
  return { child, err: () => err }
}

describe('run and dev', { timeout: 90_000 }, () => {
  it('make no data directory for what does not load', async () => {
    await using place = new Place()
    place.file('broken.ts', 'export default pipeline(')
    for (const [file, code] of [
      ['missing.ts', 'MR3093'],
      ['broken.ts', 'MR309'],
    ] as const) {
      const { child, err } = spawned(place, ['run', file, '--data-dir', 'new'])
      expect((await once(child, 'exit'))[0]).toBe(3)
      expect(err()).toContain(code)
      expect(existsSync(join(place.directory, 'new'))).toBe(false)
    }
  })

  it('end, where a worker cannot be ended: by themselves, and at once at a second signal', async () => {
    await using place = new Place()
    // Nobody ever writes to it: opening it blocks the thread, which no request to end reaches.
    const pipe = join(place.directory, 'pipe')
    execFileSync('mkfifo', [pipe])
    place.file(
      'stuck.ts',
      `import { readFileSync, writeFileSync } from 'node:fs'
import { pipeline } from 'millrace'
export default pipeline('stuck', (p) => {
  p.stream('in', { schema: { type: 'object' } })
    .filter(() => {
      writeFileSync(\`\${process.pid}.stuck\`, '')
      readFileSync(${JSON.stringify(pipe)})
      return true
    })
    .to(p.topic('out'))
})`,
    )
    const begin = async (
      ...args: string[]
    ): Promise<{ child: ChildProcess; err: () => string; exit: Promise<unknown[]> }> => {
      const { child, err } = spawned(place, [...args, '--port', '0', '--workers', '1', '--json'])
      const exit = once(child, 'exit')
      const [line] = (await once(child.stdout!, 'data')) as [Buffer]
      const { url } = JSON.parse(line.toString()) as { url: string }
      const headers = { 'content-type': 'application/json' }
      const event = { method: 'POST', headers, body: '{}' }
      await until(
        () => fetch(`${url}/topics/in`, event),
        ({ ok }) => ok,
      )
      const marker = join(place.directory, `${child.pid}.stuck`)
      await until(
        () => Promise.resolve(existsSync(marker)),
        (there) => there,
      )
      return { child, err, exit }
    }
    const [alone, told] = await Promise.all([
      begin('dev', 'stuck.ts', '--data-dir', 'a', '--watchdog', '1500ms'),
      begin('run', 'stuck.ts', '--data-dir', 'b', '--log-level', 'silent'),
    ])
    told.child.kill('SIGTERM')
    await until(
      () => Promise.resolve(told.err()),
      (text) => text.includes('Stopping'),
    )
    told.child.kill('SIGTERM')
    expect(await told.exit).toEqual([null, 'SIGTERM'])
    expect(await alone.exit).toEqual([null, 'SIGKILL'])
    expect(alone.err()).toContain('MR6015')
  })
})

import * as fs from 'node:fs'
import * as os from 'node:os'
import * as path from 'node:path'
import { describe, expect, test } from 'vitest'
import type { Disk, Env } from '../core/env/env.ts'
import { realEnv } from '../core/env/real/index.ts'
import { SeededRandom, Simulation } from '../core/env/simulated/index.ts'
import { MillraceError } from '../errors.ts'
import { limits } from '../limits.ts'
import { file, generator, hostMetrics, http, memory } from './index.ts'
import type { FileSourceOptions } from './index.ts'
import type { Source, SourceReader } from './source.ts'
import { sourceSuite } from './source.suite.ts'
import type { SourceUnderTest } from './source.suite.ts'

interface Place {
  readonly env: Env
  readonly directory: string
  readonly pass: (ms: number) => void
  readonly close: () => void
}

/** Virtual time, shared by both disks, so that nothing here waits. */
function place(disk: 'simulated' | 'real'): Place {
  let now = 1_000
  const clock = { now: () => 1.7e12 + now, monotonic: () => now }
  const pass = (ms: number): void => void (now += ms)
  if (disk === 'real') {
    const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'millrace-source-'))
    const close = (): void => fs.rmSync(directory, { recursive: true })
    return { env: { ...realEnv(), clock }, directory, pass, close }
  }
  const { random, timers, disk: simulated, net } = new Simulation({ seed: 1 }).env('source')
  simulated.mkdir('/in')
  const env = { clock, random, timers, disk: simulated, net }
  return { env, directory: '/in', pass, close: () => undefined }
}

function append(disk: Disk, name: string, content: string | Uint8Array): void {
  const bytes = typeof content === 'string' ? Buffer.from(content) : content
  const opened = disk.open(name, 'write')
  for (let at = 0; at < bytes.length;) at += opened.write(bytes.subarray(at), opened.size())
  opened.close()
}

/** A log that grows in pieces that end anywhere, even within a character, and rotates by renaming. */
function growingFile(
  disk: 'simulated' | 'real',
  seed: number,
  options: FileSourceOptions,
): SourceUnderTest {
  const { env, directory, pass, close } = place(disk)
  const random = new SeededRandom(seed, 'file')
  const name = `${directory}/events.log`
  const expected: string[] = []
  let unwritten: Uint8Array = new Uint8Array(0)
  let left = 20
  let rotations = 0
  const write = (whole: boolean): void => {
    const length = whole ? unwritten.length : random.int(unwritten.length + 1)
    append(env.disk, name, unwritten.subarray(0, length))
    unwritten = unwritten.subarray(length)
  }
  const happen = (): boolean => {
    pass(500)
    if (left === 0) return false
    left--
    let text = ''
    for (let i = random.int(8); i > 0; i--) {
      const line = JSON.stringify({ n: expected.length, text: 'ä'.repeat(random.int(60)) })
      expected.push(line)
      text += `${line}${random.int(4) === 0 ? '\r\n\n' : '\n'}`
    }
    unwritten = Buffer.concat([unwritten, Buffer.from(text)])
    const rotates = options.follow === true && random.int(4) === 0
    write(rotates || left === 0)
    if (rotates) {
      rotate(env.disk, name, ++rotations)
      append(env.disk, name, '')
    }
    return true
  }
  append(env.disk, name, '')
  if (options.follow !== true) while (left > 0) happen()
  return { env, source: file(name, options), expected: () => expected, happen, close }
}

/** As logrotate does it: .2 becomes .3, .1 becomes .2, the file becomes .1. */
function rotate(disk: Disk, name: string, rotations: number): void {
  for (let i = rotations - 1; i > 0; i--) disk.rename(`${name}.${i}`, `${name}.${i + 1}`)
  disk.rename(name, `${name}.1`)
}

for (const disk of ['simulated', 'real'] as const) {
  sourceSuite(`file, once, on the ${disk} disk`, (seed) => growingFile(disk, seed, {}))
  sourceSuite(`file, followed through rotation, on the ${disk} disk`, (seed) =>
    growingFile(disk, seed, { follow: true }),
  )
}

sourceSuite('generator', (seed) => {
  const { env, pass, close } = place('simulated')
  const source = generator({
    seed,
    count: 200,
    eventsPerSecond: 50,
    event: (index, { random }) => ({ index, x: random() }),
  })
  let left = 60
  const happen = (): boolean => {
    pass(500)
    return left-- > 0
  }
  const all = readWhole(
    { ...env, clock: { now: () => 1.7e12 + 1_000, monotonic: fastClock() } },
    source,
  )
  return { env, source, expected: () => all, happen, close }
})

sourceSuite('memory', (seed) => {
  const { env, close } = place('simulated')
  const random = new SeededRandom(seed, 'memory')
  const expected: string[] = []
  const source = memory<number>()
  let left = 20
  const happen = (): boolean => {
    if (left-- <= 0) {
      source.end()
      return false
    }
    for (let i = random.int(5); i > 0; i--) {
      source.add(expected.length)
      expected.push(String(expected.length))
    }
    return true
  }
  return { env, source, expected: () => expected, happen, close }
})

/** A clock that is an hour further each time it is asked. */
function fastClock(): () => number {
  let now = 0
  return () => (now += 3_600_000)
}

function openAt(env: Env, source: Source, position?: string): SourceReader {
  const reader = source.open?.({ env, partition: 0, position, start: source.start })
  if (reader === undefined) throw new Error('it cannot be opened')
  return reader
}

function readWhole(env: Env, source: Source, position?: string): string[] {
  const reader = openAt(env, source, position)
  const all: string[] = []
  for (let idle = 0; idle < 3;) {
    const poll = reader.poll(100, 100_000)
    if (poll.result === 'events')
      all.push(...poll.events.map((event) => Buffer.from(event).toString()))
    else idle++
  }
  reader.close()
  return all
}

/** The last position handed out after reading everything there is. */
function positionAfter(env: Env, source: Source): string {
  const reader = openAt(env, source)
  let position = ''
  for (;;) {
    const poll = reader.poll(100, 100_000)
    if (poll.result !== 'events') break
    position = poll.position
  }
  reader.close()
  return position
}

function codeOf(work: () => unknown): string {
  try {
    work()
  } catch (error) {
    if (error instanceof MillraceError) return error.code
    throw error
  }
  return 'none'
}

describe.each(['simulated', 'real'] as const)('a file on the %s disk', (disk) => {
  test('read once, has its last line even without a newline; followed, only with one', () => {
    const { env, directory, close } = place(disk)
    const name = `${directory}/a`
    append(env.disk, name, '1\n2')
    expect(readWhole(env, file(name))).toEqual(['1', '2'])
    expect(readWhole(env, file(name, { follow: true }))).toEqual(['1'])
    append(env.disk, name, '2\n')
    expect(readWhole(env, file(name, { follow: true }))).toEqual(['1', '22'])
    close()
  })

  test('that was emptied and written anew is read from its start, even when it is as long again', () => {
    const { env, directory, close } = place(disk)
    const name = `${directory}/a`
    const source = file(name, { follow: true })
    append(env.disk, name, '1\n2\n3\n')
    const position = positionAfter(env, source)
    const reader = openAt(env, source, position)
    const opened = env.disk.open(name, 'write')
    opened.truncate(0)
    opened.close()
    append(env.disk, name, '4\n5\n6\n7\n')
    const poll = reader.poll(10, 1_000)
    expect(
      poll.result === 'events' && poll.events.map((event) => Buffer.from(event).toString()),
    ).toEqual(['4', '5', '6', '7'])
    reader.close()
    // The same while nobody looked.
    expect(readWhole(env, source, position)).toEqual(['4', '5', '6', '7'])
    close()
  })

  test('that is gone, or another one, is an error with a name, never a silent gap', () => {
    const { env, directory, close } = place(disk)
    const name = `${directory}/a`
    append(env.disk, name, '1\n2\n')
    const position = positionAfter(env, file(name))
    env.disk.unlink(name)
    append(env.disk, name, '8\n9\n10\n')
    expect(codeOf(() => openAt(env, file(name), position))).toBe('MR1061')
    env.disk.unlink(name)
    for (const follow of [false, true])
      expect(codeOf(() => openAt(env, file(name, { follow }), position))).toBe('MR1060')
    append(env.disk, `${name}.1`, '11\n12\n13\n')
    expect(codeOf(() => openAt(env, file(name, { follow: true }), position))).toBe('MR1064')
    expect(codeOf(() => openAt(env, file(name)))).toBe('MR1060')
    expect(codeOf(() => openAt(env, file(name), 'nonsense'))).toBe('MR1061')
    close()
  })

  test('that does not exist yet is waited for when it is followed', () => {
    const { env, directory, close } = place(disk)
    const reader = openAt(env, file(`${directory}/later`, { follow: true }))
    expect(reader.poll(1, 1).result).toBe('idle')
    append(env.disk, `${directory}/later`, '1\n')
    expect(reader.poll(1, 1).result).toBe('events')
    reader.close()
    close()
  })

  test('that is rotated within a line loses nothing of it', () => {
    const { env, directory, close } = place(disk)
    const name = `${directory}/a`
    const source = file(name, { follow: true })
    append(env.disk, name, '1\n2')
    const position = positionAfter(env, source)
    rotate(env.disk, name, 1)
    append(env.disk, name, '3\n')
    expect(readWhole(env, source, position)).toEqual(['2', '3'])
    close()
  })

  test('followed from its end begins with the next whole line', () => {
    const { env, directory, close } = place(disk)
    const name = `${directory}/a`
    append(env.disk, name, '1\n2')
    const reader = openAt(env, file(name, { follow: true, start: 'latest' }))
    append(env.disk, name, '2\n3\n')
    const read: string[] = []
    for (let i = 0; i < 5; i++) {
      const poll = reader.poll(10, 1_000)
      if (poll.result === 'events')
        read.push(...poll.events.map((event) => Buffer.from(event).toString()))
    }
    expect(read).toEqual(['3'])
    reader.close()
    close()
  })

  test('hands out the beginning of a line that is too long, and goes on behind it', () => {
    const { env, directory, close } = place(disk)
    const name = `${directory}/a`
    append(env.disk, name, `1\n"${'x'.repeat(3 * limits.eventBytes)}"\n2\n`)
    const lengths = readWhole(env, file(name)).map((event) => event.length)
    expect(lengths).toHaveLength(3)
    expect(lengths[1]).toBeGreaterThan(limits.eventBytes)
    expect(lengths[1]).toBeLessThan(2 * limits.eventBytes)
    expect([lengths[0], lengths[2]]).toEqual([1, 1])
    close()
  })
})

test('a replay with a rate gives that many events a second, and makes up for a second at most', () => {
  const { env, directory, pass } = place('simulated')
  append(env.disk, `${directory}/a`, '1\n'.repeat(10_000))
  const reader = openAt(env, file(`${directory}/a`, { eventsPerSecond: 100 }))
  const take = (): number => {
    const poll = reader.poll(10_000, 1e6)
    return poll.result === 'events' ? poll.events.length : 0
  }
  let taken = 0
  for (let ms = 0; ms < 2_000; ms += 25) {
    pass(25)
    taken += take()
  }
  expect(taken).toBe(200)
  pass(60_000)
  expect(take()).toBe(100)
})

test('a generator refuses a position that is none', () => {
  const { env, close } = place('simulated')
  for (const position of ['', '{"next":1', '5', 'null', '{"next":1.5,"startedAt":1}', '{"next":1}'])
    expect(codeOf(() => openAt(env, generator({ event: String }), position))).toBe('MR1061')
  close()
})

test('a generator whose function throws says for which event', () => {
  const { env } = place('simulated')
  const event = (index: number): bigint | number => (index === 2 ? 1n : index)
  const reader = openAt(env, generator({ event }))
  expect(() => reader.poll(10, 1_000)).toThrow(/MR1063: event .* for event 2: TypeError: .*BigInt/)
})

describe('host metrics', () => {
  function proc(disk: Disk, busy: number, idle: number, sectors: number, bytes: number): void {
    const files: Record<string, string> = {
      '/proc/stat': `cpu  ${busy} 0 0 ${idle} 0 0 0 0 0 0\ncpu0 1 2 3\n`,
      '/proc/meminfo': 'MemTotal:        1000 kB\nMemFree:  100 kB\nMemAvailable:     400 kB\n',
      '/proc/diskstats': `   8  0 sda 1 0 ${sectors} 4 5 6 ${sectors * 2} 8\n   8  1 sda1 1 0 999 4 5 6 999 8\n`,
      '/proc/net/dev': `Inter-|\n face |bytes\n    lo: 77 0 0 0 0 0 0 0 77 0\n  eth0: ${bytes} 1 0 0 0 0 0 0 ${bytes * 3} 1\n`,
      '/proc/sys/kernel/hostname': 'mill\n',
    }
    disk.mkdir('/proc/net')
    disk.mkdir('/proc/sys/kernel')
    for (const [name, text] of Object.entries(files)) {
      if (disk.exists(name)) disk.unlink(name)
      append(disk, name, text)
    }
  }

  test('are the differences between two looks, per second', () => {
    const { env, pass } = place('simulated')
    proc(env.disk, 100, 900, 0, 0)
    const reader = openAt(env, hostMetrics({ every: '2s' }))
    expect(reader.poll(1, 1)).toEqual({ result: 'idle', againInMs: 2_000 })
    proc(env.disk, 150, 1_050, 100, 5_000)
    pass(2_000)
    const poll = reader.poll(1, 1)
    const event: unknown =
      poll.result === 'events' && JSON.parse(Buffer.from(poll.events[0]!).toString())
    expect(event).toEqual({
      host: 'mill',
      at: env.clock.now(),
      cpu: 0.25,
      memory_total: 1_024_000,
      memory_used: 614_400,
      disk_read: 25_600,
      disk_written: 51_200,
      network_received: 2_500,
      network_sent: 7_500,
    })
    expect(reader.poll(1, 1).result).toBe('idle')
  })

  test('are refused where there is no /proc', () => {
    const { env } = place('simulated')
    expect(codeOf(() => openAt(env, hostMetrics()))).toBe('MR1062')
  })

  test.runIf(process.platform === 'linux')('of this machine make sense', () => {
    let now = 0
    const env = { ...realEnv(), clock: { now: () => 1.7e12, monotonic: () => now } }
    const reader = openAt(env, hostMetrics())
    now = 1_000
    const poll = reader.poll(1, 1)
    const event =
      poll.result === 'events' &&
      (JSON.parse(Buffer.from(poll.events[0]!).toString()) as Record<string, number>)
    if (event === false) throw new Error('there is no event')
    expect(event['cpu']).toBeGreaterThanOrEqual(0)
    expect(event['cpu']).toBeLessThanOrEqual(1)
    expect(event['memory_used']).toBeGreaterThan(0)
    expect(event['memory_used']).toBeLessThan(event['memory_total']!)
  })
})

test('options that mean nothing are refused when the source is made', () => {
  expect(codeOf(() => http({ path: 'events' }))).toBe('MR1063')
  expect(codeOf(() => http({ path: '/topics/x' }))).toBe('MR1063')
  expect(codeOf(() => http({ path: '/shop/orders-1.x_y' }))).toBe('none')
  expect(codeOf(() => file('x', { eventsPerSecond: 0 }))).toBe('MR1063')
  expect(codeOf(() => file('x', { start: 'latest' }))).toBe('MR1063')
  expect(codeOf(() => hostMetrics({ every: '10ms' }))).toBe('MR1063')
  expect(codeOf(() => generator({ event: String, count: -1 }))).toBe('MR1063')
  expect(codeOf(() => generator({ event: String, count: 1.5 }))).toBe('MR1063')
  expect(codeOf(() => http({ path: '/x', onInvalid: 'deadletter' as 'deadLetter' }))).toBe('MR1063')
})

import { describe, expect, test } from 'vitest'
import { Simulation, SimulationStuck } from './index.ts'
import type { SimulatedEnv } from './index.ts'

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

/** Two processes that write, sync, talk and crash: enough to touch every source of randomness. */
async function busyWorld(seed: number): Promise<Simulation> {
  const world = new Simulation({ seed })
  world.network.handle('peer', () => ({ status: 200, headers: {}, body: bytes('ok') }))
  const work = async (env: SimulatedEnv): Promise<void> => {
    env.disk.mkdir('/data')
    const file = env.disk.open(`/data/${env.label.replaceAll(/[#/]/g, '-')}`, 'write')
    for (let i = 0; ; i++) {
      file.write(env.random.bytes(700), file.size())
      if (env.random.int(3) === 0) file.fdatasync()
      if (env.random.int(3) === 0) env.disk.fsyncDir('/data')
      await env.timers.sleep(env.random.int(5))
      await env.net.request({
        url: 'http://peer/',
        method: 'POST',
        headers: {},
        timeoutMs: 50,
        maxAnswerBytes: 10,
        allowPrivate: false,
      })
    }
  }
  for (let generation = 0; generation < 3; generation++) {
    const first = world.env('first')
    const second = world.env('second')
    void work(first)
    void work(second)
    void work(second.thread('inner'))
    await world.advance(40)
    first.crash(generation === 1 ? 'kill' : 'power')
    second.crash('kill')
  }
  return world
}

describe('a simulation', () => {
  test('does the same things in the same order for the same seed', async () => {
    for (let seed = 1; seed <= 10; seed++) {
      const first = await busyWorld(seed)
      const second = await busyWorld(seed)
      expect(second.trace.hash).toBe(first.trace.hash)
      expect(second.trace.last).toEqual(first.trace.last)
      expect(second.disk().contents()).toEqual(first.disk().contents())
    }
  })

  test('does other things for another seed', async () => {
    const hashes = new Set<string>()
    for (let seed = 1; seed <= 10; seed++) hashes.add((await busyWorld(seed)).trace.hash)
    expect(hashes.size).toBe(10)
  })

  test('gives a stream of randomness that does not depend on the other streams', () => {
    const draw = (drawElsewhere: number): number[] => {
      const world = new Simulation({ seed: 7 })
      const other = world.random('other')
      for (let i = 0; i < drawElsewhere; i++) other.float()
      const stream = world.random('this')
      return [stream.float(), stream.int(1000), ...stream.bytes(4)]
    }
    expect(draw(0)).toEqual(draw(1000))
  })

  test('fires timers never early, and equal deadlines in the order they were set', async () => {
    const world = new Simulation({ seed: 3 })
    const env = world.env('p')
    const fired: string[] = []
    const note = (name: string): void => void fired.push(`${name}@${env.clock.monotonic()}`)
    env.timers.after(20, () => note('c'))
    env.timers.after(10, () => note('a'))
    env.timers.after(10, () => note('b'))
    env.timers.after(5, () => note('never'))()
    await world.run()
    expect(fired).toEqual(['a@10', 'b@10', 'c@20'])
  })

  test('ends a sleep early when its signal aborts', async () => {
    const world = new Simulation({ seed: 3 })
    const env = world.env('p')
    const abort = new AbortController()
    let wokeAt = -1
    void env.timers.sleep(1000, abort.signal).then(() => (wokeAt = env.clock.monotonic()))
    env.timers.after(30, () => abort.abort())
    await world.run()
    expect(wokeAt).toBe(30)
    expect(world.scheduler.pending).toBe(0)
  })

  test('lets nothing of a dead process happen', async () => {
    const world = new Simulation({ seed: 1 })
    const env = world.env('p')
    let ticks = 0
    const tick = async (): Promise<void> => {
      for (;;) {
        await env.timers.sleep(10)
        ticks += 1
      }
    }
    void tick()
    await world.advance(35)
    env.crash('kill')
    await world.advance(100)
    expect(ticks).toBe(3)
    expect(() => env.disk.exists('/')).toThrow('is dead')
  })

  test('ends the threads of a process with it, and a thread alone', async () => {
    const world = new Simulation({ seed: 1 })
    const env = world.env('p')
    const fired: string[] = []
    const threads = ['a', 'b'].map((name) => env.thread(name))
    for (const thread of threads) thread.timers.after(5, () => fired.push(thread.label))
    env.timers.after(5, () => fired.push(env.label))
    threads[0]?.crash('kill')
    await world.advance(5)
    expect(fired.toSorted()).toEqual(['p#1', 'p#1/b'])
    threads[1]?.timers.after(5, () => fired.push('too late'))
    env.crash('kill')
    await world.run()
    expect(fired).not.toContain('too late')
    expect(threads.map(({ alive }) => alive)).toEqual([false, false])
  })

  test('lets timers come due while threads only yield', async () => {
    const world = new Simulation({ seed: 1 })
    const env = world.env('p')
    let stop = false
    const spin = async (): Promise<void> => {
      while (!stop) await env.timers.yield()
    }
    void spin()
    env.timers.after(1, () => (stop = true))
    await world.run()
    expect(stop).toBe(true)
  })

  test('says so when nothing is left that could bring the wanted state about', async () => {
    const world = new Simulation({ seed: 1 })
    world.env('p').timers.after(1, () => {})
    await expect(world.runUntil(() => false)).rejects.toThrow(SimulationStuck)
  })

  test('interleaves threads differently for different seeds, and not at all under fifo', async () => {
    const order = async (seed: number, kind: 'random' | 'fifo'): Promise<string> => {
      const world = new Simulation({ seed, order: kind })
      const seen: string[] = []
      for (const name of ['a', 'b', 'c', 'd']) {
        world.env(name).timers.after(5, () => seen.push(name))
      }
      await world.run()
      return seen.join('')
    }
    const random = new Set<string>()
    for (let seed = 0; seed < 20; seed++) random.add(await order(seed, 'random'))
    expect(random.size).toBeGreaterThan(5)
    expect(await order(1, 'fifo')).toBe('abcd')
  })
})

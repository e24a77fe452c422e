import { describe, expect, it } from 'vitest'
import { Simulation } from '../core/env/simulated/index.ts'
import { saveJson, settleNames } from './data-files.ts'
import { Paused } from './paused.ts'

function directory() {
  const env = new Simulation({ seed: 'paused' }).env('engine')
  env.disk.mkdir('/data')
  return env
}

describe('the list of what is paused', () => {
  it('is there again at the next start, whatever else was decided meanwhile', () => {
    const env = directory()
    const first = new Paused(env, '/data')
    expect(first.tasks).toEqual([])
    first.add(['shop/main/0', 'gone/main/0'])
    first.add(['shop/main/1'])
    first.delete(['shop/main/0', 'nobody'])
    expect(new Paused(env, '/data').tasks).toEqual(['gone/main/0', 'shop/main/1'])
  })

  it('stays as the next process found it, though the one before was killed at its sync and the power goes', () => {
    for (let seed = 0; seed < 20; seed++) {
      const world = new Simulation({ seed: `paused ${seed}` })
      const first = world.env('engine')
      first.disk.mkdir('/data')
      first.disk.fsyncDir('/')
      new Paused(first, '/data').add(['shop/main/0'])
      world.disk().inject({ on: 'fsyncDir', effect: { crash: 'kill', moment: 'before' } })
      expect(() => new Paused(first, '/data').delete(['shop/main/0'])).toThrow('is dead')
      const second = world.env('engine')
      settleNames(second, '/data')
      const { tasks } = new Paused(second, '/data')
      second.crash('power')
      expect(new Paused(world.env('engine'), '/data').tasks).toEqual(tasks)
    }
  })

  it('is refused where it is damaged: without it, what was paused would run', () => {
    const env = directory()
    for (const rubbish of [{}, [], { paused: [1] }, 'text']) {
      saveJson(env, '/data', 'paused.json', rubbish)
      expect(() => new Paused(env, '/data')).toThrow(/MR6016.*paused\.json/)
    }
    const file = env.disk.open('/data/paused.json', 'write')
    file.truncate(3)
    file.close()
    expect(() => new Paused(env, '/data')).toThrow(/MR6016/)
  })

  it('is refused with any bit of it turned over, and taken without a checksum as older versions wrote it', () => {
    const env = directory()
    new Paused(env, '/data').add(['shop/main/0', 'shop/main/1'])
    const file = env.disk.open('/data/paused.json', 'write')
    const bytes = new Uint8Array(file.size())
    file.read(bytes, 0)
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const flipped = bytes.slice()
      flipped[bit >> 3]! ^= 1 << (bit & 7)
      file.write(flipped, 0)
      expect(() => new Paused(env, '/data').tasks).toThrow(/MR6016.*paused\.json/)
    }
    const old = new TextEncoder().encode('{"paused":["shop/main/0"]}')
    file.write(old, 0)
    file.truncate(old.length)
    expect(new Paused(env, '/data').tasks).toEqual(['shop/main/0'])
    file.close()
  })

  it('says with a code that the disk does not let it look', () => {
    const world = new Simulation({ seed: 'paused' })
    const env = world.env('engine')
    world.disk().inject({ on: 'exists', effect: { error: 'EACCES' } })
    expect(() => new Paused(env, '/data')).toThrow('MR2015')
  })

  it('changes not at all where it cannot be written', () => {
    const env = directory()
    const paused = new Paused(env, '/data')
    paused.add(['shop/main/0'])
    // The name that a new list is written under is taken.
    env.disk.mkdir('/data/paused.json.new/in-the-way')
    expect(() => paused.add(['shop/main/1'])).toThrow(/MR2015/)
    expect(paused.tasks).toEqual(['shop/main/0'])
    expect(new Paused(env, '/data').tasks).toEqual(['shop/main/0'])
  })
})

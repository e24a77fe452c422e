import { describe, expect, it } from 'vitest'
import { MillraceError } from '../errors.ts'
import { causeOf, deathError, observeBeat, remembered, restartAfter } from './supervisor.ts'
import type { Death } from './supervisor.ts'

const death = (at: number, more: Partial<Death> = {}): Death => ({
  at,
  cause: 'error',
  task: undefined,
  offset: undefined,
  careful: false,
  ...more,
})

describe('restartAfter', () => {
  it('replaces a worker at once after its first death, then waits twice as long each time, up to 10 s', () => {
    const deaths: Death[] = []
    const waits: number[] = []
    for (let i = 0; i < 12; i++) {
      deaths.push(death(i))
      waits.push(restartAfter(deaths).inMs)
    }
    expect(waits).toEqual([0, 100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000, 10_000, 10_000])
  })

  it('forgets deaths that are over a minute old', () => {
    expect(restartAfter([death(0), death(1), death(2), death(70_000)]).inMs).toBe(0)
    expect(remembered([death(0), death(50_000)], 70_000)).toEqual([death(50_000)])
  })

  it('runs a task with care once it was there at two deaths, and no other task', () => {
    const first = death(0, { task: 'p/main/1' })
    expect(restartAfter([first]).careful).toEqual([])
    const other = death(5, { task: 'p/main/2' })
    expect(restartAfter([first, other, death(9, { task: 'p/main/1' })]).careful).toEqual([
      'p/main/1',
    ])
  })

  it('skips a record only when it was alone as the worker died, and then without waiting', () => {
    const rough = death(0, { task: 'p/main/1', offset: 7 })
    expect(restartAfter([rough, { ...rough, at: 1 }])).toMatchObject({ skip: undefined, inMs: 100 })
    const exact = death(2, { task: 'p/main/1', offset: 9, careful: true })
    expect(restartAfter([rough, { ...rough, at: 1 }, exact])).toEqual({
      inMs: 0,
      careful: ['p/main/1'],
      skip: { task: 'p/main/1', offset: 9 },
    })
  })
})

describe('observeBeat', () => {
  it('adds up the time a beat stands, and starts over when it moves', () => {
    let seen = observeBeat(undefined, 5, 100)
    seen = observeBeat(seen, 5, 100)
    seen = observeBeat(seen, 5, 150)
    expect(seen.stoodMs).toBe(250)
    expect(observeBeat(seen, 6, 100).stoodMs).toBe(0)
  })
})

describe('causeOf', () => {
  it('tells the watchdog, memory, an error and an exit apart', () => {
    expect(causeOf(undefined, 'by-watchdog')).toBe('stuck')
    expect(
      causeOf(Object.assign(new Error('x'), { code: 'ERR_WORKER_OUT_OF_MEMORY' }), 'by-itself'),
    ).toBe('out-of-memory')
    expect(causeOf(new Error('x'), 'by-itself')).toBe('error')
    expect(causeOf(undefined, 'by-itself')).toBe('exit')
  })
})

describe('deathError', () => {
  const facts = {
    worker: 1,
    error: undefined,
    task: 'p/main/2',
    offset: 7,
    patienceMs: 500,
    workerMemoryMb: 64,
  }
  const said = (error: unknown, cause = causeOf(error, 'by-itself')): string =>
    deathError({ ...facts, error, cause }).message

  it('names worker, place and limit', () => {
    expect(said(undefined, 'stuck')).toMatch(
      /^MR6006: Worker 1 showed no progress for 500 ms at p\/main\/2, offset 7\./,
    )
    expect(said(undefined, 'out-of-memory')).toMatch(/^MR6007: .* more than 64 MiB of heap at p/)
    const nowhere = { ...facts, task: undefined, offset: undefined, cause: 'exit' } as const
    expect(deathError(nowhere).message).toContain('ended by itself; user code called process.exit.')
  })

  it('blames user code for no end that has another cause', () => {
    const gone = new MillraceError('MR2011', 'There is no topic "x".')
    expect(said(gone)).toMatch(/^MR6005: Worker 1 failed with "MR2011: There is no topic "x"\./)
    expect(said(new TypeError('x is not a function'))).toContain('"TypeError: x is not a function"')
    expect(said(undefined)).toContain('process.exit')
  })
})

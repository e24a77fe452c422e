import { describe, expect, it } from 'vitest'
import { MillraceError } from '../errors.ts'
import { resolveConfig } from './config.ts'

const machine = { cores: 4, memoryBytes: 8 * 2 ** 30, cwd: '/srv' }

describe('resolveConfig', () => {
  it('fills in the documented defaults', () => {
    expect(resolveConfig({}, machine)).toMatchObject({
      dataDir: '/srv/.millrace',
      workers: 4,
      host: '127.0.0.1',
      port: 7171,
      allowedOrigins: [],
      commitIntervalMs: 20,
      watchdogMs: 30_000,
      workerMemoryMb: 1177,
      bodyBytes: 256 * 2 ** 20,
    })
  })

  it('shares out the memory it may take', () => {
    for (const memoryMb of [496, 512, 1_000, 9_000, 100_000]) {
      for (const workers of [1, 2, 7]) {
        if (memoryMb < 400 + 96 * workers) continue
        const { workerMemoryMb, bodyBytes } = resolveConfig({ memoryMb, workers }, machine)
        expect(workers * (workerMemoryMb + 40) + (2 * bodyBytes) / 2 ** 20).toBeLessThanOrEqual(
          memoryMb - 352,
        )
        expect(workerMemoryMb).toBeGreaterThanOrEqual(32)
      }
    }
    const little = { ...machine, memoryBytes: 2 ** 20 }
    expect(resolveConfig({ workers: 1 }, little)).toEqual(
      resolveConfig({ workers: 1, memoryMb: 496 }, little),
    )
  })

  it('takes origins as browsers send them', () => {
    const { allowedOrigins } = resolveConfig(
      { allowedOrigins: ['https://Shop.example:443/', 'http://localhost:5173'] },
      machine,
    )
    expect(allowedOrigins).toEqual(['https://shop.example', 'http://localhost:5173'])
  })

  it('refuses a value out of range with the value and the range', () => {
    for (const [options, words] of [
      [{ workers: 0 }, 'workers is 0 and must be a whole number from 1 to 64'],
      [{ workers: 2, memoryMb: 591 }, 'memoryMb is 591 and must be a whole number from 592'],
      [{ port: 70_000 }, 'port is 70000 and must be a whole number from 0 to 65535'],
      [{ watchdogMs: 10 }, 'watchdogMs is 10'],
      [{ dataDir: '' }, 'dataDir is empty'],
      [{ logLevel: 'loud' as 'info' }, 'logLevel is "loud"'],
      [{ allowedOrigins: ['*'] }, 'allowedOrigins has "*"'],
      [{ allowedOrigins: ['https://a.example/page'] }, 'like https://shop.example'],
    ] as const) {
      const resolve = (): unknown => resolveConfig(options, machine)
      expect(resolve).toThrow(MillraceError)
      expect(resolve).toThrow(words)
    }
  })
})

import { describe, expect, it } from 'vitest'
import { notReadyReasons } from './status-of.ts'

const running = {
  name: 'shop',
  url: 'file:///shop.ts',
  state: 'running',
  planHash: '1',
  error: undefined,
} as const
const worker = {
  slot: 0,
  state: 'running',
  restarts: 0,
  phase: 'idle',
  lastError: undefined,
} as const
const counters = {
  read: 0,
  processed: 0,
  deadLettered: 0,
  late: 0,
  skipped: 0,
  shed: 0,
  expired: 0,
  emitted: 0,
}
const task = {
  id: 'shop/main/0',
  status: 'running',
  counters,
  lag: 0,
  watermark: undefined,
  stateKeys: 0,
  stateBytes: 0,
} as const
const error = { code: 'MR4001', kind: 'data', message: 'because', details: {} } as const

describe('readiness', () => {
  it('has none while everything runs and there is space, also a sink that is retrying or paused by an operator', () => {
    const tasks = [task, { ...task, status: 'retrying' }, { ...task, status: 'paused' }] as const
    expect(notReadyReasons([running], [worker], tasks)).toEqual([])
    expect(notReadyReasons([running], [worker], tasks, true)).toEqual([
      'The disk is full: the log takes no records',
    ])
  })

  it('names each pipeline, worker and task that does not, with its cause', () => {
    const reasons = notReadyReasons(
      [{ ...running, state: 'failed', error }],
      [
        { ...worker, state: 'waiting', lastError: error },
        { ...worker, slot: 1, phase: 'disk full' },
      ],
      [{ ...task, status: 'behind-retention', error }],
    )
    expect(reasons).toHaveLength(4)
    for (const [i, what] of ['shop', 'Worker 0', 'Worker 1', 'shop/main/0'].entries()) {
      expect(reasons[i]).toContain(what)
    }
    expect(reasons.filter((reason) => reason.includes('because'))).toHaveLength(3)
  })
})

import { Type } from 'typebox'
import { describe, expect, test } from 'vitest'
import type { PipelineBuilder } from './pipeline.ts'
import { pipeline } from './pipeline.ts'

const Action = Type.Object({
  event_type: Type.String(),
  ok: Type.Boolean(),
  properties: Type.Object({ duration: Type.Number() }),
})
/** What the types refuse must be refused in plain JavaScript too: `never` stands for any argument. */
const any = (value: unknown): never => value as never

test('what a stream sheds is in its node, conditions as a list', () => {
  const keep = { event_type: 'order', 'properties.duration': { gt: 1 } } as const
  const sheds = [
    { policy: 'drop-oldest', maxLag: 100 },
    { policy: 'sample', maxLag: 100, keep: 0.25 },
    { policy: 'priority', maxLag: 100, keep },
  ] as const
  const { nodes } = pipeline('p', (p) => {
    for (const [i, shed] of sheds.entries()) p.stream(`s${i}`, { schema: Action, shed })
    p.stream('none', { schema: Action })
  })
  expect(nodes.map((node) => node.kind === 'stream' && node.shed)).toEqual([
    sheds[0],
    sheds[1],
    {
      ...sheds[2],
      keep: [
        { path: 'event_type', op: 'in', values: ['order'] },
        { path: 'properties.duration', op: 'gt', value: 1 },
      ],
    },
    undefined,
  ])
})

const maxLag = 1

describe.each<[string, string, unknown, RegExp]>([
  ['MR3014', 'a name alone', 'sample', /shed of stream s is "sample"; it is an object/],
  ['MR3014', 'nothing', null, /shed of stream s is null/],
  [
    'MR3014',
    'an unknown policy',
    { policy: 'drop-newest', maxLag },
    /policy in shed of stream s is "drop-newest"; it can be drop-oldest, sample or priority/,
  ],
  [
    'MR3014',
    'a maxLag of 0',
    { policy: 'drop-oldest', maxLag: 0 },
    /maxLag in shed of stream s is 0; it is a whole number of records, 1 or more/,
  ],
  ['MR3014', 'half a record', { policy: 'drop-oldest', maxLag: 1.5 }, /maxLag .* is 1\.5;/],
  ['MR3014', 'no maxLag', { policy: 'drop-oldest' }, /maxLag in shed of stream s is undefined/],
  ['MR3014', 'a text', { policy: 'drop-oldest', maxLag: '10k' }, /maxLag .* is "10k"/],
  [
    'MR3014',
    'something to keep of the oldest',
    { policy: 'drop-oldest', maxLag, keep: 0.1 },
    /shed of stream s has no option keep; it has policy, maxLag\./,
  ],
  [
    'MR3014',
    'a sample of all',
    { policy: 'sample', maxLag, keep: 1 },
    /keep in shed of stream s is 1; with sample it is a share, more than 0 and less than 1/,
  ],
  ['MR3014', 'a sample of none', { policy: 'sample', maxLag, keep: 0 }, /keep .* is 0;/],
  ['MR3014', 'no share', { policy: 'sample', maxLag }, /keep .* is undefined;/],
  [
    'MR3014',
    'a sample by conditions',
    { policy: 'sample', maxLag, keep: { ok: true } },
    /keep in shed of stream s is object; with sample/,
  ],
  [
    'MR3014',
    'a priority by share',
    { policy: 'priority', maxLag, keep: 0.5 },
    /keep in shed of stream s is number; with priority it is conditions as where\(\) takes them/,
  ],
  [
    'MR3016',
    'a priority for nothing',
    { policy: 'priority', maxLag, keep: {} },
    /keep in shed of stream s has no conditions/,
  ],
  [
    'MR3016',
    'a comparison that does not exist',
    { policy: 'priority', maxLag, keep: { ok: { above: 1 } } },
    /keep in shed of stream s compares ok with the comparison above/,
  ],
  [
    'MR3012',
    'an unknown field',
    { policy: 'priority', maxLag, keep: { urgent: true } },
    /keep in shed of stream s names the field urgent, but the row has event_type/,
  ],
])('%s: shedding by %s', (code, _what, shed, text) => {
  test('is refused, with the value in the message', () => {
    const build = (p: PipelineBuilder): unknown =>
      p.stream('s', { schema: Action, shed: any(shed) })
    const attempt = (): unknown => pipeline('p', build as (p: PipelineBuilder) => void)
    expect(attempt).toThrow(expect.objectContaining({ code }))
    expect(attempt).toThrow(text)
  })
})

test('a table sheds nothing: a row that is missing would be wrong for ever', () => {
  const shed = { policy: 'drop-oldest', maxLag }
  const attempt = (): unknown =>
    pipeline('p', (p) => p.table('t', any({ schema: Action, key: 'event_type', shed })) as never)
  expect(attempt).toThrow(expect.objectContaining({ code: 'MR3022' }))
  expect(attempt).toThrow(/Table t has the option shed\. .*`shed` to a stream/s)
})

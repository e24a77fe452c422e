/** The pipelines that are killed: windows into SQLite with everything kept, or files with hardly anything kept. */
import { count, pipeline, sum, tumbling } from 'millrace'
import { file, sqlite } from 'millrace/sinks'
import { http } from 'millrace/sources'
import { Type } from 'typebox'

const View = Type.Object({
  id: Type.String(),
  user: Type.String(),
  page: Type.String(),
  n: Type.Integer(),
  at: Type.Integer(),
  filler: Type.Optional(Type.String()),
})
const common = { schema: View, key: 'user', time: 'at', bound: '30s' } as const
const target = process.env['KILL_TARGET'] ?? 'points'

const windows = pipeline('windows', (p) => {
  p.stream('views', { ...common, from: http({ path: '/views' }) })
    .filter((view) => view.n % 10 !== 0)
    .keyBy('page')
    .window(tumbling('1s'), { lateness: '30s', emit: 'update' })
    .aggregate('pages', { views: count(), total: sum('n') })
    .to(sqlite({ path: target, table: 'pages', key: ['page', 'window_start'] }))
})

const files = pipeline('files', (p) => {
  p.stream('views', {
    ...common,
    from: http({ path: '/views' }),
    retention: { time: process.env['KILL_KEEP'] === 'longer' ? '12s' : '1s' },
  }).to(file({ path: target, roll: { ms: 400 } }))
})

export default process.env['KILL_WORLD'] === 'files' ? files : windows

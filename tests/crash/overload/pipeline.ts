/** What the overloaded engine runs: windows into one database, every row into another, and every row into files. */
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
})
const target = process.env['OVERLOAD_TARGET'] ?? 'overload'
const common = { schema: View, key: 'user', time: 'at', from: http({ path: '/views' }) } as const

const windows = pipeline('windows', (p) => {
  p.stream('views', { ...common, bound: '30s' })
    .keyBy('page')
    .window(tumbling('1s'), { lateness: '30s', emit: 'update' })
    .aggregate('pages', { views: count(), total: sum('n') })
    .to(sqlite({ path: target, table: 'pages', key: ['page', 'window_start'] }))
})

/** Neither sink replaces rows: what came twice stands there twice. */
const copies = pipeline('copies', (p) => {
  const views = p.stream('views', { ...common, retention: { time: '5s' } })
  views.to(sqlite({ path: `${target}/dead.sqlite`, table: 'views', busyMs: 100 }))
  views.to(file({ path: `${target}/alive`, roll: { ms: 1_000 } }))
})

export default process.env['OVERLOAD_WORLD'] === 'copies' ? copies : windows

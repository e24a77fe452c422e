/** The pipeline that kill.ts runs: a filter, a change of partition, a window, a transactional sink. */
import { count, pipeline, sum, tumbling } from 'millrace'
import { sqlite } from 'millrace/sinks'
import { http } from 'millrace/sources'
import { Type } from 'typebox'

const View = Type.Object({
  id: Type.String(),
  user: Type.String(),
  page: Type.String(),
  n: Type.Integer(),
  at: Type.Integer(),
})

export default pipeline('kill', (p) => {
  p.stream('views', {
    schema: View,
    key: 'user',
    time: 'at',
    bound: '30s',
    from: http({ path: '/views' }),
  })
    .filter((view) => view.n % 10 !== 0)
    .keyBy('page')
    .window(tumbling('1s'), { lateness: '30s', emit: 'update' })
    .aggregate('pages', { views: count(), total: sum('n') })
    .to(
      sqlite({
        path: process.env['KILL_DATABASE'] ?? 'kill.sqlite',
        table: 'pages',
        key: ['page', 'window_start'],
      }),
    )
})

import { avg, count, pipeline, tumbling } from 'millrace'
import { sqlite } from 'millrace/sinks'
import { http } from 'millrace/sources'
import { Type } from 'typebox'

const PageView = Type.Object({
  user_id: Type.String(),
  page: Type.String(),
  seconds: Type.Number(),
  at: Type.String(),
})

export default pipeline('hello', (p) => {
  p.stream('views', {
    schema: PageView,
    key: 'user_id',
    time: 'at',
    from: http({ path: '/views' }),
  })
    .where({ page: { ne: '/health' } })
    .filter((view) => view.seconds > 0)
    .keyBy('page')
    .window(tumbling('1m'), { lateness: '30s', emit: 'update' })
    .aggregate('pages', { views: count(), seconds: avg('seconds') })
    .to(sqlite({ path: 'pages.sqlite', table: 'pages', key: ['page', 'window_start'] }))
})

/**
 * The demo: user actions over HTTP, this machine's metrics, and orders replayed from a file become page counts, revenue
 * and CPU alerts in SQLite, on a WebSocket and at a webhook.
 */
import { avg, count, pipeline, sum, tumbling } from 'millrace'
import { sqlite, webhook, websocket } from 'millrace/sinks'
import { file, hostMetrics, http } from 'millrace/sources'
import { HostSample, Order, User, UserAction } from './events.ts'

const env = (name: string, fallback: string): string => process.env[name] ?? fallback
const database = env('DEMO_DATABASE', 'demo.sqlite')

export default pipeline('demo', (p) => {
  const actions = p.stream('actions', {
    schema: UserAction,
    key: 'user_id',
    time: 'timestamp',
    bound: '5s',
    from: http({ path: '/actions' }),
  })
  const users = p.table('users', { schema: User, key: 'user_id' })

  const pages = actions
    .where({ event_type: 'page_view' })
    .filter((action) => action.properties.duration > 0)
    .enrich(users, 'user_id', (_action, user) => ({ pro: user?.plan === 'pro' ? 1 : 0 }))
    .keyBy('properties.page')
    .window(tumbling('10s'), { lateness: '10s', emit: 'update' })
    .aggregate('pages', {
      views: count(),
      seconds: avg('properties.duration'),
      pro_views: sum('pro'),
    })
  pages.to(sqlite({ path: database, table: 'pages', key: ['page', 'window_start'] }))
  pages.to(websocket({ path: '/live/pages' }))
  pages.late().to(p.topic('late-actions'))

  const orders = p.stream('orders', {
    schema: Order,
    key: 'country',
    time: 'at',
    from: file(env('DEMO_ORDERS', 'orders.ndjson'), { eventsPerSecond: 1000 }),
  })
  orders
    .where({ status: 'paid' })
    .keyBy('country')
    .window(tumbling('1m'), { lateness: '1m', emit: 'update' })
    .aggregate('revenue', { orders: count(), cents: sum('cents') })
    .to(sqlite({ path: database, table: 'revenue', key: ['country', 'window_start'] }))

  const host = p.stream('host', {
    schema: HostSample,
    key: 'host',
    time: 'at',
    bound: '0s',
    partitions: 1,
    from: hostMetrics({ every: '1s' }),
  })
  host
    .window(tumbling('5s'), { lateness: '0s' })
    .aggregate('cpu', { cpu: avg('cpu') })
    .filter((window) => (window.cpu ?? 0) > Number(env('DEMO_CPU_ALERT', '0.1')))
    .to(
      webhook({
        url: env('DEMO_WEBHOOK', 'http://127.0.0.1:7172/alerts'),
        secret: env('DEMO_WEBHOOK_SECRET', 'demo'),
        allowPrivate: true,
      }),
    )
})

/**
 * Events per second and core through where → enrich → keyBy → repartition → window, with JSON.parse, over a log in memory:
 * what the operators cost, without disk and without threads. `node bench/process.ts [events]`
 */
import { count, avg, pipeline, tumbling } from '../src/index.ts'
import { StageWorld } from '../tests/support/stage-world.ts'

const events = Number(process.argv[2] ?? 1_000_000)
const block = 5_000
const partitions = 4

const Event = {
  type: 'object',
  properties: {
    event_id: { type: 'string' },
    event_type: { type: 'string' },
    timestamp: { type: 'number' },
    user_id: { type: 'string' },
    properties: {
      type: 'object',
      properties: { page: { type: 'string' }, duration: { type: 'number' } },
      required: ['page', 'duration'],
    },
  },
  required: ['event_id', 'event_type', 'timestamp', 'user_id', 'properties'],
} as const
const User = {
  type: 'object',
  properties: { user_id: { type: 'string' }, plan: { type: 'string' } },
  required: ['user_id', 'plan'],
} as const

const definition = pipeline('bench', { partitions }, (p) => {
  const stream = p.stream('events', {
    schema: Event,
    key: 'user_id',
    time: 'timestamp',
    future: '9000d',
  })
  const users = p.table('users', { schema: User, key: 'user_id' })
  stream
    .where({ event_type: ['page_view', 'click'] })
    .filter((e) => e.properties.duration > 0)
    .enrich(users, 'user_id', (_, user) => ({ plan: user?.plan ?? 'free' }))
    .keyBy('properties.page')
    .window(tumbling('10s'))
    .aggregate('pages', { views: count(), seconds: avg('properties.duration') })
    .to(p.topic('results'))
})

async function main(): Promise<void> {
  const world = new StageWorld(definition)
  const base = world.now
  const users = Array.from({ length: 10_000 }, (_, i) => `user_${i}`)
  await world.produce(
    'users',
    users.map((user_id, i) => ({
      partition: i % partitions,
      timestamp: base,
      key: user_id,
      value: { user_id, plan: i % 3 === 0 ? 'pro' : 'free' },
    })),
  )
  const types = ['page_view', 'click', 'page_view', 'scroll']
  for (let done = 0; done < events; done += block) {
    const records = Array.from({ length: block }, (_, i) => {
      const n = done + i
      const user = n % users.length
      const timestamp = base + Math.floor(n / 20)
      const value = {
        event_id: `evt_${n}`,
        event_type: types[n % 4],
        timestamp,
        user_id: users[user],
        properties: { page: `/page/${(n * 7) % 100}`, duration: n % 60 },
      }
      return { partition: user % partitions, timestamp, key: users[user]!, value }
    })
    await world.produce('events', records)
  }
  // CPU time of this process: other work on the machine does not count.
  const begin = process.cpuUsage()
  await world.drain()
  const { user, system } = process.cpuUsage(begin)
  const seconds = (user + system) / 1e6
  const results = (await world.read('results')).length
  console.log(
    `${events} events, ${results} window rows, ${seconds.toFixed(2)} s of CPU: ${Math.round(events / seconds).toLocaleString('en')} events/s`,
  )
}

await main()

/** The Yahoo streaming benchmark: views, joined with their campaign, counted per campaign and ten seconds. */
import { count, pipeline, tumbling } from 'millrace'

const Event = {
  type: 'object',
  properties: {
    user_id: { type: 'string' },
    page_id: { type: 'string' },
    ad_id: { type: 'string' },
    ad_type: { type: 'string' },
    event_type: { type: 'string' },
    event_time: { type: 'number' },
    amount: { type: 'number' },
    ip_address: { type: 'string' },
  },
  required: ['user_id', 'page_id', 'ad_id', 'ad_type', 'event_type', 'event_time', 'ip_address'],
} as const
const Ad = {
  type: 'object',
  properties: { ad_id: { type: 'string' }, campaign_id: { type: 'string' } },
  required: ['ad_id', 'campaign_id'],
} as const

const partitions = Number(process.env['BENCH_PARTITIONS'] ?? 2)

export default pipeline('ysb', { partitions }, (p) => {
  const ads = p.table('ads', { schema: Ad, key: 'ad_id' })
  p.stream('events', { schema: Event, key: 'ad_id', time: 'event_time' })
    .where({ event_type: 'view' })
    .enrich(ads, 'ad_id', { campaign_id: 'campaign_id' }, { join: 'inner' })
    .keyBy('campaign_id')
    .window(tumbling('10s'))
    .aggregate('campaigns', { views: count() })
    .to(p.topic('results'))
})

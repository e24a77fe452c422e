/** What recovery.ts kills: a count for each of many keys, and every count that changed in a topic, so that it can be checked. */
import { count, pipeline, tumbling } from 'millrace'
import { http } from 'millrace/sources'
import { Type } from 'typebox'

const Event = Type.Object({ key: Type.String(), at: Type.Integer(), filler: Type.String() })

export default pipeline('recovery', (p) => {
  p.stream('events', { schema: Event, key: 'key', time: 'at', from: http({ path: '/events' }) })
    .keyBy('key')
    .window(tumbling('24h'), { lateness: '1h', emit: 'update' })
    .aggregate('counts', { seen: count() })
    .to(p.topic('counts'))
})

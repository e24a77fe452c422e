/** What recovery.ts kills: large events, and a count for each of many keys. */
import { count, pipeline, tumbling } from 'millrace'
import { memory } from 'millrace/sinks'
import { http } from 'millrace/sources'
import { Type } from 'typebox'

const Event = Type.Object({ key: Type.String(), at: Type.Integer(), filler: Type.String() })

export default pipeline('recovery', (p) => {
  p.stream('events', { schema: Event, key: 'key', time: 'at', from: http({ path: '/events' }) })
    .keyBy('key')
    .window(tumbling('24h'), { lateness: '1h' })
    .aggregate('counts', { seen: count() })
    .to(memory())
})

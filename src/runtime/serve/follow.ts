/** A topic to one WebSocket client, at the client's own speed: it waits in the log, not in memory. */
import type { Env } from '../../core/env/env.ts'
import { MillraceError } from '../../errors.ts'
import { limits } from '../../limits.ts'
import type { TopicCursor } from './cursor.ts'
import { closeCodes } from './socket.ts'
import type { Client } from './socket.ts'

/**
 * Messages, each JSON: `{"type":"hello","topic","resume"}` first; then `{"type":"records","resume","lag","records":[…]}`,
 * where `resume` is the `from` that goes on behind these records and `lag` how many more there are; and
 * `{"type":"gone","partition","from","earliest"}` where retention was faster than the client.
 */
export async function follow(
  env: Env,
  client: Client,
  cursor: TopicCursor,
  topic: string,
): Promise<void> {
  const { ended } = client
  client.send(JSON.stringify({ type: 'hello', topic, resume: cursor.resume }))
  try {
    while (await client.drained(cursor.resume)) {
      const piece = cursor.next(limits.followerBatchBytes)
      if (piece.kind === 'records') {
        const head = JSON.stringify({ type: 'records', resume: cursor.resume, lag: cursor.lag })
        client.send(`${head.slice(0, -1)},"records":[${piece.records.join(',')}]}`)
        await env.timers.yield()
      } else if (piece.kind === 'gone') {
        const { partition, from, earliest } = piece
        client.send(JSON.stringify({ type: 'gone', partition, from, earliest }))
      } else {
        await cursor.wait(ended)
      }
    }
  } catch (error) {
    const text = error instanceof MillraceError ? error.message : 'The topic cannot be read.'
    client.close(closeCodes.internal, text)
  } finally {
    cursor.close()
  }
}

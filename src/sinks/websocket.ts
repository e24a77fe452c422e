import { MillraceError } from '../errors.ts'
import type { Sink } from './sink.ts'

export interface WebSocketOptions {
  /** Path that clients connect to, e.g. `/live/pages`. */
  readonly path: string
}

/**
 * Lets WebSocket clients follow the rows at a path of the engine's server. Nothing is delivered to anybody by a task: the
 * rows are in a topic, and each client reads it at its own speed from the offset it asks for, so it can resume without loss
 * as long as retention keeps the rows. A client that is too slow is told so and disconnected.
 *
 * Throws MR5009 when the path is not one, or is the engine's own.
 */
export function websocket(options: WebSocketOptions): Sink {
  const { path } = options
  if (typeof path !== 'string' || !/^(\/[A-Za-z0-9._~-]+)+$/.test(path)) {
    throw new MillraceError(
      'MR5009',
      `The path of the websocket sink is ${JSON.stringify(path)}; it must be like /live/pages.`,
    )
  }
  if (path === '/live' || /^\/topics\/[^/]+(\/records)?$/.test(path)) {
    throw new MillraceError(
      'MR5009',
      `The path ${path} of the websocket sink belongs to the engine.`,
    )
  }
  return {
    kind: 'websocket',
    target: path,
    guarantee: 'at-least-once',
    describe: `websocket ${path}, resumed by offset`,
    serve: { path },
  }
}

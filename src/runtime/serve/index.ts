/** Topics and the live page for others: over HTTP and WebSocket, read-only. */
import type { FastifyInstance } from 'fastify'
import type { Env } from '../../core/env/env.ts'
import type { Log } from '../../log/log.ts'
import { Followers } from './followers.ts'
import { LiveHub } from './live.ts'
import type { LiveSnapshot } from './live.ts'
import { pageRoutes } from './page.ts'
import { recordRoutes } from './records.ts'
import { serveUpgrades } from './upgrade.ts'

export type { LiveMessage, LiveSnapshot } from './live.ts'
export { isWebSocket } from './upgrade.ts'

export interface ServeOptions {
  readonly env: Env
  readonly log: Log
  /** Called once a second while somebody looks at the page. */
  readonly snapshot: () => Promise<LiveSnapshot>
  /** Topics whose latest rows the page shows. */
  readonly outputs: readonly string[]
  readonly deadLetters: readonly string[]
  /** Paths of websocket sinks, each with its topic. */
  readonly paths: readonly { readonly path: string; readonly topic: string }[]
  /** The address the server listens on. */
  readonly host: string
  /** Origins of other sites whose pages may connect by WebSocket. */
  readonly origins: readonly string[]
}

/** Adds the routes and WebSocket endpoints to a fastify instance; whoever follows is sent away when it closes. */
export function serveRoutes(app: FastifyInstance, options: ServeOptions): void {
  const { env, log, host, paths } = options
  const followers = new Followers()
  const live = new LiveHub(options)
  pageRoutes(app)
  recordRoutes(app, { env, log, followers })
  serveUpgrades(app.server, {
    env,
    log,
    followers,
    live,
    paths,
    host,
    origins: options.origins,
  })
  app.addHook('preClose', (done) => {
    followers.close()
    done()
  })
}

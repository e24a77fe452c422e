/** Edge: the live page, three static files beside this one. */
import { readFileSync } from 'node:fs'
import type { FastifyInstance } from 'fastify'

const files = [
  { path: '/', file: 'index.html', type: 'text/html; charset=utf-8' },
  { path: '/live.js', file: 'live.js', type: 'text/javascript; charset=utf-8' },
  { path: '/live.css', file: 'live.css', type: 'text/css; charset=utf-8' },
] as const

const headers = {
  // Nothing inline and nothing from elsewhere: text of events can do no harm even if it got into the page as markup.
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cache-control': 'no-cache',
}

/** Serves the page at `/`. */
export function pageRoutes(app: FastifyInstance): void {
  for (const { path, file, type } of files) {
    const body = readFileSync(new URL(`./page/${file}`, import.meta.url))
    app.get(path, (_request, reply) => reply.headers(headers).type(type).send(body))
  }
}

/** The HTTP front for events; the runtime adds it to the server it runs. */
export { guardHost } from './guard-host.ts'
export { ingestRoutes, wrongMethod } from './ingest-routes.ts'
export type { IngestRoutesOptions } from './ingest-routes.ts'
export { answerClientError, boundConnections } from './server.ts'

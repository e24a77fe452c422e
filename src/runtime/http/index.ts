/** The HTTP front for events; the runtime adds it to the server it runs. */
export { newHttpApp } from './app.ts'
export type { HttpAppOptions } from './app.ts'
export { ingestRoutes } from './ingest-routes.ts'
export type { IngestGateway, IngestRoutesOptions } from './ingest-routes.ts'

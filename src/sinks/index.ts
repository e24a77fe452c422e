/** Sinks that need nothing but this package: `import { sqlite } from 'millrace/sinks'`. */
export { file } from './file/index.ts'
export type { FileOptions } from './file/index.ts'
export { call, memory } from './memory.ts'
export type { CallOptions, MemoryOptions, MemorySink } from './memory.ts'
export { sqlite } from './sqlite/index.ts'
export type { SqliteOptions } from './sqlite/index.ts'
export { webhook } from './webhook/index.ts'
export type { WebhookOptions } from './webhook/index.ts'
export { websocket } from './websocket.ts'
export type { WebSocketOptions } from './websocket.ts'
export type { ColumnType } from './sqlite/columns.ts'
export type {
  Guarantee,
  Hold,
  Rejected,
  Sink,
  SinkBatch,
  SinkContext,
  SinkRecord,
  SinkWriter,
  StoredPosition,
} from './sink.ts'

/** Millrace: stream processing for TypeScript, in the order of the data path. */
export type { Source, Start } from './sources/source.ts'
export type { Infer, SchemaInput } from './schema/infer.ts'
export { pipeline } from './pipeline/pipeline.ts'
export type { PipelineBuilder, PipelineOptions, Retention } from './pipeline/pipeline.ts'
export type { StreamOptions, TableOptions } from './pipeline/pipeline.ts'
export type { ShedOptions } from './pipeline/shed.ts'
export type { Mode, OnError, PipelineDefinition } from './pipeline/definition.ts'
export type {
  Aggregated,
  NameOption,
  Stream,
  Table,
  TopicTarget,
  Windowed,
  WindowOptions,
} from './pipeline/stream.ts'
export type { FunctionOptions } from './pipeline/functions.ts'
export { avg, count, max, min, sum, tumbling } from './pipeline/aggregates.ts'
export type { Aggregate, Tumbling } from './pipeline/aggregates.ts'
export type { Duration, Size } from './pipeline/units.ts'
export type { Plan } from './plan/plan.ts'
export type { Guarantee, Sink } from './sinks/sink.ts'
export { MillraceError } from './errors.ts'
export type { ErrorCode, ErrorKind } from './errors.ts'
export { start } from './runtime/start.ts'
export type {
  Engine,
  EngineOptions,
  EngineStatus,
  LogLevel,
  PipelineStatus,
  Produced,
  WorkerStatus,
} from './runtime/start.ts'

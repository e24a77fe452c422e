/**
 * @contract What a pipeline file builds: a graph of nodes, functions included. The planner turns it into a Plan (data);
 * the process folder turns plan and definition together into running operators. Node ids are positions in `nodes`, given in
 * the order of the calls, so that every thread that imports the same file builds the same graph.
 */
import type { Schema } from '../schema/schema.ts'
import type { Sink } from '../sinks/sink.ts'
import type { Source, Start } from '../sources/source.ts'
import type { Shed } from './shed.ts'

/** A dotted field path (`properties.page`) or a function of the row. */
export type Selector = { readonly path: string } | { readonly fn: (row: never) => unknown }

export type Mode = 'exactly-once' | 'at-least-once'
/** What happens to a record whose user function throws, after the retries. */
export type OnError = 'deadLetter' | 'skip' | 'fail'

/** Condition of `where`: equality per path; a path's value may be one of several, or a comparison. */
export type Condition =
  | {
      readonly path: string
      readonly op: 'in'
      readonly values: readonly (string | number | boolean | null)[]
    }
  | {
      readonly path: string
      readonly op: 'gt' | 'gte' | 'lt' | 'lte' | 'ne'
      readonly value: string | number | boolean | null
    }

export interface AggregateField {
  readonly kind: 'count' | 'sum' | 'avg' | 'min' | 'max'
  /** Absent for count. */
  readonly of?: Selector
}

export interface WindowSpec {
  readonly kind: 'tumbling'
  readonly sizeMs: number
  readonly latenessMs: number
  /** `close`: once when the watermark passes the end, again for late updates. `update`: at most once per key, window and commit. */
  readonly emit: 'close' | 'update'
}

export interface StreamNode {
  readonly kind: 'stream'
  readonly id: number
  readonly topic: string
  readonly schema: Schema
  /** Decides the partition. */
  readonly key: { readonly path: string } | undefined
  /** Path of the event time (ISO 8601 string or epoch milliseconds); undefined = time of arrival. */
  readonly time: string | undefined
  readonly source: Source | undefined
  readonly partitions: number
  readonly start: Start
  /** Out-of-orderness bound: watermark = max timestamp − this. */
  readonly boundMs: number
  readonly idleMs: number
  /** Timestamps later than append time + this go to dead letters. */
  readonly futureMs: number
  readonly retentionMs: number | undefined
  readonly retentionBytes: number | undefined
  readonly shed: Shed | undefined
}
export type TableNode = Omit<StreamNode, 'kind' | 'shed'> & { readonly kind: 'table' }

/** An operator takes rows of `input`; `name` is how plan, metrics and dead letters call it. */
interface Applied<Kind extends string> {
  readonly kind: Kind
  readonly id: number
  readonly input: number
  readonly name: string
}

interface Calling {
  readonly onError: OnError
  readonly retries: number
}

export interface EnrichNode extends Applied<'enrich'>, Calling {
  readonly table: number
  readonly key: Selector
  /** Makes the fields to add, also where `fields` says which. */
  readonly fn: (row: never, found: never) => unknown
  /** Paths in the table's row by the names of the fields they become; absent where only the function knows. */
  readonly fields?: Readonly<Record<string, string>>
  /** Rows that find nothing leave the stream. */
  readonly inner: boolean
}

export type OperatorNode =
  | (Applied<'where'> & { readonly conditions: readonly Condition[] })
  | (Applied<'filter' | 'map' | 'flatMap' | 'derive'> &
      Calling & { readonly fn: (row: never) => unknown })
  | (Applied<'select'> & { readonly paths: readonly string[] })
  | (Applied<'keyBy'> & { readonly key: Selector; readonly keyName: string })
  | EnrichNode
  | (Applied<'aggregate'> & {
      readonly window: WindowSpec
      readonly keyName: string
      readonly fields: Readonly<Record<string, AggregateField>>
    })
  /** Rows that came too late for `input`, an aggregate: as they were at its input. */
  | Applied<'late'>

export type OutputNode =
  | {
      readonly kind: 'toSink'
      readonly id: number
      readonly input: number
      readonly name: string
      readonly sink: Sink
    }
  | {
      readonly kind: 'toTopic'
      readonly id: number
      readonly input: number
      readonly name: string
      readonly topic: string
      readonly partitions: number
    }

export type Node = StreamNode | TableNode | OperatorNode | OutputNode

export interface PipelineDefinition {
  readonly millrace: 'pipeline'
  readonly name: string
  readonly mode: Mode
  readonly nodes: readonly Node[]
  /** Bytes of state per task, past which the task stops. */
  readonly stateBytes: number
}

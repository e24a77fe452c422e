/**
 * @contract Plan: a pipeline as data. Stages are cut where records must change partition; every stage, store, topic and
 * sink is named and stable, so that names are the identity of what is stored. All threads must agree on `hash`.
 *
 * Names: stage `<pipeline>/<stage>`, task `<pipeline>/<stage>/<partition>`; a stage's position group is its id.
 * Topics: `<pipeline>.<stage>.repartition`, `<pipeline>.<node>` (rows for sinks), `<pipeline>.<stage or sink>.replay`,
 * `<pipeline>.dead-letters`, `<stage id, / as .>.<store>.changelog`; ingest stages are `ingest/<topic>`.
 */
import type { TopicKind } from '../log/log.ts'
import type { Mode } from '../pipeline/definition.ts'
import type { Shed } from '../pipeline/shed.ts'
import type { Guarantee, Hold } from '../sinks/sink.ts'
import type { Replay, Start } from '../sources/source.ts'

export interface PlannedTopic {
  readonly name: string
  readonly kind: TopicKind
  readonly partitions: number
  readonly role:
    | 'stream'
    | 'table'
    | 'repartition'
    | 'output'
    | 'replay'
    | 'dead-letters'
    | 'changelog'
  readonly retentionMs?: number
  readonly retentionBytes?: number
  readonly labels?: Readonly<Record<string, unknown>>
}

/** How events enter a user topic: pushed bodies (HTTP, produce) and, where the stream has one, a pull source. */
export interface IngestPlan {
  /** `ingest/<topic>` for pushes, `ingest/<topic>/<source kind>` for a pull source. */
  readonly id: string
  readonly topic: string
  /** The stream or table node that holds schema, key and time. */
  readonly node: number
  readonly how: 'push' | 'pull'
  /** Push: buckets by producer id. Pull: the source's partitions. */
  readonly partitions: number
  /** HTTP paths besides `/topics/<topic>`. */
  readonly path?: string
  readonly onInvalid: 'refuse' | 'deadLetter'
  readonly describe: string
  readonly replay: Replay
  /** Changelog topic of the producer sessions; pushes only. */
  readonly sessions?: string
}

export interface StageInput {
  readonly topic: string
  readonly role: 'stream' | 'table' | 'repartition' | 'replay'
  /** The node whose rows this topic carries: the stream or table node itself, or the last node of the stage before. */
  readonly node: number
  /** Repartition: number of upstream tasks, whose watermarks are merged. Others: 0. */
  readonly upstreams: number
  readonly start: Start
  /** Streams alone: what is left out of a partition that its task is far behind in. */
  readonly shed?: Shed
}

export interface StageOutput {
  /** Rows of this node are written. */
  readonly node: number
  readonly topic: string
  readonly role: 'repartition' | 'output' | 'topic'
  readonly partitions: number
  /** Repartition: the keyBy or enrich node whose `key`, applied to the rows, gives the records' keys. Others: the rows' own. */
  readonly keyedBy?: number
  /** Repartition: the aggregate that is all that reads these rows. What it adds up is added up before, once per commit. */
  readonly combinedFor?: number
}

export interface StorePlan {
  readonly name: string
  readonly node: number
  readonly kind: 'window' | 'table' | 'time'
  readonly changelog: string
}

export interface StagePlan {
  readonly id: string
  readonly partitions: number
  readonly inputs: readonly StageInput[]
  /** Operator nodes this stage runs, each after its input. */
  readonly nodes: readonly number[]
  readonly outputs: readonly StageOutput[]
  readonly stores: readonly StorePlan[]
}

export interface DeliverPlan {
  /** `<pipeline>/<sink name>`. */
  readonly id: string
  readonly node: number
  readonly topic: string
  readonly partitions: number
  readonly kind: string
  readonly describe: string
  readonly guarantee: Guarantee
  readonly hold: Hold
  /** Topic of dead letters on their way back to this sink, one partition; absent where no task runs. */
  readonly replay?: string
  /** Served by the main thread from the topic at this path; no task runs. */
  readonly servePath?: string
}

export interface Plan {
  readonly pipeline: string
  readonly mode: Mode
  readonly topics: readonly PlannedTopic[]
  readonly ingests: readonly IngestPlan[]
  readonly stages: readonly StagePlan[]
  readonly delivers: readonly DeliverPlan[]
  readonly deadLetters: string
  /** One line per node for people: operator, its arguments, and whether it runs on field paths or a function. */
  readonly nodes: readonly {
    readonly id: number
    readonly kind: string
    readonly name: string
    readonly input?: number
    readonly describe: string
  }[]
  /** 16 hex digits over everything above and the source text of the functions. */
  readonly hash: string
}

/** `pipeline(name, define)`: what a pipeline file exports. */
import { MillraceError } from '../errors.ts'
import { limits } from '../limits.ts'
import type { Infer, SchemaInput, Unchanged } from '../schema/infer.ts'
import { schemaOf } from '../schema/of.ts'
import type { Source, Start } from '../sources/source.ts'
import type { Mode, PipelineDefinition, StreamNode } from './definition.ts'
import { kindOf } from './functions.ts'
import { checkedOptions, checkedPartitions, checkedTopic, Graph } from './graph.ts'
import type { KeyPath, LastName, PathValue, Rows, TimePath } from './paths.ts'
import { fieldAt } from './shape.ts'
import type { ShedOptions } from './shed.ts'
import { checkedShed } from './shed.ts'
import type { Table, TopicTarget } from './stream.ts'
import { Stream } from './stream.ts'
import type { Duration, Size } from './units.ts'
import { bytes, milliseconds, positiveMilliseconds } from './units.ts'

export interface PipelineOptions {
  /** `exactly-once` (default), or `at-least-once`. */
  readonly mode?: Mode
  /** Partitions of its topics, where they do not say. A power of two up to 1,024; default 4. */
  readonly partitions?: number
  /** State of one task, past which it stops. Default `'512MB'`. */
  readonly state?: Size
}

/** How long a topic keeps its events: by age, by size, or `forever`. Default for streams: 7 days. For tables: forever. */
export type Retention = 'forever' | { readonly time?: Duration; readonly size?: Size }

export interface StreamOptions<S, K extends string> {
  /** What events look like: TypeBox, JSON Schema, zod or another Standard Schema. Others are refused when they come in. */
  readonly schema: S & Unchanged<S>
  /** The field whose value decides the partition. Order is kept per key. */
  readonly key?: K
  /** The field with the time of the event. Default: the time of arrival. */
  readonly time?: TimePath<Infer<S>>
  /** Where events come from, besides POST /topics/<name>. */
  readonly from?: Source
  /** A power of two up to 1,024. Default: the pipeline's. */
  readonly partitions?: number
  /** Where the pipeline begins to read the topic at its first start. Default `earliest`. */
  readonly start?: Start
  /** How far events may be out of order. Default `'5s'`. */
  readonly bound?: Duration
  /** After this long without events a partition no longer holds up the others. Default `'10s'`. */
  readonly idle?: Duration
  /** How far ahead of the clock the time of an event may be. Default `'10m'`. */
  readonly future?: Duration
  readonly retention?: Retention
  /** What this pipeline leaves out, and counts, of a partition that it is too far behind in. Default: nothing. */
  readonly shed?: ShedOptions<Infer<S>>
}

export interface TableOptions<S, K extends string> extends Omit<
  StreamOptions<S, K>,
  'key' | 'shed'
> {
  /** The field that identifies a row; a newer row of the same key replaces it. */
  readonly key: K
}

/** What the function given to `pipeline` builds with. */
export interface PipelineBuilder {
  /** A topic of events, and the way in for them. */
  stream<const S extends SchemaInput, K extends KeyPath<Infer<S>> & string = never>(
    name: string,
    options: StreamOptions<S, K>,
  ): Stream<Rows<Infer<S>>, LastName<K>, PathValue<Infer<S>, K>>
  /** A topic whose latest row per key is kept at hand, for `enrich`. */
  table<const S extends SchemaInput, K extends KeyPath<Infer<S>> & string>(
    name: string,
    options: TableOptions<S, K>,
  ): Table<Rows<Infer<S>>>
  /** A topic to write to with `to`. */
  topic(name: string, options?: { readonly partitions?: number }): TopicTarget
}

const day = 24 * 60 * 60 * 1000
const topicOptions = [
  'schema',
  'key',
  'time',
  'from',
  'partitions',
  'start',
  'bound',
  'idle',
  'future',
  'retention',
]

/**
 * Defines a pipeline; export it as the module's default. `define` runs once, at once, and must do the same each time: every
 * thread builds its own copy from the file. Throws MillraceError MR30xx.
 */
export function pipeline(name: string, define: (p: PipelineBuilder) => void): PipelineDefinition
export function pipeline(
  name: string,
  options: PipelineOptions,
  define: (p: PipelineBuilder) => void,
): PipelineDefinition
export function pipeline(
  name: string,
  optionsOrDefine: PipelineOptions | ((p: PipelineBuilder) => void),
  maybeDefine?: (p: PipelineBuilder) => void,
): PipelineDefinition {
  const define = typeof optionsOrDefine === 'function' ? optionsOrDefine : maybeDefine
  const options = typeof optionsOrDefine === 'function' ? {} : optionsOrDefine
  if (typeof define !== 'function') {
    throw new MillraceError(
      'MR3016',
      `pipeline(${JSON.stringify(name)}) takes a function and got ${kindOf(define)}.`,
    )
  }
  checkedOptions('pipeline()', options, ['mode', 'partitions', 'state'])
  const { mode = 'exactly-once', partitions = 4, state = limits.stateBytes } = options
  if (mode !== 'exactly-once' && mode !== 'at-least-once') {
    throw new MillraceError(
      'MR3014',
      `mode is ${kindOf(mode)}; it can be exactly-once or at-least-once.`,
    )
  }
  const graph = new Graph(checkedPipelineName(name), checkedPartitions('pipeline()', partitions))
  const stateBytes = bytes('state of pipeline()', state)
  const result: unknown = define(builderOf(graph))
  if (typeof result === 'object' && result !== null && 'then' in result) {
    throw new MillraceError('MR3015', `The function that defines pipeline ${name} is async.`)
  }
  graph.close()
  return { millrace: 'pipeline', name, mode, nodes: graph.nodes, stateBytes }
}

function builderOf(graph: Graph): PipelineBuilder {
  return {
    stream(name, options) {
      const inlet = topicNode(graph, 'stream', name, options)
      const shape = inlet.schema.root
      const shed =
        options.shed === undefined ? undefined : checkedShed(`stream ${name}`, options.shed, shape)
      const node = { ...inlet, shed }
      const path = options.key
      const keyName = path === undefined ? undefined : path.slice(path.lastIndexOf('.') + 1)
      const keyShape = path === undefined ? undefined : fieldAt(shape, path, 'key')
      return new Stream({ graph, node: graph.add(node), origin: name, shape, keyName, keyShape })
    },
    table(name, options) {
      if ('shed' in options) throw new MillraceError('MR3022', `Table ${name} has the option shed.`)
      const node = topicNode(graph, 'table', name, options)
      if (node.key === undefined) throw new MillraceError('MR3017', `Table ${name} has no key.`)
      graph.add(node)
      return { millrace: 'table', name }
    },
    topic(name, options = {}) {
      checkedOptions(`topic ${name}`, options, ['partitions'])
      const partitions = checkedPartitions(`topic ${name}`, options.partitions ?? graph.partitions)
      return { millrace: 'topic', name: checkedTopic(name), partitions }
    },
  }
}

type TopicNode<Kind> = Omit<StreamNode, 'kind' | 'id' | 'shed'> & { readonly kind: Kind }

function topicNode<Kind extends 'stream' | 'table'>(
  graph: Graph,
  kind: Kind,
  name: string,
  options: Omit<StreamOptions<SchemaInput, string>, 'shed'>,
): TopicNode<Kind> {
  const what = `${kind} ${name}`
  const topic = graph.taken(checkedTopic(name), `a ${kind}`)
  checkedOptions(what, options, kind === 'stream' ? [...topicOptions, 'shed'] : topicOptions)
  const schema = schemaOf(options.schema)
  const { key, time, partitions = graph.partitions, start = 'earliest' } = options
  if (key !== undefined)
    checkField(`The key of ${what}`, key, schema.root, ['string', 'number', 'integer', 'boolean'])
  if (time !== undefined)
    checkField(`The time of ${what}`, time, schema.root, ['string', 'number', 'integer'])
  return {
    kind,
    topic,
    schema,
    key: key === undefined ? undefined : { path: key },
    time,
    source: options.from,
    partitions: checkedPartitions(what, partitions),
    start: checkedStart(what, start),
    boundMs: milliseconds(`bound of ${what}`, options.bound ?? '5s'),
    idleMs: positiveMilliseconds(`idle of ${what}`, options.idle ?? '10s'),
    futureMs: milliseconds(`future of ${what}`, options.future ?? '10m'),
    ...retentionOf(what, options.retention ?? (kind === 'table' ? 'forever' : { time: 7 * day })),
  }
}

function checkField(
  where: string,
  path: string,
  root: StreamNode['schema']['root'],
  types: readonly string[],
): void {
  if (typeof path !== 'string') {
    throw new MillraceError('MR3016', `${where} is a field path and got ${kindOf(path)}.`)
  }
  const field = fieldAt(root, path, where)
  if (field === undefined || field.type === 'unknown' || types.includes(field.type)) return
  throw new MillraceError(
    'MR3012',
    `${where} names the field ${path}, which is of type ${field.type}.`,
  )
}

function checkedStart(what: string, start: Start): Start {
  if (start === 'earliest' || start === 'latest') return start
  if (typeof start === 'object' && start !== null && Number.isFinite(start.time)) return start
  throw new MillraceError(
    'MR3014',
    `start of ${what} is ${kindOf(start)}; it can be earliest, latest or { time }.`,
  )
}

function retentionOf(
  what: string,
  retention: Retention,
): Pick<StreamNode, 'retentionMs' | 'retentionBytes'> {
  if (retention === 'forever') return { retentionMs: undefined, retentionBytes: undefined }
  const { time, size } = retention
  return {
    retentionMs:
      time === undefined ? undefined : positiveMilliseconds(`retention of ${what}`, time),
    retentionBytes: size === undefined ? undefined : bytes(`retention of ${what}`, size),
  }
}

/** A pipeline's name begins its topics' names and is part of paths. */
function checkedPipelineName(name: string): string {
  const good = typeof name === 'string' && /^[A-Za-z0-9_][A-Za-z0-9_-]*$/.test(name)
  if (good && name.length <= limits.nameBytes && name !== 'ingest') return name
  throw new MillraceError('MR3010', `A pipeline cannot be called ${JSON.stringify(name)}.`)
}

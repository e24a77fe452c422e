/** The operators: every one takes a stream and gives a stream, typed by what its rows hold. */
import { MillraceError } from '../errors.ts'
import { limits } from '../limits.ts'
import type { Sink } from '../sinks/sink.ts'
import type { Aggregate, Tumbling } from './aggregates.ts'
import { conditionsOf } from './conditions.ts'
import type { AggregateField, OperatorNode, Selector, TableNode } from './definition.ts'
import type { FunctionOptions } from './functions.ts'
import { checkedFunction, failurePolicy, kindOf } from './functions.ts'
import { checkedOptions, type Graph } from './graph.ts'
import { joinedFields } from './join.ts'
import type { Joined, JoinOptions } from './join.ts'
import type {
  Flat,
  Key,
  KeyPath,
  KnownPaths,
  LastName,
  LookupPath,
  Merged,
  Narrowed,
} from './paths.ts'
import type { Path, PathValue, Rows, Selected, Where } from './paths.ts'
import type { Shape } from './shape.ts'
import { aggregateShape, fieldAt, selectedShape } from './shape.ts'
import type { Duration } from './units.ts'
import { milliseconds } from './units.ts'

/** Name of an operator in plan, metrics and dead letters; and of the topic its rows are written to. */
export interface NameOption {
  readonly name?: string
}

export interface WindowOptions {
  /** How long after the watermark passed its end a window still takes rows. Default `'0s'`. */
  readonly lateness?: Duration
  /** `close` (default): a row when the window closes. `update`: also while it fills, at most once per key and commit. */
  readonly emit?: 'close' | 'update'
}

/** A topic that `to` writes to. */
export interface TopicTarget {
  readonly millrace: 'topic'
  readonly name: string
  readonly partitions: number
}

/** A table: the latest row per key, for `enrich`. */
export interface Table<U extends object> {
  readonly millrace: 'table'
  readonly name: string
  /** Carries U for inference only. */
  readonly row?: U
}

/** What a stream knows about itself; the graph holds the rest. */
export interface Place {
  readonly graph: Graph
  readonly node: number
  /** Where default names of operators begin: the topic or the aggregate before them. */
  readonly origin: string
  readonly shape: Shape
  readonly keyName: string | undefined
  readonly keyShape: Shape
}

/** What a function may return as a row; else a text for the compiler to print. */
type RowOnly<R> =
  R extends PromiseLike<unknown>
    ? 'A function that returns a promise cannot run here'
    : R extends readonly unknown[]
      ? 'Return one object; flatMap() takes several'
      : R extends (...args: never[]) => unknown
        ? 'Return an object'
        : unknown

/** Sinks whose key fields are fields of the row. */
type SinkOf<S, T> = S extends { readonly keyFields?: readonly (infer K)[] }
  ? string extends K
    ? unknown
    : [K] extends [keyof T]
      ? unknown
      : { readonly 'the key of the sink has a field that the rows have not': Exclude<K, keyof T> }
  : unknown

type Results<F> = { -readonly [N in keyof F]: F[N] extends Aggregate<never, infer V> ? V : never }
type AggregateRow<KeyName extends string, K, F> = Flat<
  { [N in KeyName]: K } & { window_start: string; window_end: string } & Results<F>
>
type NameOfKey<By> = By extends string ? LastName<By> : 'key'
type KeyOf<T, By> = By extends string
  ? PathValue<T, By>
  : By extends (row: never) => infer V
    ? V
    : never
type NeedsKey<KeyName extends string> = [KeyName] extends [never]
  ? 'Windows are per key: call keyBy() first, or give the stream a key'
  : unknown

/** Rows of type T on their way. `KeyName` and `K` are the field name and the type of their key. */
export class Stream<T extends object, KeyName extends string, K> {
  readonly #place: Place

  constructor(place: Place) {
    this.#place = place
  }

  /** Keeps rows whose fields meet all conditions: a value, one of several, or `{ gt, gte, lt, lte, ne }`. */
  where<const W extends Where<T>>(
    conditions: W & KnownPaths<T, W>,
    options: NameOption = {},
  ): Stream<Rows<Narrowed<T, W>>, KeyName, K> {
    const list = conditionsOf(conditions, this.#place.shape)
    const name = this.#name('where', options, ['name'])
    return this.#next({ kind: 'where', input: this.#place.node, name, conditions: list }, {})
  }

  /** Keeps rows for which the function is true. */
  filter(fn: (row: T) => boolean, options: FunctionOptions = {}): Stream<T, KeyName, K> {
    return this.#next(this.#withFunction('filter', fn, options), {})
  }

  /** Replaces each row by what the function returns, an object. */
  map<R extends object>(
    fn: (row: T) => R & RowOnly<R>,
    options: FunctionOptions = {},
  ): Stream<R, KeyName, K> {
    return this.#next(this.#withFunction('map', fn, options), { shape: undefined })
  }

  /** Replaces each row by the rows of the array that the function returns; an empty one drops it. */
  flatMap<R extends object>(
    fn: (row: T) => readonly R[],
    options: FunctionOptions = {},
  ): Stream<R, KeyName, K> {
    return this.#next(this.#withFunction('flatMap', fn, options), { shape: undefined })
  }

  /** Keeps these fields, at their places. */
  select<P extends Path<T>>(
    ...paths: readonly [P, ...P[]]
  ): Stream<Rows<Selected<T, P>>, KeyName, K> {
    if (paths.length === 0)
      throw new MillraceError('MR3016', 'select() takes at least one field path.')
    for (const path of paths) fieldAt(this.#place.shape, path, 'select()')
    const name = this.#name('select', {}, ['name'])
    const shape = selectedShape(this.#place.shape, paths)
    return this.#next({ kind: 'select', input: this.#place.node, name, paths }, { shape })
  }

  /** Adds the fields that the function returns; those the row has already are replaced. */
  derive<R extends object>(
    fn: (row: T) => R & RowOnly<R>,
    options: FunctionOptions = {},
  ): Stream<Rows<Merged<T, R>>, KeyName, K> {
    return this.#next(this.#withFunction('derive', fn, options), { shape: undefined })
  }

  /**
   * Gives rows the key that windows group by and that output topics are partitioned by. A row whose key is absent becomes a
   * dead letter; use a function to give it one. With a function the key's field is called `key` in aggregates.
   */
  keyBy<const By extends KeyPath<T> | ((row: T) => Key)>(
    key: By,
    options: NameOption = {},
  ): Stream<T, NameOfKey<By>, KeyOf<T, By>> {
    const selector = selectorOf('keyBy()', key)
    const keyed = this.#keyed('keyBy()', selector)
    const name = this.#name('keyBy', options, ['name'])
    const node = {
      kind: 'keyBy',
      input: this.#place.node,
      name,
      key: selector,
      keyName: keyed.keyName,
    } as const
    return this.#next(node, keyed)
  }

  /**
   * Looks up the table's row of the given key and adds fields of it: by name, the path in the table's row. Where the table
   * has none they are undefined; with `join: 'inner'` such rows leave the stream. Rows go on under that key, as after `keyBy`.
   */
  enrich<
    U extends object,
    const F extends Readonly<Record<string, Path<U>>>,
    const By extends LookupPath<T> | ((row: T) => Key | null | undefined),
    const J extends 'left' | 'inner' = 'left',
  >(
    table: Table<U>,
    key: By,
    fields: F,
    options?: JoinOptions<J>,
  ): Stream<Rows<Merged<T, Joined<U, F, J>>>, NameOfKey<By>, NonNullable<KeyOf<T, By>>>
  /**
   * The same with a function that returns the fields to add; `found` is undefined where the table has no row of that key.
   */
  enrich<
    U extends object,
    R extends object,
    const By extends LookupPath<T> | ((row: T) => Key | null | undefined),
  >(
    table: Table<U>,
    key: By,
    fn: (row: T, found: U | undefined) => R & RowOnly<R>,
    options?: FunctionOptions,
  ): Stream<Rows<Merged<T, R>>, NameOfKey<By>, NonNullable<KeyOf<T, By>>>
  enrich<R extends object, N extends string, V>(
    table: Table<object>,
    key: unknown,
    add: Readonly<Record<string, string>> | ((row: never, found: never) => unknown),
    options: FunctionOptions & JoinOptions<'left' | 'inner'> = {},
  ): Stream<R, N, V> {
    const source = this.#table(table)
    const selector = selectorOf('enrich()', key)
    const keyed = this.#keyed('enrich()', selector)
    const looksUp = { kind: 'enrich', table: source.id, key: selector } as const
    if (typeof add !== 'object' || add === null) {
      const node = { ...this.#withFunction('enrich', add, options), ...looksUp, inner: false }
      return this.#next(node, { ...keyed, shape: undefined })
    }
    const { shape, node: input } = this.#place
    const name = this.#name('enrich', options, ['name', 'join'])
    const joined = joinedFields(source, add, options.join ?? 'left', shape)
    return this.#next(
      { ...joined.node, ...looksUp, input, name },
      { ...keyed, shape: joined.shape },
    )
  }

  /** Groups rows by key and by their event time; `aggregate` says what becomes of a group. */
  window(
    window: Tumbling & NeedsKey<KeyName>,
    options: WindowOptions = {},
  ): Windowed<T, KeyName, K> {
    checkedOptions('window()', options, ['lateness', 'emit'])
    if (this.#place.keyName === undefined) {
      throw new MillraceError('MR3017', 'window() is used on rows without a key.')
    }
    const { lateness = 0, emit = 'close' } = options
    if (emit !== 'close' && emit !== 'update') {
      throw new MillraceError(
        'MR3014',
        `emit of window() is ${kindOf(emit)}; it can be close or update.`,
      )
    }
    const latenessMs = milliseconds('lateness of window()', lateness)
    return new Windowed(this.#place, { kind: 'tumbling', sizeMs: window.sizeMs, latenessMs, emit })
  }

  /** Writes rows to a sink, or to a topic (partitioned by their key). Several calls on one stream are fine. */
  to<S extends Sink | TopicTarget>(target: S & SinkOf<S, T>, options: NameOption = {}): void {
    const { graph, node, shape } = this.#place
    checkedOptions('to()', options, ['name'])
    if ('millrace' in target) {
      const name = graph.named(
        options.name ?? `to-${target.name.replaceAll('.', '-')}`,
        'an output',
      )
      graph.add({
        kind: 'toTopic',
        input: node,
        name,
        topic: target.name,
        partitions: target.partitions,
      })
      return
    }
    const sink: Sink = target
    for (const field of sink.keyFields ?? [])
      fieldAt(shape, field, `The key of sink ${sink.kind} ${sink.target}`)
    const name = graph.named(options.name ?? sinkName(sink), `a sink ${sink.describe}`)
    graph.add({ kind: 'toSink', input: node, name, sink })
  }

  #next<R extends object, N extends string, V>(
    node: OperatorNode extends infer O ? (O extends OperatorNode ? Omit<O, 'id'> : never) : never,
    change: Partial<Omit<Place, 'graph' | 'node'>>,
  ): Stream<R, N, V> {
    return new Stream({ ...this.#place, node: this.#place.graph.add(node), ...change })
  }

  #name(kind: string, options: NameOption, known: readonly string[]): string {
    const { graph, origin } = this.#place
    checkedOptions(`${kind}()`, options, known)
    return options.name === undefined
      ? graph.fresh(origin, kind)
      : graph.named(options.name, `an operator ${kind}`)
  }

  #withFunction<Kind extends string>(
    kind: Kind,
    fn: (...args: never[]) => unknown,
    options: FunctionOptions,
  ) {
    const checked = checkedFunction(`${kind}()`, fn)
    const policy = failurePolicy(`${kind}()`, options)
    const name = this.#name(kind, options, ['name', 'onError', 'retries'])
    return { kind, input: this.#place.node, name, fn: checked, ...policy }
  }

  #keyed(where: string, key: Selector): { keyName: string; keyShape: Shape } {
    if ('fn' in key) return { keyName: 'key', keyShape: undefined }
    const keyShape = fieldAt(this.#place.shape, key.path, where)
    return { keyName: key.path.slice(key.path.lastIndexOf('.') + 1), keyShape }
  }

  #table(table: Table<object>): TableNode {
    const { graph } = this.#place
    const node = graph.nodes.find(
      (one): one is TableNode => one.kind === 'table' && one.topic === table.name,
    )
    if (table.millrace === 'table' && node !== undefined) return node
    throw new MillraceError(
      'MR3018',
      `enrich() got ${table.name}, which is not a table of pipeline ${graph.pipeline}.`,
    )
  }
}

/** Rows grouped by key and window. */
export class Windowed<T extends object, KeyName extends string, K> {
  readonly #place: Place
  readonly #window: Extract<OperatorNode, { kind: 'aggregate' }>['window']

  constructor(place: Place, window: Extract<OperatorNode, { kind: 'aggregate' }>['window']) {
    this.#place = place
    this.#window = window
  }

  /**
   * One row per key and window: the key, `window_start` and `window_end` (ISO 8601), and these fields. The name is the
   * identity of the state: windows that are open go on under it when the pipeline changes.
   */
  aggregate<F extends Readonly<Record<string, Aggregate<T, unknown>>>>(
    name: string,
    fields: F,
  ): Aggregated<T, AggregateRow<KeyName, K, F>, KeyName, K> {
    const { graph, node, shape, keyShape } = this.#place
    const keyName = this.#place.keyName ?? 'key'
    graph.named(name, 'an aggregate')
    if (keyName === 'window_start' || keyName === 'window_end') {
      const what = `The key of aggregate ${name} is called ${keyName}, as a field that its rows have already`
      throw new MillraceError('MR3011', `${what}; keyBy() with a function calls it "key".`)
    }
    const planned: Record<string, AggregateField> = {}
    for (const [field, aggregate] of Object.entries(fields)) {
      if (field === keyName || field === 'window_start' || field === 'window_end') {
        throw new MillraceError(
          'MR3011',
          `Aggregate ${name} has a field ${field}, which its rows have already.`,
        )
      }
      const { of } = aggregate.field
      if (of !== undefined && 'path' in of) checkNumeric(name, of.path, shape)
      planned[field] = aggregate.field
    }
    if (Object.keys(planned).length === 0) {
      throw new MillraceError(
        'MR3016',
        `Aggregate ${name} has no fields, e.g. { events: count() }.`,
      )
    }
    const id = graph.add({
      kind: 'aggregate',
      input: node,
      name,
      window: this.#window,
      keyName,
      fields: planned,
    })
    const rows = aggregateShape(keyName, keyShape, Object.keys(planned))
    return new Aggregated(
      { ...this.#place, node: id, origin: name, shape: rows, keyName },
      this.#place,
    )
  }
}

/** Rows of an aggregate; `late()` has those that came too late for it. */
export class Aggregated<
  T extends object,
  Row extends object,
  KeyName extends string,
  K,
> extends Stream<Row, KeyName, K> {
  readonly #own: Place
  readonly #before: Place
  #late: Stream<T, KeyName, K> | undefined

  constructor(own: Place, before: Place) {
    super(own)
    this.#own = own
    this.#before = before
  }

  /** Rows that came after the lateness of their window, as they were before `window`. */
  late(): Stream<T, KeyName, K> {
    if (this.#late !== undefined) return this.#late
    const { graph, node, origin } = this.#own
    const name = graph.named(`${origin}-late`, 'the late rows of an aggregate')
    const id = graph.add({ kind: 'late', input: node, name })
    this.#late = new Stream({ ...this.#before, node: id, origin: name })
    return this.#late
  }
}

function selectorOf(where: string, key: unknown): Selector {
  if (typeof key === 'string') return { path: key }
  return { fn: checkedFunction(where, key as (row: never) => unknown) }
}

function checkNumeric(aggregate: string, path: string, shape: Shape): void {
  const field = fieldAt(shape, path, `Aggregate ${aggregate}`)
  if (field === undefined || ['number', 'integer', 'unknown'].includes(field.type)) return
  throw new MillraceError(
    'MR3012',
    `Aggregate ${aggregate} adds up ${path}, which is of type ${field.type}.`,
  )
}

/** `sqlite-pages`: kind and target, with what cannot be in a name left out. */
function sinkName(sink: Sink): string {
  const target = sink.target.replaceAll(/[^A-Za-z0-9_]+/g, '-').replaceAll(/^-+|-+$/g, '')
  return (target === '' ? sink.kind : `${sink.kind}-${target}`).slice(0, limits.nameBytes)
}

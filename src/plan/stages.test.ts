/**
 * Any pipeline, cut into stages and run by a model that moves rows between tasks as the plan says: the rows of a key must meet
 * in one task wherever a window needs them together, and every lookup must find the table's row in its own task.
 */
import * as fc from 'fast-check'
import { Type } from 'typebox'
import { expect, test } from 'vitest'
import { count, tumbling } from '../pipeline/aggregates.ts'
import type { Node, PipelineDefinition, Selector } from '../pipeline/definition.ts'
import type { PipelineBuilder } from '../pipeline/pipeline.ts'
import { pipeline } from '../pipeline/pipeline.ts'
import type { Stream, Table } from '../pipeline/stream.ts'
import { planOf } from './index.ts'
import type { Plan, StagePlan } from './plan.ts'

type Row = Record<string, string>
type AnyStream = Stream<Row, string, string>
interface Step {
  readonly kind:
    | 'filter'
    | 'keyBy'
    | 'keyByFn'
    | 'derive'
    | 'map'
    | 'select'
    | 'enrich'
    | 'enrichFn'
    | 'window'
  /** Which of the streams so far it continues. */
  readonly on: number
  readonly field: 'a' | 'b' | 'c'
  readonly table: 0 | 1
}

const values = ['0', '1', '2', '3', '4']
const Fields = Type.Object({ a: Type.String(), b: Type.String(), c: Type.String() })
const step: fc.Arbitrary<Step> = fc.record({
  kind: fc.constantFrom<Step['kind'][]>(
    'filter',
    'keyBy',
    'keyByFn',
    'derive',
    'map',
    'select',
    'enrich',
    'enrichFn',
    'window',
  ),
  on: fc.nat(20),
  field: fc.constantFrom('a', 'b', 'c'),
  table: fc.constantFrom(0, 1),
})

/** Rotates the values of the fields, so that a field no longer holds what it did. */
const turn = (row: Row): Row => ({
  ...row,
  a: row['b'] ?? '0',
  b: row['c'] ?? '0',
  c: row['a'] ?? '0',
})

function build(steps: readonly Step[]): PipelineDefinition {
  return pipeline('p', (p: PipelineBuilder) => {
    const start = p.stream('rows', { schema: Fields, key: 'a', partitions: 4 })
    const tables: Table<Row>[] = [
      p.table('same', { schema: Fields, key: 'a', partitions: 4 }),
      p.table('fewer', { schema: Fields, key: 'a', partitions: 2 }),
    ]
    const streams: AnyStream[] = [start as unknown as AnyStream]
    for (const [index, { kind, on, field, table }] of steps.entries()) {
      const stream = streams[on % streams.length]!
      try {
        streams.push(apply(stream, kind, field, tables[table]!, `w${index}`))
      } catch (error) {
        // A field that the rows of a window do not have: the pipeline goes on without this step.
        expect(error).toMatchObject({ code: 'MR3012' })
      }
    }
  })
}

function apply(
  stream: AnyStream,
  kind: Step['kind'],
  field: string,
  table: Table<Row>,
  name: string,
): AnyStream {
  // A window's rows have other fields, and so may have no `a`; turning gives them all three again.
  const rows = stream.derive((row) => ({
    a: row['a'] ?? '0',
    b: row['b'] ?? '1',
    c: row['c'] ?? '2',
  }))
  // A lookup may replace the very field it looked up by.
  const lookup = (row: Row): Row => turn(row)
  switch (kind) {
    case 'filter':
      return stream.filter(() => true)
    case 'keyBy':
      return rows.keyBy(field) as AnyStream
    case 'keyByFn':
      return rows.keyBy((row) => row[field] ?? '0') as unknown as AnyStream
    case 'derive':
      return stream.derive((row) => turn(row)) as unknown as AnyStream
    case 'map':
      return stream.map((row) => turn(row)) as unknown as AnyStream
    case 'select':
      return rows.map((row) => row).select(field) as unknown as AnyStream
    case 'enrich':
      return stream.enrich(table, field, lookup) as unknown as AnyStream
    case 'enrichFn':
      return stream.enrich(table, (row) => row[field] ?? '0', lookup) as unknown as AnyStream
    case 'window':
      return stream
        .window(tumbling('1m') as never)
        .aggregate(name, { n: count() }) as unknown as AnyStream
  }
}

interface Moving {
  readonly value: Row
  readonly key: string | undefined
}

/** Runs a plan stage by stage; every stage comes after those it reads from. */
function run({ nodes }: PipelineDefinition, plan: Plan, input: readonly Row[]): void {
  const topics = new Map<string, Moving[][]>()
  const write = (topic: string, partitions: number, row: Moving): void => {
    const all = topics.get(topic) ?? Array.from({ length: partitions }, () => [])
    topics.set(topic, all)
    all[Number(row.key ?? 0) % partitions]!.push(row)
  }
  for (const value of input) write('rows', 4, { value, key: value['a'] })
  for (const stage of plan.stages) {
    const met = new Map<string, number>()
    for (let task = 0; task < stage.partitions; task++) {
      const rows = new Map<number, Moving[]>()
      for (const { topic, role, node } of stage.inputs) {
        if (role === 'stream' || role === 'repartition')
          rows.set(node, topics.get(topic)?.[task] ?? [])
      }
      for (const id of stage.nodes)
        rows.set(id, runNode(nodes, nodes[id]!, rows, { stage, task, met }))
      for (const { node, topic, role, partitions, keyedBy } of stage.outputs) {
        if (role !== 'repartition') continue
        const by = nodes[keyedBy!]! as Extract<Node, { kind: 'keyBy' | 'enrich' }>
        for (const row of rows.get(node)!)
          write(topic, partitions, { ...row, key: keyOf(by.key, row.value) })
      }
    }
  }
}

interface Place {
  readonly stage: StagePlan
  readonly task: number
  readonly met: Map<string, number>
}

function runNode(
  nodes: readonly Node[],
  node: Node,
  rows: ReadonlyMap<number, Moving[]>,
  at: Place,
): Moving[] {
  if (!('input' in node)) throw new Error(`${node.kind} is not an operator`)
  const input = rows.get(node.input)
  expect(input, `input of ${node.kind} ${node.id} is in stage ${at.stage.id}`).toBeDefined()
  switch (node.kind) {
    case 'keyBy':
      return input!.map((row) => ({ ...row, key: keyOf(node.key, row.value) }))
    case 'map':
    case 'derive':
      return input!.map((row) => ({ ...row, value: (node.fn as (row: Row) => Row)(row.value) }))
    case 'enrich': {
      const table = nodes[node.table] as Extract<Node, { kind: 'table' }>
      const stores = at.stage.stores.map((store) => store.node)
      expect(stores).toContain(node.table)
      return input!.map((row) => {
        const key = keyOf(node.key, row.value)
        if (key !== undefined) expect(Number(key) % table.partitions).toBe(at.task)
        return { key, value: { ...row.value, ...(node.fn as (row: Row) => Row)(row.value) } }
      })
    }
    case 'aggregate':
      for (const { key } of input!) {
        expect(key, `rows at ${node.name} have a key`).toBeDefined()
        const group = `${node.id} ${key}`
        expect(at.met.get(group) ?? at.task, `rows of key ${key} meet at ${node.name}`).toBe(
          at.task,
        )
        at.met.set(group, at.task)
      }
      return input!.map(({ key }) => ({ key, value: { [node.keyName]: key!, n: '1' } }))
    default:
      return input!
  }
}

function keyOf(key: Selector, row: Row): string | undefined {
  return 'path' in key ? row[key.path] : ((key.fn as (row: Row) => unknown)(row) as string)
}

const rows: readonly Row[] = values.flatMap((a) =>
  values.map((b) => ({ a, b, c: String((+a + +b) % 5) })),
)

test('rows that belong together meet in one task', () => {
  let stages = 0
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 12 }), (steps) => {
      const definition = build(steps)
      const plan = planOf(definition)
      stages = Math.max(stages, plan.stages.length)
      run(definition, plan, rows)
    }),
    { numRuns: 400 },
  )
  expect(stages).toBeGreaterThan(3)
})

test('what is added behind a pipeline renames nothing that is there', () => {
  const named = (steps: readonly Step[]): readonly string[] => {
    const plan = planOf(build(steps))
    return [...plan.topics.map(({ name }) => name), ...plan.stages.map(({ id }) => id)]
  }
  fc.assert(
    fc.property(fc.array(step, { minLength: 2, maxLength: 10 }), fc.nat(10), (steps, at) => {
      const before = named(steps.slice(0, 1 + (at % (steps.length - 1))))
      const after = named(steps)
      expect(before.filter((name) => !after.includes(name))).toEqual([])
    }),
    { numRuns: 200 },
  )
})

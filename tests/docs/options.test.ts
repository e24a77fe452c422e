import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { pageOf, root, rowsBelow } from './pages.ts'

/** Names of the properties of an interface, as its file has them. */
function membersOf(file: string, name: string): string[] {
  const text = readFileSync(join(root, file), 'utf8')
  const found = new RegExp(`^export interface ${name}\\b[^{]*\\{\\n([\\s\\S]*?)^\\}`, 'm').exec(
    text,
  )
  if (found === null) throw new Error(`${file} has no interface ${name}`)
  return [...(found[1] ?? '').matchAll(/^ {2}readonly (\w+)\??:/gm)].map((match) => match[1] ?? '')
}

/** Names in the first cells of the tables below a heading, where the header says `option`. */
function optionsOf(page: string, heading: string): string[] {
  return rowsBelow(pageOf(page), heading)
    .map(([first = '']) => /^`(\w+)`$/.exec(first)?.[1])
    .filter((name) => name !== undefined)
}

const pipelines = 'docs/reference/pipeline.md'
const sources = 'docs/reference/sources.md'
const sinks = 'docs/reference/sinks.md'

describe('options in the documentation are those of the types', () => {
  test.each([
    [pipelines, '## pipeline', 'src/pipeline/pipeline.ts', 'PipelineOptions'],
    [pipelines, '## p.stream and p.table', 'src/pipeline/pipeline.ts', 'StreamOptions'],
    [pipelines, '## Operators', 'src/pipeline/functions.ts', 'FunctionOptions'],
    [pipelines, '## Windows and aggregates', 'src/pipeline/stream.ts', 'WindowOptions'],
    [pipelines, '## Running a pipeline in a program', 'src/runtime/config.ts', 'EngineOptions'],
    [sources, '## http', 'src/sources/http.ts', 'HttpSourceOptions'],
    [sources, '## file', 'src/sources/file.ts', 'FileSourceOptions'],
    [sources, '## hostMetrics', 'src/sources/host-metrics.ts', 'HostMetricsOptions'],
    [sources, '## generator', 'src/sources/generator.ts', 'GeneratorOptions'],
    [sinks, '## sqlite', 'src/sinks/sqlite/index.ts', 'SqliteOptions'],
    [sinks, '## file', 'src/sinks/file/index.ts', 'FileOptions'],
    [sinks, '## webhook', 'src/sinks/webhook/index.ts', 'WebhookOptions'],
    [sinks, '## websocket', 'src/sinks/websocket.ts', 'WebSocketOptions'],
    [sinks, '## call', 'src/sinks/memory.ts', 'CallOptions'],
    [sinks, '## memory', 'src/sinks/memory.ts', 'MemoryOptions'],
    [
      'docs/how-to/send-events.md',
      '## From TypeScript',
      'src/client/options.ts',
      'ProducerOptions',
    ],
  ])('%s %s', (page, heading, file, name) => {
    expect(optionsOf(page, heading).toSorted()).toEqual(membersOf(file, name).toSorted())
  })
})

test('every operator of a stream is described', () => {
  const text = readFileSync(join(root, 'src/pipeline/stream.ts'), 'utf8')
  const stream = text.slice(
    text.indexOf('export class Stream<'),
    text.indexOf('export class Windowed'),
  )
  const methods = [...stream.matchAll(/^ {2}([a-z]\w+)[<(]/gm)]
    .map((match) => match[1] ?? '')
    .filter((name) => name !== 'constructor')
  const described = rowsBelow(pageOf(pipelines), '## Operators')
    .map(([first = '']) => /^`(\w+)\(/.exec(first)?.[1])
    .filter((name) => name !== undefined)
  expect(described.toSorted()).toEqual([...new Set(methods)].toSorted())
})

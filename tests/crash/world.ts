/** A directory in which an engine runs `small/pipeline.ts`, small, and what must be in it at the end. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { fileURLToPath } from 'node:url'
import { EngineProcess } from '../../examples/demo/engine.ts'
import type { Ledger, Sent } from './ledger.ts'
import type { Load } from './load.ts'
import { smallVariable } from './point.ts'
import { readTopic } from './read-topic.ts'

export class World {
  readonly dataDir: string
  readonly #target: string
  readonly #port: number
  readonly #kind: 'windows' | 'files'

  constructor(kind: 'windows' | 'files', base: string, port: number) {
    this.#kind = kind
    this.#port = port
    this.dataDir = join(base, 'data')
    this.#target = join(base, 'target')
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}/views`
  }

  /** Not started yet. */
  engine(more: Record<string, string> = {}): EngineProcess {
    const preload = fileURLToPath(new URL('./preload.ts', import.meta.url))
    return new EngineProcess(this.#port, 'tests/crash/small/pipeline.ts', this.dataDir, {
      KILL_WORLD: this.#kind,
      KILL_TARGET: this.#target,
      // Segments go only once a snapshot stands for all they hold.
      [smallVariable]: this.#kind === 'files' ? '1' : '32',
      NODE_OPTIONS: `${process.env['NODE_OPTIONS'] ?? ''} --import=${preload}`.trim(),
      ...more,
    })
  }

  /** Ends the load, lets a running engine read all there is, stops it, and compares. */
  async settle(engine: EngineProcess, load: Load): Promise<string[]> {
    await load.stop()
    await engine.caughtUp((topic) => !topic.endsWith('.repartition'), 60_000)
    await engine.end('SIGTERM')
    const { code, stderr } = await engine.ended()
    const end = code === 0 ? [] : [`a stop ended with ${code}:\n${stderr}`]
    return [...end, ...load.problems, ...(await this.differences(load.ledger))]
  }

  async differences(ledger: Ledger): Promise<string[]> {
    if (this.#kind === 'files') return ledger.differencesInTopic(this.#rowsOfFiles())
    const db = new DatabaseSync(this.#target, { readOnly: true })
    const rows = db
      .prepare('select page, window_start, views, total from pages')
      .all() as unknown as Row[]
    db.close()
    const output = await readTopic<Row>(this.dataDir, 'windows.pages')
    const last = new Map(output.flat().map((row) => [`${row.page}|${row.window_start}`, row]))
    return [
      ...ledger.differencesInTopic(await readTopic<Sent>(this.dataDir, 'views')),
      ...ledger.differencesInWindows(rows).map((text) => `SQLite: ${text}`),
      ...ledger.differencesInWindows([...last.values()]).map((text) => `output topic: ${text}`),
    ]
  }

  /** The finished files, in the order of their names, per partition. */
  #rowsOfFiles(): Sent[][] {
    const partitions = new Map<string, Sent[]>()
    for (const name of readdirSync(this.#target).toSorted()) {
      const partition = /-(\d+)-\d+-\d+\.ndjson$/.exec(name)?.[1]
      if (partition === undefined) continue
      const rows = partitions.get(partition) ?? []
      for (const line of readFileSync(join(this.#target, name), 'utf8').split('\n'))
        if (line !== '') rows.push(JSON.parse(line) as Sent)
      partitions.set(partition, rows)
    }
    return [...partitions.values()]
  }
}

interface Row {
  page: string
  window_start: string
  views: number
  total: number
}

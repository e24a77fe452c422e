/** A directory in which an engine runs `pipeline.ts`, small where wanted, and what must be in it at the end. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { fileURLToPath } from 'node:url'
import { EngineProcess } from '../../examples/demo/engine.ts'
import { differencesInWindows, type Ledger, type Sent, type WindowRow } from './ledger.ts'
import type { Load } from './load.ts'
import { Neighbours } from './neighbours.ts'
import { smallVariable } from './point.ts'
import { readTopic } from './read-topic.ts'

/** Of both pipelines; its path is `/views`. */
const topic = 'views'

export class World {
  readonly dataDir: string
  readonly #target: string
  readonly #port: number
  readonly #kind: 'windows' | 'files'
  readonly #small: boolean

  constructor(
    kind: 'windows' | 'files',
    base: string,
    port: number,
    size: 'small' | 'usual' = 'small',
  ) {
    this.#kind = kind
    this.#port = port
    this.#small = size === 'small'
    this.dataDir = join(base, 'data')
    this.#target = join(base, 'target')
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}/${topic}`
  }

  /** Not started yet. */
  engine(more: Record<string, string> = {}): EngineProcess {
    return new EngineProcess(this.#port, 'tests/crash/pipeline.ts', this.dataDir, {
      KILL_WORLD: this.#kind,
      KILL_TARGET: this.#target,
      ...(this.#small ? smallness(this.#kind) : {}),
      ...more,
    })
  }

  /** Started. */
  neighbours(): Neighbours {
    return new Neighbours(this.url, topic)
  }

  /** Ends the load, lets a running engine read all there is, stops it, and compares. */
  async settle(engine: EngineProcess, load: Load, neighbours?: Neighbours): Promise<string[]> {
    await load.stop()
    await neighbours?.stop()
    await engine.caughtUp((topic) => !topic.endsWith('.repartition'), 60_000)
    await engine.end('SIGTERM')
    const { code, stderr } = await engine.ended()
    const end = code === 0 ? [] : [`a stop ended with ${code}:\n${stderr}`]
    const shown = (await neighbours?.differences(this.dataDir, topic)) ?? []
    return [...end, ...load.problems, ...shown, ...(await this.differences(load.ledger))]
  }

  async differences(ledger: Ledger): Promise<string[]> {
    if (this.#kind === 'files') return ledger.differencesInTopic(this.#rowsOfFiles())
    const db = new DatabaseSync(this.#target, { readOnly: true })
    const rows = db
      .prepare('select page, window_start, views, total from pages')
      .all() as unknown as WindowRow[]
    db.close()
    const views = await readTopic<Sent>(this.dataDir, topic)
    const output = await readTopic<WindowRow>(this.dataDir, 'windows.pages')
    const last = new Map(output.flat().map((row) => [`${row.page}|${row.window_start}`, row]))
    return [
      ...ledger.differencesInTopic(views),
      ...differencesInWindows(rows, views).map((text) => `SQLite: ${text}`),
      ...differencesInWindows([...last.values()], views).map((text) => `output topic: ${text}`),
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

function smallness(kind: 'windows' | 'files'): Record<string, string> {
  const preload = fileURLToPath(new URL('./preload.ts', import.meta.url))
  return {
    // Segments go only once a snapshot stands for all they hold.
    [smallVariable]: kind === 'files' ? '1' : '32',
    NODE_OPTIONS: `${process.env['NODE_OPTIONS'] ?? ''} --import=${preload}`.trim(),
  }
}

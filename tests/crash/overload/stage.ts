/** An engine on one core and a generator on another, and what both say of a stretch of time. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { EngineProcess, freePort } from '../../../examples/demo/engine.ts'
import { smallVariable } from '../point.ts'
import type { Phase, PhaseReport, ToGenerator } from './books.ts'
import { Measured, type Seen } from './measured.ts'

const cores = { generator: 0, engine: 1 }

export type Told = PhaseReport & Seen

export class Stage {
  readonly engine: EngineProcess
  readonly dataDir: string
  /** Where the sinks of the pipeline write. */
  readonly target: string
  /** Where the generator writes its books. */
  readonly books: string
  #generator: ChildProcess | undefined

  /** `small`: the engine rolls its log within seconds, and looks all the time for what may go. */
  static async make(
    world: 'windows' | 'copies',
    directory: string,
    memoryMb: number,
    small: boolean,
  ): Promise<Stage> {
    const pipeline = fileURLToPath(new URL('./pipeline.ts', import.meta.url))
    const target = join(directory, `${world}-target`)
    const dataDir = join(directory, world)
    const preload = fileURLToPath(new URL('../preload.ts', import.meta.url))
    const environment = {
      OVERLOAD_WORLD: world,
      OVERLOAD_TARGET: target,
      ...(small
        ? {
            [smallVariable]: '64',
            NODE_OPTIONS: `${process.env['NODE_OPTIONS'] ?? ''} --import=${preload}`.trim(),
          }
        : {}),
    }
    const options = ['--workers', '1', '--memory', String(memoryMb)]
    const engine = new EngineProcess(await freePort(), pipeline, dataDir, environment, options)
    return new Stage(engine, dataDir, target, join(directory, `${world}-books`))
  }

  private constructor(engine: EngineProcess, dataDir: string, target: string, books: string) {
    this.engine = engine
    this.dataDir = dataDir
    this.target = target
    this.books = books
  }

  async start(): Promise<void> {
    pin(cores.engine)
    await this.engine.start()
    pin(cores.generator)
    const path = fileURLToPath(new URL('./generator.ts', import.meta.url))
    const node = [path, new URL(this.engine.url).port]
    this.#generator = spawn(process.execPath, node, {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    })
  }

  async phase(what: Phase): Promise<Told> {
    const measured = await Measured.begin(this.engine)
    const report = await this.#ask<PhaseReport>(what)
    return { ...report, ...(await measured.end()) }
  }

  /** Lets the engine read all there is, and stops it; gives what was wrong with its end. */
  async end(): Promise<string[]> {
    await this.#ask({ write: this.books })
    this.#generator?.disconnect()
    await this.engine.caughtUp((topic) => !topic.endsWith('.repartition'), 900_000)
    await this.engine.end('SIGTERM')
    const { code, stderr } = await this.engine.ended()
    return code === 0 ? [] : [`the engine ended with ${code}:\n${stderr}`]
  }

  async kill(): Promise<void> {
    this.#generator?.kill('SIGKILL')
    await this.engine.end('SIGKILL')
  }

  async #ask<Answer>(message: ToGenerator): Promise<Answer> {
    const generator = this.#generator
    if (generator === undefined) throw new Error('the generator was never started')
    generator.send(message)
    const [answer] = (await once(generator, 'message')) as [Answer]
    return answer
  }
}

/** What this process starts from now on runs on that core. */
function pin(core: number): void {
  spawnSync('taskset', ['-a', '-c', '-p', String(core), String(process.pid)])
}

/** Why this cannot be done here; undefined where it can. */
export function missing(): string | undefined {
  const { error, status } = spawnSync('taskset', ['-c', '0,1', 'true'])
  if (error !== undefined) return `taskset: ${error.message}`
  return status === 0 ? undefined : 'cores 0 and 1 cannot both be used'
}

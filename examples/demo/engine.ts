/** The engine as a child process: started, killed with SIGKILL, started again, asked over HTTP. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../../', import.meta.url))

export interface TaskRow {
  readonly id: string
  readonly status: string
  readonly counters: Readonly<Record<string, number>>
}

export class EngineProcess {
  readonly url: string
  readonly #args: readonly string[]
  readonly #env: NodeJS.ProcessEnv
  #child: ChildProcess | undefined
  #stderr = ''

  constructor(
    port: number,
    pipeline: string,
    dataDir: string,
    env: Record<string, string>,
    options: readonly string[] = [],
  ) {
    this.url = `http://127.0.0.1:${port}`
    this.#args = ['run', pipeline, '--data-dir', dataDir, '--port', String(port), ...options]
    this.#env = { ...process.env, ...env }
  }

  get pid(): number {
    return this.#child?.pid ?? 0
  }

  /** The last of what it wrote to stderr since its start. */
  get stderr(): string {
    return this.#stderr
  }

  /** Spawns the engine and waits until it is ready; gives the milliseconds that took. */
  async start(): Promise<number> {
    const began = performance.now()
    const node = ['--conditions=millrace-source', 'src/cli/main.ts', ...this.#args]
    const child = spawn(process.execPath, node, {
      cwd: root,
      env: this.#env,
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    this.#child = child
    this.#stderr = ''
    child.stderr.on(
      'data',
      (chunk: Buffer) => (this.#stderr = (this.#stderr + chunk.toString('utf8')).slice(-4_000)),
    )
    while (!(await this.#ready())) {
      if (child.exitCode !== null || child.signalCode !== null) {
        throw new Error(
          `the engine ended with ${child.exitCode ?? child.signalCode}:\n${this.#stderr}`,
        )
      }
      if (performance.now() - began > 60_000)
        throw new Error(`the engine is not ready after 60 s:\n${this.#stderr}`)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    return performance.now() - began
  }

  async end(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    const child = this.#child
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const ended = once(child, 'exit')
    child.kill(signal)
    await ended
  }

  /** Resolves when it has ended, by itself or not: with how, and what it wrote to stderr last. */
  async ended(): Promise<{ code: number | null; signal: string | null; stderr: string }> {
    const child = this.#child
    if (child === undefined) throw new Error('the engine was never started')
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
    return { code: child.exitCode, signal: child.signalCode, stderr: this.#stderr }
  }

  /** An interrupted script must not leave it behind: it is a process of its own. */
  endWithUs(cleanUp: () => void): void {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      process.once(signal, () => {
        void this.end('SIGKILL')
        cleanUp()
        process.exit(130)
      })
    }
  }

  async get<T>(path: string): Promise<T> {
    const answer = await fetch(this.url + path, { signal: AbortSignal.timeout(10_000) })
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`)
    return (await answer.json()) as T
  }

  /** Sum of one counter over the tasks whose id begins with `prefix`. */
  async counters(prefix: string): Promise<Record<string, number>> {
    const { tasks } = await this.get<{ tasks: TaskRow[] }>('/admin/tasks')
    const sums: Record<string, number> = {}
    for (const task of tasks) {
      if (!task.id.startsWith(prefix)) continue
      for (const [name, value] of Object.entries(task.counters))
        sums[name] = (sums[name] ?? 0) + value
    }
    return sums
  }

  /** Waits until every stage and sink has read all there is. Control records keep coming, so a few may always be in flight. */
  async caughtUp(topics: (topic: string) => boolean, timeoutMs: number): Promise<void> {
    const until = performance.now() + timeoutMs
    for (;;) {
      const rows = await this.get<{ group: string; topic: string; lag: number }[]>('/admin/lag')
      const behind = rows.filter((row) => topics(row.topic) && row.lag > 0)
      if (behind.length === 0) return
      if (performance.now() > until)
        throw new Error(
          `not caught up after ${timeoutMs} ms: ${JSON.stringify(behind.slice(0, 5))}`,
        )
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }

  async #ready(): Promise<boolean> {
    try {
      return (await fetch(`${this.url}/readyz`, { signal: AbortSignal.timeout(1_000) })).ok
    } catch {
      return false
    }
  }
}

/**
 * A port that nobody listens on. Not one that the system would give: those it also gives to connections that go out, and one
 * of these may take it while the engine is down between two starts.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = 10_000 + Math.floor(Math.random() * 20_000)
    const server = createServer()
    const listens = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false))
      server.listen(port, '127.0.0.1', () => resolve(true))
    })
    if (!listens) continue
    await new Promise((resolve) => server.close(resolve))
    return port
  }
}

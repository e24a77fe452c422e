import type { ChildProcess } from 'node:child_process'
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { start } from 'millrace'
import type { Engine, EngineOptions } from 'millrace'

/** A directory of its own for one test, with engines that are stopped and files that are gone at its end. */
export class Place {
  readonly directory = mkdtempSync(join(tmpdir(), 'millrace-'))
  readonly #engines: Engine[] = []
  /** Killed at the end, where they still run. */
  readonly children: ChildProcess[] = []

  constructor() {
    // Pipelines import their schema library from where they lie.
    const modules = fileURLToPath(new URL('../../node_modules', import.meta.url))
    symlinkSync(modules, join(this.directory, 'node_modules'))
  }

  /** Writes a file and gives its URL. */
  file(name: string, text: string): string {
    const path = join(this.directory, name)
    writeFileSync(path, text)
    return pathToFileURL(path).href
  }

  /** A pipeline file around `body`, which has `p` and everything the package exports. */
  pipeline(name: string, body: string, options = '{}'): string {
    return this.file(
      `${name}.ts`,
      `import { avg, count, max, min, pipeline, sum, tumbling } from 'millrace'
import { file, sqlite } from 'millrace/sinks'
import { http } from 'millrace/sources'
import { Type } from 'typebox'
export default pipeline('${name}', ${options}, (p) => {
${body}
})
void [avg, count, max, min, sum, tumbling, file, sqlite, http, Type]
`,
    )
  }

  async start(urls: string | readonly string[], options: EngineOptions = {}): Promise<Engine> {
    const engine = await start(urls, {
      dataDir: join(this.directory, 'data'),
      port: 0,
      workers: 2,
      logLevel: 'silent',
      ...options,
    })
    this.#engines.push(engine)
    return engine
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const engine of this.#engines) await engine.stop()
    for (const child of this.children) child.kill('SIGKILL')
    rmSync(this.directory, { recursive: true, force: true })
  }
}

/** The JSON answer of a request to an engine. */
export async function ask(engine: Engine, path: string, init?: RequestInit): Promise<unknown> {
  const answer = await fetch(`${engine.url}${path}`, init)
  return answer.json()
}

/** Asks again until `found` says yes; the test's own timeout is the only limit. */
export async function until<T>(look: () => Promise<T>, found: (value: T) => boolean): Promise<T> {
  for (;;) {
    const value = await look()
    if (found(value)) return value
    await new Promise((resolve) => setImmediate(resolve))
  }
}

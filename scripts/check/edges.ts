import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Check } from './finding.ts'

/**
 * The files of src/ that may touch what everything else takes from Env, beside src/core/env/real/.
 * One place, one reason each. An entry that is no longer needed fails the check.
 */
export interface Edge {
  file: string
  /** Node modules, packages or globals, as the code writes them: `node:worker_threads`, `process`, `Date.now`. */
  uses: string[]
  why: string
}

const list: Edge[] = [
  {
    file: 'src/runtime/node-threads.ts',
    uses: ['node:fs', 'node:worker_threads', 'process'],
    why: 'starts the threads, with the options this program was started with',
  },
  {
    file: 'src/runtime/launch.ts',
    uses: ['node:module', 'node:os', 'process'],
    why: 'reads the machine and the package version for an engine in this process',
  },
  {
    file: 'src/runtime/log-thread.ts',
    uses: ['node:module', 'node:worker_threads'],
    why: 'the entry of the log thread',
  },
  {
    file: 'src/runtime/worker-thread.ts',
    uses: ['node:module', 'node:worker_threads', 'process'],
    why: 'the entry of a worker thread',
  },
  {
    file: 'src/runtime/snapshot-thread.ts',
    uses: ['node:worker_threads', 'process'],
    why: 'the entry of the snapshot thread',
  },
  {
    file: 'src/runtime/http-server.ts',
    uses: ['fastify', 'node:fs', 'node:http'],
    why: 'listens on the port and on the socket of the data directory',
  },
  {
    file: 'src/runtime/socket.ts',
    uses: ['node:fs', 'process'],
    why: 'names the socket of the data directory, which only Linux can do for long paths',
  },
  {
    file: 'src/runtime/facts.ts',
    uses: ['process'],
    why: 'reads memory and CPU time of this process for the metrics',
  },
  {
    file: 'src/observe/logger.ts',
    uses: ['pino'],
    why: 'writes the structured log to stderr',
  },
  {
    file: 'src/cli/bin.ts',
    uses: ['node:module', 'process'],
    why: 'looks at the version of Node before anything is loaded that needs it',
  },
  {
    file: 'src/cli/main.ts',
    uses: ['node:module', 'process'],
    why: 'the entry of the command line',
  },
  {
    file: 'src/cli/access.ts',
    uses: ['node:fs'],
    why: 'looks whether there is a data directory',
  },
  {
    file: 'src/cli/engine-client.ts',
    uses: ['node:fs', 'node:http'],
    why: 'talks to the socket of an engine',
  },
  {
    file: 'src/cli/commands/produce.ts',
    uses: ['node:fs'],
    why: 'streams the file a user names',
  },
  {
    file: 'src/cli/commands/run.ts',
    uses: ['node:fs', 'node:module'],
    why: 'watches the files of `millrace dev`, and loads the engine from its compile cache',
  },
  {
    file: 'src/cli/young-generation.ts',
    uses: ['node:v8'],
    why: 'bounds what the first thread of the process may take',
  },
  {
    file: 'src/runtime/plan-thread.ts',
    uses: ['node:worker_threads', 'process'],
    why: 'the entry of the thread that loads user code',
  },
  {
    file: 'src/runtime/load-pipeline.ts',
    uses: ['node:module'],
    why: 'loads the module a user names',
  },
  {
    file: 'src/client/machine.ts',
    uses: ['fetch', 'performance', 'setTimeout', 'clearTimeout', 'Date.now', 'Math.random'],
    why: 'the machine of a producer, Node or a browser, where no Env is given',
  },
  {
    file: 'src/sinks/sqlite/session.ts',
    uses: ['node:sqlite'],
    why: 'SQLite does its own file access; runs only in the thread of its sink',
  },
  {
    file: 'src/sinks/sqlite/client.ts',
    uses: ['node:worker_threads'],
    why: 'starts the thread of a SQLite sink',
  },
  {
    file: 'src/sinks/sqlite/sqlite-thread.ts',
    uses: ['node:worker_threads'],
    why: 'the entry of the thread of a SQLite sink',
  },
  {
    file: 'src/runtime/serve/page.ts',
    uses: ['node:fs'],
    why: 'reads the files of the live page that lie beside it',
  },
  {
    file: 'src/runtime/serve/records.ts',
    uses: ['node:stream'],
    why: 'fastify takes a stream for an answer that is written as it is read',
  },
  {
    file: 'src/runtime/serve/upgrade.ts',
    uses: ['ws'],
    why: 'the WebSocket front of the HTTP server',
  },
]

export const edgeFile = 'scripts/check/edges.ts'

export function allowed(file: string, what: string): boolean {
  return list.some((edge) => edge.file === file && edge.uses.includes(what))
}

export const edges: Check = {
  name: 'edges',
  run: (root) => staleEdges(root, list),
}

export function staleEdges(root: string, entries: Edge[]): ReturnType<Check['run']> {
  return entries.flatMap(({ file, uses }) => {
    const path = join(root, file)
    const text = existsSync(path) ? readFileSync(path, 'utf8') : ''
    return uses
      .filter((what) => !text.includes(what))
      .map((what) => ({
        file: edgeFile,
        line: 1,
        rule: 'edges',
        message: `${file} does not use ${what}: remove it from the list`,
      }))
  })
}

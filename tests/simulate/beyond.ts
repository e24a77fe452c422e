/** What a simulation in one thread, without sockets, cannot run by its nature; by file or folder, with the reason. */
export const beyond: Readonly<Record<string, string>> = {
  'src/runtime/log-thread.ts': 'the entry of a thread',
  'src/runtime/worker-thread.ts': 'the entry of a thread',
  'src/runtime/snapshot-thread.ts': 'the entry of a thread',
  'src/runtime/plan-thread.ts': 'the entry of a thread',
  'src/runtime/threads.ts': 'starts threads',
  'src/runtime/log-host.ts': 'starts the log thread',
  'src/runtime/worker-pool.ts': 'starts the threads of workers, and ends them',
  'src/runtime/snapshots.ts': 'starts the thread that makes snapshots',
  'src/runtime/plan-pass.ts': 'starts the thread that loads user code',
  'src/runtime/load-pipeline.ts': 'loads modules',
  'src/runtime/engine.ts':
    'puts the threads together; its place is taken by src/testing/simulated-engine.ts',
  'src/runtime/launch.ts': 'reads the machine',
  'src/runtime/facts.ts': 'reads the machine',
  'src/runtime/socket.ts': 'names a socket',
  'src/runtime/http-server.ts': 'sockets',
  'src/runtime/admin/routes.ts': 'routes of the HTTP server',
  'src/runtime/admin/guard.ts': 'judges HTTP requests',
  'src/runtime/http/': 'sockets',
  'src/runtime/serve/': 'sockets',
}

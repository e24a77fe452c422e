/** What a simulation in one thread, without sockets, cannot run by its nature; by file or folder, with the reason. */
export const beyond: Readonly<Record<string, string>> = {
  'src/runtime/log-thread.ts': 'the entry of a thread',
  'src/runtime/worker-thread.ts': 'the entry of a thread',
  'src/runtime/snapshot-thread.ts': 'the entry of a thread',
  'src/runtime/plan-thread.ts': 'the entry of a thread',
  'src/runtime/node-threads.ts': 'starts threads',
  'src/runtime/load-pipeline.ts': 'loads modules',
  'src/runtime/start.ts': 'reads the machine',
  'src/runtime/launch.ts': 'reads the machine',
  'src/runtime/facts.ts': 'reads the machine',
  'src/runtime/socket.ts': 'names a socket',
  'src/runtime/http-server.ts': 'sockets',
  'src/runtime/admin/routes.ts': 'routes of the HTTP server',
  'src/runtime/admin/guard.ts': 'judges HTTP requests',
  'src/runtime/http/': 'sockets',
  'src/runtime/serve/': 'sockets',
}

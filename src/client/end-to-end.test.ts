/** A producer, the HTTP front, the ingest task, the worker and the log on the real disk, all in one process. */
import * as fs from 'node:fs'
import type { AddressInfo } from 'node:net'
import * as os from 'node:os'
import * as path from 'node:path'
import { fastify } from 'fastify'
import { expect, test } from 'vitest'
import { realEnv } from '../core/env/real/index.ts'
import { openEmbeddedLog } from '../log/embedded/index.ts'
import { nameSchema, sessionsTopic } from '../process/ingest.fixture.ts'
import { IngestQueue, PushIngestRunner } from '../process/ingest-runner.ts'
import { runWorker } from '../process/worker.ts'
import { ingestRoutes } from '../runtime/http/index.ts'
import { producer } from './index.ts'
import type { EventResult } from './index.ts'

test('events of a producer are durable when it is told so', async () => {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'millrace-client-'))
  const env = realEnv()
  const log = await openEmbeddedLog({ env, directory })
  await log.topics.create({ name: 'events', kind: 'user', partitions: 4 })
  await log.topics.create({ name: sessionsTopic, kind: 'changelog', partitions: 1 })
  const rules = {
    schema: nameSchema,
    key: { path: 'id' },
    time: 'at',
    futureMs: 60_000,
    partitions: 4,
  }
  const runner = new PushIngestRunner({
    env,
    log,
    topic: 'events',
    rules,
    onInvalid: 'refuse',
    deadLetters: 'none',
    planHash: '',
    buckets: [0],
    bucketCount: 1,
    sessions: sessionsTopic,
    queue: new IngestQueue(),
  })
  const stop = new AbortController()
  const worker = runWorker({ env, log, owner: 'w', runners: [runner], signal: stop.signal })
  const app = fastify()
  ingestRoutes(app, {
    env,
    gateway: {
      topics: () => ['events'],
      refusal: () => undefined,
      submit: (_topic, request) => runner.submit(0, request),
    },
    paths: [],
  })
  await app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = app.server.address() as AddressInfo
  try {
    const from = producer<object>({
      url: `http://127.0.0.1:${port}`,
      topic: 'events',
      batchEvents: 100,
    })
    const results: Promise<EventResult>[] = []
    for (let n = 0; n < 1_000; n++) {
      const event = {
        id: `k${n % 50}`,
        at: 1_700_000_000_000 + n,
        ...(n % 100 === 7 ? { name: 5 } : {}),
      }
      results.push((await from.send(event)).result)
    }
    const told = await Promise.all(results)
    expect(told.filter((result) => result.status === 'acknowledged')).toHaveLength(990)
    const refused = told.filter((result) => result.status === 'refused')
    expect(new Set(refused.map((result) => result.code))).toEqual(new Set(['MR1021']))
    const appended = (await log.topics.offsets('events')).reduce((sum, { next }) => sum + next, 0)
    expect(appended).toBe(990)
    expect(from.counters).toMatchObject({ sent: 1_000, acknowledged: 990, refused: 10, failed: 0 })
    await from.close()
  } finally {
    app.server.closeAllConnections()
    await app.close()
    stop.abort()
    expect(await worker).toEqual({ why: 'stopped' })
    await log.stop()
    fs.rmSync(directory, { recursive: true })
  }
})

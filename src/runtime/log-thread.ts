import { flushCompileCache } from 'node:module'
import { parentPort, workerData } from 'node:worker_threads'
import { must } from '../core/assert.ts'
import { realEnv } from '../core/env/real/index.ts'
import { portOf } from '../core/port.ts'
import { MillraceError } from '../errors.ts'
import { serveLog } from '../log/embedded/index.ts'
import type { RecoveryReport } from '../log/embedded/index.ts'
import type { FromLogThread, LogThreadData, ToLogThread } from './messages.ts'

/** Edge: the thread that owns the log. Recovers it, serves clients, and says so when nothing may be acknowledged any more. */
const port = must(parentPort, 'log-thread runs as a thread')
const { dataDir } = workerData as LogThreadData
const say = (message: FromLogThread): void => port.postMessage(message)

function failed(error: unknown): void {
  const told =
    error instanceof MillraceError
      ? error
      : new MillraceError('MR6008', `${String(error)}.`, { cause: error })
  say({ type: 'failed', error: told.toJSON() })
}

function notesOn(report: RecoveryReport): string[] {
  const { created, tornBytes, quarantined, rewrittenBytes, lsn } = report
  const notes = [
    created ? `Created a log in ${dataDir}.` : `Recovered the log up to commit ${lsn}.`,
  ]
  if (tornBytes > 0)
    notes.push(
      `${tornBytes} bytes of a commit that was never acknowledged were moved to ${quarantined}.`,
    )
  if (rewrittenBytes > 0)
    notes.push(`${rewrittenBytes} bytes above the durable mark were verified and written again.`)
  return notes
}

try {
  const { host, report } = await serveLog({ env: realEnv(), directory: dataDir, onFailed: failed })
  port.on('message', (message: ToLogThread) => {
    if (message.type === 'attach') {
      host.attach(portOf(message.port))
      return
    }
    host
      .stop()
      .then(() => say({ type: 'closed' }))
      .catch(failed)
      .finally(() => port.close())
  })
  const logId = Buffer.from(host.engine.log.uuid).toString('hex')
  say({ type: 'open', logId, logEpoch: report.epoch, notes: notesOn(report) })
  // A process that is killed never gets to writing it down.
  flushCompileCache()
} catch (error) {
  failed(error)
  port.close()
}

import type { Env } from '../core/env/env.ts'
import { portOf } from '../core/port.ts'
import type { MessagePortLike } from '../core/port.ts'
import { MillraceError } from '../errors.ts'
import type { serveLog } from '../log/embedded/index.ts'
import type { RecoveryReport } from '../log/embedded/index.ts'
import type { FromLogThread, LogThreadData, ToLogThread } from './messages.ts'

export interface LogSurroundings {
  readonly env: Env
  /** To main. */
  readonly port: MessagePortLike
  readonly data: LogThreadData
  readonly serve: typeof serveLog
  /** Called when the log is open. */
  readonly opened?: () => void
}

/** The thread that owns the log: recovers it, serves clients, and says so when nothing may be acknowledged any more. */
export async function runLog({ env, port, data, serve, opened }: LogSurroundings): Promise<void> {
  const { dataDir } = data
  const say = (message: FromLogThread): void => port.postMessage(message)
  const failed = (error: unknown): void => {
    const told =
      error instanceof MillraceError
        ? error
        : new MillraceError('MR6008', `${String(error)}.`, { cause: error })
    say({ type: 'failed', error: told.toJSON() })
  }
  try {
    const { host, report } = await serve({ env, directory: dataDir, onFailed: failed })
    port.on('message', (received) => {
      const message = received as ToLogThread
      if (message.type === 'attach') {
        host.attach(portOf(message.port))
        return
      }
      host
        .stop()
        .then(() => say({ type: 'closed' }))
        .catch(failed)
        .finally(() => port.close?.())
    })
    const logId = Buffer.from(host.engine.log.uuid).toString('hex')
    say({ type: 'open', logId, logEpoch: report.epoch, notes: notesOn(dataDir, report) })
    opened?.()
  } catch (error) {
    failed(error)
    port.close?.()
  }
}

function notesOn(dataDir: string, report: RecoveryReport): string[] {
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

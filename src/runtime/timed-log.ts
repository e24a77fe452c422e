import type { Env } from '../core/env/env.ts'
import type { Log, Writer } from '../log/log.ts'
import type { LatencyMeter } from '../observe/http-meter.ts'
import type { WorkerReport } from './reports.ts'

/** The same log, with the time of every commit taken. */
export function timedLog(
  env: Env,
  log: Log,
  meter: LatencyMeter,
): { readonly log: Log; commits(): Pick<WorkerReport, 'commits' | 'commitSeconds'> } {
  const timed: Log = {
    topics: log.topics,
    reader: (from) => log.reader(from),
    positions: (group) => log.positions(group),
    open: async (owner) => timedWriter(env, await log.open(owner), meter),
  }
  return { log: timed, commits: () => ({ commits: meter.count, commitSeconds: meter.seconds() }) }
}

function timedWriter(env: Env, writer: Writer, meter: LatencyMeter): Writer {
  return {
    owner: writer.owner,
    epoch: writer.epoch,
    get stagedBytes() {
      return writer.stagedBytes
    },
    get stagedSections() {
      return writer.stagedSections
    },
    append: (topic, partition, block, count) => writer.append(topic, partition, block, count),
    control: (topic, partition, upstream, watermark) =>
      writer.control(topic, partition, upstream, watermark),
    position: (group, position) => writer.position(group, position),
    state: (store, partition, changes, count) => writer.state(store, partition, changes, count),
    commit: async () => {
      const started = env.clock.monotonic()
      const result = await writer.commit()
      if (result.outcome === 'committed') meter.record(env.clock.monotonic() - started)
      return result
    },
    close: () => writer.close(),
  }
}

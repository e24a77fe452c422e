/**
 * The one table of metrics: what is exposed, what the documentation lists, what a test holds against promtool. Values are
 * read from plain counters when somebody scrapes; nothing here is in a hot path.
 */
import type { DeliveryReport, TaskReport } from '../process/runner.ts'

/** Everything the metrics are computed from, gathered once per scrape. */
export interface Facts {
  readonly ready: boolean
  readonly tasks: readonly TaskReport[]
  readonly topics: readonly {
    readonly name: string
    readonly kind: string
    readonly appended: number
    readonly kept: number
  }[]
  readonly workers: readonly WorkerFacts[]
  readonly http: HttpFacts
  readonly pipelines: readonly { readonly name: string; readonly running: boolean }[]
  readonly process: {
    readonly residentBytes: number
    readonly cpuSeconds: number
    readonly startedSeconds: number
  }
  /** Undefined before reading again has begun, or where it is turned off. */
  readonly scrub?: ScrubFacts | undefined
  readonly disk: { readonly freeBytes: number; readonly totalBytes: number }
}

export interface ScrubFacts {
  readonly doneBytes: number
  readonly totalBytes: number
  /** Wall clock (ms). */
  readonly lastPassAt: number | undefined
  readonly damaged: readonly unknown[]
}

export interface WorkerFacts {
  readonly slot: number
  readonly restarts: number
  readonly commits: number
  /** Seconds from handing a commit over to its being durable. */
  readonly commitSeconds: Quantiles
}

export interface HttpFacts {
  /** Answers so far, by status. */
  readonly answers: Readonly<Record<string, number>>
  readonly seconds: Quantiles
  /** Requests that brought events, by status of the answer. */
  readonly ingest: Readonly<Record<string, Buckets>>
}

/** Observations so far: how many in each bucket, the one above the last bound included, and their sum. */
export interface Buckets {
  readonly counts: readonly number[]
  readonly sum: number
}

export interface Quantiles {
  readonly p50: number
  readonly p99: number
  readonly max: number
}

export type Labels = Readonly<Record<string, string>>
/** One without a value is not exposed. */
export type Sample = readonly [value: number | undefined, labels: Labels]

export interface Metric {
  /** Without the `_total` that counters get. */
  readonly name: string
  readonly type: 'counter' | 'gauge'
  readonly unit:
    | 'records'
    | 'bytes'
    | 'seconds'
    | 'requests'
    | 'commits'
    | 'restarts'
    | 'keys'
    | 'files'
    | '1'
  readonly labels: readonly string[]
  readonly help: string
  readonly samples: (facts: Facts) => readonly Sample[]
}

/** Upper bounds of buckets, so fine that a quantile read from them is at most half too large. */
export interface HistogramMetric extends Omit<Metric, 'type' | 'samples'> {
  readonly type: 'histogram'
  readonly bounds: readonly number[]
  readonly samples: (facts: Facts) => readonly (readonly [value: Buckets, labels: Labels])[]
}

/** `clickstream/main/3` is pipeline clickstream, stage main, partition 3; `ingest/events/0` has no pipeline. */
export function taskLabels(id: string): Labels {
  const parts = id.split('/')
  const partition = parts.at(-1) ?? ''
  return { stage: parts.slice(0, -1).join('/'), partition }
}

function perTask(value: (task: TaskReport) => number | undefined): Metric['samples'] {
  return ({ tasks }) => tasks.map((one) => [value(one), taskLabels(one.id)])
}

const task = ['stage', 'partition']
const outcomes = {
  processed: (t: TaskReport) => t.counters.processed,
  dead_lettered: (t: TaskReport) => t.counters.deadLettered,
  late: (t: TaskReport) => t.counters.late,
  skipped: (t: TaskReport) => t.counters.skipped,
  shed: (t: TaskReport) => t.counters.shed,
  expired: (t: TaskReport) => t.counters.expired,
} as const

const quantiles = ({ p50, p99, max }: Quantiles, labels: Labels): Sample[] => [
  [p50, { ...labels, percentile: '50' }],
  [p99, { ...labels, percentile: '99' }],
  [max, { ...labels, percentile: '100' }],
]

/** From counts per bucket: the bound that so many deliveries stayed below. Above the last bound it is the last bound. */
export function deliveryQuantiles({ boundsMs, counts }: DeliveryReport): Quantiles {
  const all = counts.reduce((sum, count) => sum + count, 0)
  const at = (share: number): number => {
    let seen = 0
    const index = counts.findIndex((count) => (seen += count) >= share * all)
    return (boundsMs[index] ?? boundsMs.at(-1) ?? 0) / 1000
  }
  return { p50: at(0.5), p99: at(0.99), max: at(1) }
}

export const metrics: readonly Metric[] = [
  {
    name: 'millrace_ready',
    type: 'gauge',
    unit: '1',
    labels: [],
    help: '1 when every pipeline runs and every worker is up.',
    samples: ({ ready }) => [[ready ? 1 : 0, {}]],
  },
  {
    name: 'millrace_pipeline_up',
    type: 'gauge',
    unit: '1',
    labels: ['pipeline'],
    help: '1 while the pipeline runs, 0 when it failed.',
    samples: ({ pipelines }) =>
      pipelines.map(({ name, running }) => [running ? 1 : 0, { pipeline: name }]),
  },
  {
    name: 'millrace_task_up',
    type: 'gauge',
    unit: '1',
    labels: [...task, 'status'],
    help: '1 when the task is running or finished, 0 when it is retrying, paused, failed or behind retention; status says which.',
    samples: ({ tasks }) =>
      tasks.map(({ id, status }) => [
        status === 'running' || status === 'finished' ? 1 : 0,
        { ...taskLabels(id), status },
      ]),
  },
  {
    name: 'millrace_records_read',
    type: 'counter',
    unit: 'records',
    labels: task,
    help: 'Records the task read; equals the sum over all outcomes of millrace_records_done.',
    samples: perTask((t) => t.counters.read),
  },
  {
    name: 'millrace_records_done',
    type: 'counter',
    unit: 'records',
    labels: [...task, 'outcome'],
    help: 'Records the task finished, by outcome: processed, dead_lettered, late, skipped, shed or expired.',
    samples: ({ tasks }) =>
      tasks.flatMap((one) =>
        Object.entries(outcomes).map(([outcome, value]): Sample => [
          value(one),
          { ...taskLabels(one.id), outcome },
        ]),
      ),
  },
  {
    name: 'millrace_records_emitted',
    type: 'counter',
    unit: 'records',
    labels: task,
    help: 'Records the task wrote to topics.',
    samples: perTask((t) => t.counters.emitted),
  },
  {
    name: 'millrace_lag_records',
    type: 'gauge',
    unit: 'records',
    labels: task,
    help: 'Records committed upstream that the task has not read yet; an upper bound.',
    samples: perTask((t) => t.lag),
  },
  {
    name: 'millrace_watermark_seconds',
    type: 'gauge',
    unit: 'seconds',
    labels: task,
    help: 'Event time up to which the task has seen everything, as Unix time.',
    samples: perTask((t) => (t.watermark === undefined ? undefined : t.watermark / 1000)),
  },
  {
    name: 'millrace_state_keys',
    type: 'gauge',
    unit: 'keys',
    labels: task,
    help: 'Entries in the stores of the task.',
    samples: perTask((t) => t.stateKeys),
  },
  {
    name: 'millrace_state_bytes',
    type: 'gauge',
    unit: 'bytes',
    labels: task,
    help: 'Memory that the stores of the task count against their limit.',
    samples: perTask((t) => t.stateBytes),
  },
  {
    name: 'millrace_delivery_latency_seconds',
    type: 'gauge',
    unit: 'seconds',
    labels: [...task, 'percentile'],
    help: 'Time from the append of a record to its delivery by a sink, since the worker started; upper bounds.',
    samples: ({ tasks }) =>
      tasks.flatMap(({ id, delivery }) =>
        delivery === undefined || delivery.counts.every((count) => count === 0)
          ? []
          : quantiles(deliveryQuantiles(delivery), taskLabels(id)),
      ),
  },
  {
    name: 'millrace_delivery_failures',
    type: 'counter',
    unit: '1',
    labels: task,
    help: 'Attempts of a sink that failed and were repeated, since the worker started.',
    samples: perTask((t) => t.delivery?.failures),
  },
  {
    name: 'millrace_topic_appended_records',
    type: 'counter',
    unit: 'records',
    labels: ['topic', 'kind'],
    help: 'Offsets given out in the topic, over all partitions.',
    samples: ({ topics }) =>
      topics.map(({ name, kind, appended }) => [appended, { topic: name, kind }]),
  },
  {
    name: 'millrace_topic_kept_records',
    type: 'gauge',
    unit: 'records',
    labels: ['topic', 'kind'],
    help: 'Offsets between the earliest and the next of the topic; an upper bound of what can be read.',
    samples: ({ topics }) => topics.map(({ name, kind, kept }) => [kept, { topic: name, kind }]),
  },
  {
    name: 'millrace_commits',
    type: 'counter',
    unit: 'commits',
    labels: ['worker'],
    help: 'Commits of the worker since it started.',
    samples: ({ workers }) =>
      workers.map(({ slot, commits }) => [commits, { worker: String(slot) }]),
  },
  {
    name: 'millrace_commit_latency_seconds',
    type: 'gauge',
    unit: 'seconds',
    labels: ['worker', 'percentile'],
    help: 'Time from handing a commit over to its being durable, since the worker started.',
    samples: ({ workers }) =>
      workers.flatMap(({ slot, commitSeconds }) =>
        quantiles(commitSeconds, { worker: String(slot) }),
      ),
  },
  {
    name: 'millrace_worker_restarts',
    type: 'counter',
    unit: 'restarts',
    labels: ['worker'],
    help: 'Times the worker died or was ended, and was replaced.',
    samples: ({ workers }) =>
      workers.map(({ slot, restarts }) => [restarts, { worker: String(slot) }]),
  },
  {
    name: 'millrace_http_requests',
    type: 'counter',
    unit: 'requests',
    labels: ['status'],
    help: 'HTTP answers by status code.',
    samples: ({ http }) =>
      Object.entries(http.answers).map(([status, count]) => [count, { status }]),
  },
  {
    name: 'millrace_http_latency_seconds',
    type: 'gauge',
    unit: 'seconds',
    labels: ['percentile'],
    help: 'Time from the request line to the end of the answer, since the start, without those who follow a topic.',
    samples: ({ http }) => quantiles(http.seconds, {}),
  },
  {
    name: 'millrace_disk_free_bytes',
    type: 'gauge',
    unit: 'bytes',
    labels: [],
    help: 'Free on the file system of the data directory.',
    samples: ({ disk }) => [[disk.freeBytes, {}]],
  },
  {
    name: 'millrace_scrub_damaged_files',
    type: 'gauge',
    unit: 'files',
    labels: [],
    help: 'Files in which reading again what was written long ago found damage; at most 100 are counted.',
    samples: ({ scrub }) => [[scrub?.damaged.length, {}]],
  },
  {
    name: 'millrace_scrub_done_bytes',
    type: 'gauge',
    unit: 'bytes',
    labels: [],
    help: 'What the pass under way, or else the last one, has read again.',
    samples: ({ scrub }) => [[scrub?.doneBytes, {}]],
  },
  {
    name: 'millrace_scrub_pass_bytes',
    type: 'gauge',
    unit: 'bytes',
    labels: [],
    help: 'What that pass has to read in all.',
    samples: ({ scrub }) => [[scrub?.totalBytes, {}]],
  },
  {
    name: 'millrace_scrub_last_pass_seconds',
    type: 'gauge',
    unit: 'seconds',
    labels: [],
    help: 'When the last pass over everything ended, as Unix time; absent before the first has.',
    samples: ({ scrub }) => [
      [scrub?.lastPassAt === undefined ? undefined : scrub.lastPassAt / 1_000, {}],
    ],
  },
  {
    name: 'process_resident_memory_bytes',
    type: 'gauge',
    unit: 'bytes',
    labels: [],
    help: 'Resident memory of the process.',
    samples: ({ process }) => [[process.residentBytes, {}]],
  },
  {
    name: 'process_cpu_seconds',
    type: 'counter',
    unit: 'seconds',
    labels: [],
    help: 'CPU time of the process, user and system.',
    samples: ({ process }) => [[process.cpuSeconds, {}]],
  },
  {
    name: 'process_start_time_seconds',
    type: 'gauge',
    unit: 'seconds',
    labels: [],
    help: 'When the process started, as Unix time.',
    samples: ({ process }) => [[process.startedSeconds, {}]],
  },
]

/** Seconds. */
export const ingestBounds: readonly number[] = [0.001, 0.01, 0.1, 1, 10].flatMap((decade) =>
  [1, 1.5, 2, 3, 4, 5, 7].map((step) => Number((decade * step).toPrecision(2))),
)

export const histograms: readonly HistogramMetric[] = [
  {
    name: 'millrace_ingest_request_seconds',
    type: 'histogram',
    unit: 'seconds',
    labels: ['status'],
    help: 'Time from the headers of a request that brings events to the end of its answer, by status.',
    bounds: ingestBounds,
    samples: ({ http }) =>
      Object.entries(http.ingest).map(([status, buckets]) => [buckets, { status }]),
  },
]

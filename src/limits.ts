/**
 * Every bound in one place, with the relations between bounds asserted at load. Sizes are bytes, times milliseconds.
 * Those a user may change are options with these as defaults; the rest are fixed parts of the design.
 */
const KiB = 1024
const MiB = 1024 * KiB

export const limits = {
  /** One event's value. */
  eventBytes: 1 * MiB,
  /** One key, in bytes. */
  keyBytes: 8 * KiB,
  /** Nesting of one event; checked before it is parsed. */
  jsonDepth: 64,
  /** One HTTP body, as received and as inflated. */
  bodyBytes: 5 * MiB,
  bodyInflatedBytes: 5 * MiB,
  /** An inflated body may be this many times its compressed size. */
  inflateRatio: 200,
  bodyEvents: 100_000,
  /** A body with more refused events than this is refused as a whole, so that the answer stays small. */
  bodyRefusals: 1_000,
  /** Dead letters that one body may become; past it the body is refused as a whole. */
  bodyLetterBytes: 2 * MiB,
  /** What the largest answer takes in the session of its producer. */
  bodyAnswerBytes: 512 * KiB,
  headerBytes: 16 * KiB,
  headersTimeoutMs: 10_000,
  requestTimeoutMs: 30_000,
  connections: 4_096,
  /** Bodies being received by all connections together; past it the answer is 429. */
  receivingBytes: 256 * MiB,
  /** A body that arrives more slowly than this, on average after the first seconds, is given up. */
  bodyBytesPerSecond: 1 * KiB,
  bodyGraceMs: 5_000,
  /** Ingest requests waiting for their commit, in bytes, per worker; past it the answer is 429. */
  ingestQueueBytes: 64 * MiB,
  /** How long they shall wait where more is asked for than a worker can do: as many as it answers in this time. */
  ingestWaitMs: 40,
  /** So many requests may wait for a worker all the same. */
  ingestWaiting: 64,

  /** One commit (DESIGN section 2). */
  commitBytes: 16 * MiB,
  /** Its sections: blocks, watermarks and changes of stores, each of one partition. Bounds the head of a frame to 3 MiB. */
  commitSections: 65_536,
  /** What one task may stage before it must let a commit happen. */
  taskStageBytes: 4 * MiB,
  /** Rows and bytes of one batch of a stage. */
  batchRows: 16_384,
  batchBytes: 2 * MiB,
  /** The longest a worker stages before it commits, while there is more to read. */
  commitIntervalMs: 20,

  segmentBytes: 64 * MiB,
  checkpointBytes: 64 * MiB,
  topicNameBytes: 200,
  /** Name of a pipeline, an operator or a sink; topics are called after several of them. */
  nameBytes: 64,
  partitions: 1_024,

  producerSessionMs: 7 * 24 * 60 * 60 * 1000,
  producerSessions: 1_000_000,
  producerAnswers: 5,
  /** Answers of one producer kept for its retries, in bytes; the last one is kept whatever its size. */
  producerAnswerBytes: 64 * KiB,

  stateBytes: 512 * MiB,
  snapshotBytes: 32 * MiB,
  watchdogMs: 30_000,
  /** What was written long ago is read again so fast, and again so long after the end of the pass before. */
  scrubBytesPerSecond: 8 * MiB,
  scrubEveryMs: 24 * 60 * 60 * 1000,

  /** One delivery to a sink, unless the sink asks for less. */
  deliverRows: 1_000,
  deliverBytes: 1 * MiB,
  /** Deliveries of one sink under way at once on one worker, each of another partition. */
  deliverInFlight: 8,
  /** A sink that fails is tried again after this, doubled each time up to the longest, with jitter. */
  deliverBackoffMs: 100,
  deliverBackoffMaxMs: 30_000,
  /** A sink that has not answered for so long is shown as one that does not. */
  deliverSilenceMs: 30_000,
  /** How long a delivery under way may hold up the closing of its sink. */
  deliverCloseMs: 5_000,
  /** What retention spares for a sink that does not take it, where the sink does not say. */
  holdMs: 7 * 24 * 60 * 60 * 1000,
  holdBytes: 4 * 1024 * MiB,
  /** Clients that follow topics or the live page at once, over HTTP and WebSocket. */
  followers: 256,
  /** What is read for one client in one turn. */
  followerBatchBytes: 64 * KiB,
  /** A client is sent nothing more while this much waits in its socket, and closed when none of it moves for so long. */
  followerBufferBytes: 1 * MiB,
  followerStuckMs: 10_000,
  /** Clients send us nothing of size. */
  followerMessageBytes: 4 * KiB,
  /** Something is sent to a quiet client this often, so that both sides notice a dead connection. */
  followerBeatMs: 15_000,
  sinkColumns: 500,
  sinkColumnName: 255,
} as const

if (limits.taskStageBytes * 2 > limits.commitBytes)
  throw new Error('a commit must hold at least two full tasks')
if (limits.eventBytes * 2 > limits.taskStageBytes)
  throw new Error('a task must be able to stage at least two of the largest events')
if (limits.commitBytes * 2 > limits.segmentBytes)
  throw new Error('a segment must hold at least two of the largest commits')
if (
  2 * limits.bodyInflatedBytes +
    24 * limits.bodyEvents +
    limits.bodyLetterBytes +
    limits.bodyAnswerBytes >
  limits.commitBytes
)
  throw new Error(
    'a commit must hold the largest body: values, keys as long as them, lengths and timestamps',
  )
if (limits.bodyBytes > limits.receivingBytes)
  throw new Error('the largest body must fit what may be received')
if (limits.bodyBytes > limits.ingestQueueBytes)
  throw new Error('the ingest queue must hold at least the largest body')

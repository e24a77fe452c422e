/**
 * The one table of errors: a code says what happened, its kind says what to do.
 *
 * Codes: MR1xxx input and ingest, MR2xxx log and disk, MR3xxx pipeline and plan, MR4xxx processing and state,
 * MR5xxx sinks and connectors, MR6xxx runtime, CLI and client. A code is never reused. The documentation page
 * `docs/reference/errors.md` is checked against this table in both directions.
 */

/**
 * - `invalid`: the caller's input or configuration is wrong; repeating it will fail again.
 * - `unavailable`: not now; repeat later (with backoff).
 * - `conflict`: something else holds or has what was asked for.
 * - `data`: stored data cannot be read or does not mean what it should; an operator must look.
 * - `fenced`: a newer owner took over; this one must stop.
 * - `internal`: a bug in Millrace.
 */
export type ErrorKind = 'invalid' | 'unavailable' | 'conflict' | 'data' | 'fenced' | 'internal'

export interface ErrorEntry {
  readonly kind: ErrorKind
  /** What happened, in one line, without values. */
  readonly title: string
  /** What the reader should do. */
  readonly advice: string
  /** HTTP status where it reaches a client. */
  readonly status?: number
}

export const errorTable = {
  MR1001: {
    kind: 'invalid',
    title: 'The event is not valid JSON',
    advice: 'Send one JSON object per event, in UTF-8.',
    status: 400,
  },
  MR1002: {
    kind: 'invalid',
    title: 'The event is not valid UTF-8',
    advice: 'Encode events in UTF-8.',
    status: 400,
  },
  MR1003: {
    kind: 'invalid',
    title: 'The event is nested too deep',
    advice: 'Send a flatter event.',
    status: 400,
  },
  MR1004: {
    kind: 'invalid',
    title: 'The event has a key __proto__',
    advice:
      'Rename the key: programs that copy such an object can be made to change their own prototypes.',
    status: 400,
  },
  MR1005: {
    kind: 'invalid',
    title: 'The event has a key twice in one object',
    advice: 'Send each key once: readers of JSON do not agree on which of two counts.',
    status: 400,
  },
  MR1020: {
    kind: 'invalid',
    title: 'The event is too large',
    advice: 'Send less per event, or keep large content elsewhere and send its address.',
    status: 413,
  },
  MR1021: {
    kind: 'invalid',
    title: 'The event does not have the shape of the schema',
    advice: 'Send the fields and types that the schema of the topic names.',
    status: 400,
  },
  MR1022: {
    kind: 'invalid',
    title: 'The key of the event is missing',
    advice: 'Send the key field: it decides the partition.',
    status: 400,
  },
  MR1023: {
    kind: 'invalid',
    title: 'The key of the event cannot be a key',
    advice:
      'Send a string of well-formed Unicode, a boolean, or a number that JavaScript holds exactly.',
    status: 400,
  },
  MR1024: {
    kind: 'invalid',
    title: 'The key of the event is too long',
    advice: 'Use a shorter key.',
    status: 400,
  },
  MR1025: {
    kind: 'invalid',
    title: 'The time of the event is missing',
    advice: 'Send the time field: an ISO 8601 date and time with zone, or milliseconds since 1970.',
    status: 400,
  },
  MR1026: {
    kind: 'invalid',
    title: 'The time of the event cannot be read',
    advice: 'Send an ISO 8601 date and time with zone, or milliseconds since 1970.',
    status: 400,
  },
  MR1027: {
    kind: 'invalid',
    title: 'The time of the event is too far in the future',
    advice: 'Check the clock of the sender, or whether the number is in milliseconds.',
    status: 400,
  },
  MR1028: {
    kind: 'invalid',
    title: 'The body is not what its content type says',
    advice:
      'Send one JSON object, a JSON array of objects, or one JSON object per line (application/x-ndjson).',
    status: 400,
  },
  MR1029: {
    kind: 'invalid',
    title: 'The body has too many events',
    advice: 'Send fewer events per request.',
    status: 413,
  },
  MR1030: {
    kind: 'invalid',
    title: 'The body is too large',
    advice: 'Send fewer events per request.',
    status: 413,
  },
  MR1031: {
    kind: 'invalid',
    title: 'The body inflates beyond all proportion',
    advice: 'Send it uncompressed, or in smaller bodies.',
    status: 413,
  },
  MR1032: {
    kind: 'invalid',
    title: 'The content encoding is not supported',
    advice: 'Send the body as it is, or with `Content-Encoding: gzip`.',
    status: 415,
  },
  MR1033: {
    kind: 'invalid',
    title: 'The compressed body is damaged',
    advice: 'Compress it again: one gzip stream with nothing behind it.',
    status: 400,
  },
  MR1034: {
    kind: 'invalid',
    title: 'The content type is not supported',
    advice: 'Send `Content-Type: application/json` or `application/x-ndjson`, in UTF-8.',
    status: 415,
  },
  MR1035: {
    kind: 'invalid',
    title: 'There is no such topic',
    advice:
      'Check the name; topics are declared by the streams and tables of the running pipelines.',
    status: 404,
  },
  MR1036: {
    kind: 'invalid',
    title: 'The method is not allowed here',
    advice: 'Use the method that the Allow header names.',
    status: 405,
  },
  MR1037: {
    kind: 'invalid',
    title: 'The headers are too large',
    advice: 'Send fewer or shorter headers.',
    status: 431,
  },
  MR1038: {
    kind: 'invalid',
    title: 'The request took too long to arrive',
    advice: 'Send the body faster, or in smaller requests.',
    status: 408,
  },
  MR1039: {
    kind: 'unavailable',
    title: 'Too many events wait for their commit',
    advice: 'Send the same request again after the seconds that Retry-After names.',
    status: 429,
  },
  MR1040: {
    kind: 'unavailable',
    title: 'Too many connections are open',
    advice: 'Reuse connections, or try again later.',
    status: 503,
  },
  MR1041: {
    kind: 'unavailable',
    title: 'The topic takes no events now',
    advice: 'Send the same request again after the seconds that Retry-After names.',
    status: 503,
  },
  MR1042: {
    kind: 'unavailable',
    title: 'It is not known whether the events were stored',
    advice:
      'Send the same request again; with a producer id and sequence number it is accepted once only.',
    status: 503,
  },
  MR1044: {
    kind: 'conflict',
    title: 'The sequence number skips over a request',
    advice: 'Send the missing requests first, in order and one at a time.',
    status: 409,
  },
  MR1045: {
    kind: 'fenced',
    title: 'A newer epoch of this producer is at work',
    advice: 'Stop this producer, or open it again with a higher epoch and sequence 0.',
    status: 409,
  },
  MR1046: {
    kind: 'conflict',
    title: 'The session of this producer is not known, or no more',
    advice:
      'Open the producer again: with a higher epoch and sequence 0. Whether earlier unanswered requests were stored cannot be told any more.',
    status: 410,
  },
  MR1047: {
    kind: 'conflict',
    title: 'The request was stored before, and its answer is no longer kept',
    advice: 'Do not send it again: its events are stored.',
    status: 409,
  },
  MR1048: {
    kind: 'invalid',
    title: 'The producer headers are not complete',
    advice:
      'Send Millrace-Producer (1 to 100 characters of A-Z a-z 0-9 . _ : -), Millrace-Epoch and Millrace-Sequence (whole numbers).',
    status: 400,
  },
  MR1049: {
    kind: 'unavailable',
    title: 'Too many producers have a session',
    advice: 'Reuse producer ids, or wait until sessions expire.',
    status: 503,
  },
  MR1050: {
    kind: 'invalid',
    title: 'Too many events of one body are refused',
    advice:
      'Nothing of the body was stored. Fix the events that the verdicts name and send it again.',
    status: 400,
  },
  MR1051: {
    kind: 'invalid',
    title: 'The Host header is not one of this server',
    advice: 'Use the address the server listens on; a web page of another site must not reach it.',
    status: 421,
  },
  MR1053: {
    kind: 'invalid',
    title: 'The request is not HTTP as it should be',
    advice: 'Send a well-formed HTTP/1.1 request.',
    status: 400,
  },
  MR1060: {
    kind: 'invalid',
    title: 'The source cannot be opened',
    advice: 'Check the path and its permissions.',
  },
  MR1061: {
    kind: 'data',
    title: 'The position of the source means nothing to it any more',
    advice: 'Look at what happened to its data; start it again under another name to begin anew.',
  },
  MR1062: {
    kind: 'invalid',
    title: 'Host metrics can be read on Linux only',
    advice: 'Run it on Linux, or leave this source out.',
  },
  MR1063: {
    kind: 'invalid',
    title: 'An option of a source has a value it cannot have',
    advice: 'See the documentation of the source for its options, units and limits.',
  },
  MR1064: {
    kind: 'data',
    title: 'The file went away before it was read to its end',
    advice:
      'Keep rotated files beside it, under names that begin with its own, until they are read.',
  },
  MR5001: {
    kind: 'data',
    title: 'The record is not a JSON object',
    advice:
      'Look at its bytes in the dead letters; whoever writes to the topic must write JSON objects.',
  },
  MR5002: {
    kind: 'conflict',
    title: 'The sink holds a position in another log',
    advice:
      'Give this pipeline a fresh target, put the old data directory back, or delete the stored position to start over.',
  },
  MR5003: {
    kind: 'fenced',
    title: 'A newer owner writes to this sink',
    advice:
      'Nothing is lost: the newer owner goes on. Resume the task if there is no other owner any more.',
  },
  MR5004: {
    kind: 'data',
    title: 'The position stored in the sink does not fit the log',
    advice:
      'Put back the target or the data directory that belong together, or delete the stored position to start over.',
  },
  MR5005: {
    kind: 'invalid',
    title: 'The target cannot be used by this sink',
    advice: 'Change the target or the options of the sink, then resume the task.',
  },
  MR5006: {
    kind: 'data',
    title: 'The sink refuses the row',
    advice: 'Repair the row or the target, then replay the dead letter.',
  },
  MR5007: {
    kind: 'unavailable',
    title: 'The sink does not take records now',
    advice: 'It is tried again by itself; look at the target.',
  },
  MR5008: {
    kind: 'data',
    title: 'Retention removed records before the sink took them',
    advice:
      'Resume the task to go on from the earliest record; the lost ones are counted as expired. A larger `hold` keeps more.',
  },
  MR5009: {
    kind: 'invalid',
    title: 'An option of the sink is wrong',
    advice: 'Change the option in the pipeline file.',
  },
  MR5010: {
    kind: 'invalid',
    title: 'The webhook wants no more records',
    advice:
      'The receiver answered 410 Gone. Remove the sink, or resume the task when the receiver is back.',
  },
  MR5011: {
    kind: 'invalid',
    title: 'The address of the webhook is not public',
    advice: 'Set `allowPrivate: true` if the receiver is your own.',
  },
  MR6030: {
    kind: 'unavailable',
    title: 'Too many clients follow topics',
    advice: 'Close some, or try again later.',
    status: 503,
  },
  MR6031: {
    kind: 'invalid',
    title: 'A page of another site may not connect',
    advice: 'Open the page from this server; programs that are no browser send no Origin.',
    status: 403,
  },
  MR6050: {
    kind: 'invalid',
    title: 'The producer is closed',
    advice: 'Create a new one.',
  },
  MR6051: {
    kind: 'unavailable',
    title: 'The events could not be delivered in time',
    advice: 'Check that the engine runs and can be reached; send them again.',
  },
  MR6052: {
    kind: 'invalid',
    title: 'An option of the client has a value it cannot have',
    advice: 'See the documentation of the client for its options, units and limits.',
  },
  MR6053: {
    kind: 'data',
    title: 'The answer is not one of Millrace',
    advice: 'Check that the address is that of a Millrace engine.',
  },
  MR2001: {
    kind: 'conflict',
    title: 'Another process holds the data directory',
    advice: 'Stop the other engine, or use another data directory.',
  },
  MR2002: {
    kind: 'data',
    title: 'Committed data in the log is damaged',
    advice:
      'Nothing was changed. Restore the file it names from a copy, or have an operator look at it.',
  },
  MR2003: {
    kind: 'data',
    title: 'The data directory holds files of another log',
    advice: 'Nothing was changed. Move the foreign file away, or use the directory it belongs to.',
  },
  MR2004: {
    kind: 'data',
    title: 'The data directory was written by a newer version',
    advice: 'Nothing was changed. Use that version of Millrace, or a newer one.',
  },
  MR2005: {
    kind: 'data',
    title: 'Committed data cannot be read',
    advice: 'It is never skipped: look at the disk, then restart.',
  },
  MR2006: {
    kind: 'fenced',
    title: 'A newer writer took over',
    advice: 'This one must stop; what it staged is dropped.',
  },
  MR2007: {
    kind: 'unavailable',
    title: 'The disk is full',
    advice:
      'Free some space: the log goes on by itself. Nothing of this was written; send it again then.',
    status: 507,
  },
  MR2008: {
    kind: 'unavailable',
    title: 'The disk failed while the log was written',
    advice:
      'The outcome is unknown; the engine stops and decides at its next start. Send it again then.',
    status: 503,
  },
  MR2009: {
    kind: 'unavailable',
    title: 'The log is closed',
    advice: 'Nothing of this was written. Send it again when the engine is up.',
    status: 503,
  },
  MR2010: {
    kind: 'conflict',
    title: 'A topic of this name has another specification',
    advice: 'Choose another name, or delete the topic first.',
    status: 409,
  },
  MR2011: {
    kind: 'invalid',
    title: 'There is no such topic or partition',
    advice: 'See `millrace topics list`.',
    status: 404,
  },
  MR2012: {
    kind: 'invalid',
    title: 'The topic cannot be created like this',
    advice:
      'Names are 1 to 200 of a-z A-Z 0-9 . _ - and neither . nor ..; partitions are a power of two, at most 1024.',
    status: 400,
  },
  MR2013: {
    kind: 'invalid',
    title: 'The commit is larger than a commit may be',
    advice: 'Commit more often, with fewer records at a time.',
    status: 413,
  },
  MR2014: {
    kind: 'data',
    title: 'The position lies outside the log',
    advice:
      'It belongs to another log or another life of this one: reset the position on purpose, never by default.',
  },
  MR2015: {
    kind: 'unavailable',
    title: 'The data directory cannot be opened',
    advice: 'Check that it is there, that it is writable and that the disk works.',
  },
  MR2016: {
    kind: 'invalid',
    title: 'A position cannot be stored like this',
    advice: 'Offsets are whole numbers from 0; the metadata of a position has at most 16 KiB.',
  },
  MR4001: {
    kind: 'invalid',
    title: 'A function of the pipeline threw',
    advice: 'Fix the function or the record, then replay the dead letter.',
  },
  MR4002: {
    kind: 'invalid',
    title: 'A function of the pipeline returned a promise',
    advice: 'Functions of the pipeline are synchronous: return the value itself.',
  },
  MR4003: {
    kind: 'invalid',
    title: 'A function of the pipeline returned something that is not a row',
    advice: 'Return a plain object that JSON can hold (flatMap: an array of them).',
  },
  MR4004: {
    kind: 'invalid',
    title: 'The key of a row is missing or cannot be a key',
    advice:
      'Key by a field that holds a string, a number or a boolean; filter rows without it before.',
  },
  MR4005: {
    kind: 'invalid',
    title: 'An aggregate met a value that is not a finite number',
    advice: 'Aggregate a numeric field; rows without the field are left out by themselves.',
  },
  MR4006: {
    kind: 'invalid',
    title: 'A record of the topic is not a JSON object in UTF-8',
    advice: 'Fix the program that writes to the topic, then replay or drop the dead letter.',
  },
  MR4007: {
    kind: 'invalid',
    title: 'A record of the topic does not have the shape of the schema',
    advice: 'Fix the program that writes to the topic, or the schema, then replay the dead letter.',
  },
  MR4008: {
    kind: 'invalid',
    title: 'The time of a record is out of bounds',
    advice: 'Check the clock of the sender; the record stays in the dead letters.',
  },
  MR4009: {
    kind: 'invalid',
    title: 'A function of the pipeline did not return for this record',
    advice: 'Fix the function, then replay the dead letter.',
  },
  MR4010: {
    kind: 'unavailable',
    title: 'The state of a task is larger than its limit',
    advice:
      'Use fewer keys or a shorter window and lateness, or raise `state` in the options of the pipeline; then start the engine again: the task goes on from its last commit. A time to live (TTL) for state, and state in RocksDB, do not exist yet.',
  },
  MR4011: {
    kind: 'data',
    title: 'The state of a task cannot be restored',
    advice:
      'Nothing was changed. Bring back the snapshot files, or delete the data directory to start anew.',
  },
  MR4012: {
    kind: 'data',
    title: 'Retention removed records that a task had not read',
    advice:
      'Keep the topic for longer; resuming the task goes on behind the gap and counts it as expired.',
  },
  MR4013: {
    kind: 'invalid',
    title: 'A row is too large for a topic',
    advice: 'Select fewer fields, or keep large content elsewhere and pass its address on.',
  },
  MR4014: {
    kind: 'invalid',
    title: 'A replayed record does not fit the running pipeline',
    advice:
      'The operator it failed in is gone: drop the letter, or send the record to its topic again.',
  },
  MR4015: {
    kind: 'internal',
    title: 'Plan and pipeline do not belong together',
    advice: 'This is a bug in Millrace: please report it with the message.',
  },
  MR4016: {
    kind: 'conflict',
    title: 'The state in the log belongs to another version of the pipeline',
    advice:
      'Give the aggregate another name to begin anew, or bring back what it computed before; nothing was changed.',
  },
  MR4017: {
    kind: 'data',
    title: 'A task stands behind the end of what it reads',
    advice:
      'The topic is another than the one it read before. Restore the data directory as a whole, or begin with a new one.',
  },
  MR6000: {
    kind: 'internal',
    title: 'An invariant does not hold',
    advice: 'This is a bug in Millrace: please report it with the message.',
    status: 500,
  },
  MR3001: {
    kind: 'invalid',
    title: 'The schema cannot be used',
    advice:
      'Give a TypeBox schema, a JSON Schema object, or a validator that implements Standard Schema (zod, valibot, arktype).',
  },
  MR3002: {
    kind: 'invalid',
    title: 'The schema changes the event',
    advice:
      'Events come out of a schema as they go in: take the transform, coercion or default out, and use map() or derive() after the stream.',
  },
  MR3003: {
    kind: 'invalid',
    title: 'The schema validates asynchronously',
    advice:
      'Schemas run inside the event loop, event by event: move the check to a system that the sink or the producer asks.',
  },
  MR3004: {
    kind: 'invalid',
    title: 'The schema has a type that JSON does not have',
    advice:
      'Use strings, numbers, booleans, null, objects and arrays; a date is an ISO 8601 string or a number of milliseconds.',
  },
  MR3010: {
    kind: 'invalid',
    title: 'The name cannot be used',
    advice:
      'Names have letters, digits, `_` and `-` (topics also `.`), begin with a letter or digit, and have at most 64 characters (topics 200).',
  },
  MR3011: {
    kind: 'invalid',
    title: 'The name is used twice',
    advice: 'Give one of the two another name: names are the identity of what is stored.',
  },
  MR3012: {
    kind: 'invalid',
    title: 'The field is not in the row, or has the wrong type',
    advice: 'Name a field the schema has, with dots for fields inside fields.',
  },
  MR3013: {
    kind: 'invalid',
    title: 'The duration or size cannot be read',
    advice:
      'Write a number and a unit: ms, s, m, h, d for durations, B, KB, MB, GB, TB for sizes; or a whole number of milliseconds or bytes.',
  },
  MR3014: {
    kind: 'invalid',
    title: 'An option of the pipeline has a value it cannot have',
    advice: 'Use a value the message names.',
  },
  MR3015: {
    kind: 'invalid',
    title: 'The function cannot give its result at once',
    advice:
      'Operators call functions event by event and wait for nothing: use a plain function, and enrich() with a table for data from elsewhere.',
  },
  MR3016: {
    kind: 'invalid',
    title: 'The argument is of the wrong kind',
    advice: 'See the types: an editor shows what the operator takes.',
  },
  MR3017: {
    kind: 'invalid',
    title: 'A key is needed here',
    advice: 'Give the stream a key, or call keyBy() first.',
  },
  MR3018: {
    kind: 'invalid',
    title: 'The pipeline is used outside its definition',
    advice: 'Use streams and tables only inside the function of the pipeline they were made in.',
  },
  MR3020: {
    kind: 'conflict',
    title: 'Two definitions of a topic do not agree',
    advice:
      'Pipelines that share a topic give it the same schema, key, time and number of partitions: import both from one file.',
  },
  MR3021: {
    kind: 'conflict',
    title: 'Two pipelines have the same name',
    advice: 'Rename one: the name is the identity of its state and positions.',
  },
  MR3090: {
    kind: 'invalid',
    title: 'The pipeline file does not parse',
    advice: 'Fix the syntax error in the file it names.',
  },
  MR3091: {
    kind: 'invalid',
    title: 'The pipeline file uses TypeScript syntax that Node cannot strip',
    advice: 'Use only erasable syntax (no enum, namespace, parameter property or decorator).',
  },
  MR3092: {
    kind: 'invalid',
    title: 'The file does not export a pipeline',
    advice: "Write `export default pipeline('name', (p) => { ... })`.",
  },
  MR3093: {
    kind: 'invalid',
    title: 'The pipeline file, or a file it imports, is not there',
    advice: 'Check the path; imports of TypeScript files end in `.ts`.',
  },
  MR3094: {
    kind: 'invalid',
    title: 'The pipeline file failed while it was loaded',
    advice: 'Fix the error its top level throws.',
  },
  MR3095: {
    kind: 'invalid',
    title: 'The pipeline file did not finish loading in time',
    advice: 'Its top level must end: remove the endless loop or the await that never resolves.',
  },
  MR3096: {
    kind: 'conflict',
    title: 'The pipeline file gives another plan in each thread',
    advice: 'Its top level must not depend on the time, on randomness or on the thread it runs in.',
  },
  MR3097: {
    kind: 'conflict',
    title: 'Two topics are served at one path',
    advice: 'Give each http source, and each websocket sink, a path of its own.',
  },
  MR6001: {
    kind: 'conflict',
    title: 'The port is in use',
    advice: 'Choose another with --port, or 0 for any free port.',
  },
  MR6002: {
    kind: 'invalid',
    title: 'An option has a value it cannot have',
    advice: 'Add --help to the command for its options, their units and limits.',
  },
  MR6003: {
    kind: 'unavailable',
    title: 'No engine runs on this data directory',
    advice: 'Start one with `millrace run`, or name its directory with --data-dir.',
    status: 503,
  },
  MR6004: {
    kind: 'unavailable',
    title: 'The engine is not ready for this',
    advice: 'Send the same request again after the seconds that Retry-After names.',
    status: 503,
  },
  MR6005: {
    kind: 'unavailable',
    title: 'A worker died',
    advice:
      'It is replaced and goes on from its last commit; if it dies again, see the cause in its message.',
    status: 503,
  },
  MR6006: {
    kind: 'unavailable',
    title: 'A worker was stuck in user code and was ended',
    advice:
      'Look for an endless loop or a very slow call in the function it names, or raise --watchdog.',
    status: 503,
  },
  MR6007: {
    kind: 'unavailable',
    title: 'A worker ran out of memory',
    advice:
      'Raise --worker-memory, lower the state limit of the pipeline, or use fewer, smaller windows.',
    status: 503,
  },
  MR6008: {
    kind: 'internal',
    title: 'The log thread ended',
    advice:
      'The engine stops at once, so that nothing is acknowledged that is not durable; start it again.',
    status: 503,
  },
  MR6009: {
    kind: 'invalid',
    title: 'This request may come only from this machine',
    advice: 'Use the command line on the machine of the engine.',
    status: 403,
  },
  MR6010: {
    kind: 'invalid',
    title: 'There is nothing of this name',
    advice:
      'List what is there with `millrace topics list`, `millrace lag` or `millrace dlq list`.',
    status: 404,
  },
  MR6011: {
    kind: 'invalid',
    title: 'The request does not say what is needed',
    advice:
      'The message says what. `docs/reference/http.md` and `docs/reference/cli.md` have all parameters.',
    status: 400,
  },
  MR6012: {
    kind: 'unavailable',
    title: 'Windows is not supported yet',
    advice: 'Use Linux, or macOS for development; the Windows Subsystem for Linux works too.',
  },
  MR6013: {
    kind: 'invalid',
    title: 'The engine has nothing to run',
    advice: 'Name at least one pipeline file that loads.',
  },
  MR6014: {
    kind: 'conflict',
    title: 'A running pipeline uses the topic',
    advice: 'Start the engine without that pipeline, then delete the topic.',
    status: 409,
  },
  MR6015: {
    kind: 'unavailable',
    title: 'A worker cannot be ended',
    advice:
      'Only ending the process ends it, so the engine stops at once; everything acknowledged is durable. Start it again, and look for a call in user code that blocks its whole thread.',
    status: 503,
  },
} as const satisfies Record<string, ErrorEntry>

export type ErrorCode = keyof typeof errorTable

/**
 * An operating error. `message` names the value, the limit and the fix; match on `code`, not on the message.
 */
export class MillraceError extends Error {
  readonly code: ErrorCode
  readonly kind: ErrorKind
  readonly details: Readonly<Record<string, unknown>>

  /** `what` is a full sentence that names the value and the limit; the table's advice is added to it. */
  constructor(
    code: ErrorCode,
    what: string,
    options: { cause?: unknown; details?: Record<string, unknown> } = {},
  ) {
    const entry: ErrorEntry = errorTable[code]
    super(
      `${code}: ${what} ${entry.advice}`,
      options.cause === undefined ? undefined : { cause: options.cause },
    )
    this.name = 'MillraceError'
    this.code = code
    this.kind = entry.kind
    this.details = options.details ?? {}
  }

  /** The HTTP status for this error; 500 where the table names none. */
  get status(): number {
    const entry: ErrorEntry = errorTable[this.code]
    return entry.status ?? 500
  }

  toJSON(): {
    code: ErrorCode
    kind: ErrorKind
    message: string
    details: Readonly<Record<string, unknown>>
  } {
    return { code: this.code, kind: this.kind, message: this.message, details: this.details }
  }
}

/** Rebuilds an error that crossed a thread or a socket as `toJSON` made it. */
export function reviveError(json: {
  code: string
  message: string
  details?: Record<string, unknown>
}): MillraceError {
  const code: ErrorCode = json.code in errorTable ? (json.code as ErrorCode) : 'MR6000'
  const error = new MillraceError(
    code,
    '',
    json.details === undefined ? {} : { details: json.details },
  )
  error.message = json.message
  return error
}

/** Processing and state: MR4xxx. */
import type { ErrorEntry } from './entry.ts'

export const processErrors = {
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
  MR4018: {
    kind: 'invalid',
    title: "A function failed, and its operator stops the task then (onError: 'fail')",
    advice:
      'Fix the function and start the engine again; where the cause was outside the file, `millrace resume` is enough. The task goes on with this record.',
  },
} as const satisfies Record<string, ErrorEntry>

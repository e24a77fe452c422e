/** Sinks and connectors: MR5xxx. */
import type { ErrorEntry } from './entry.ts'

export const sinkErrors = {
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
      'Give the sink a fresh target, put the old data directory back, or delete the stored position and resume the sink: it starts over.',
  },
  MR5003: {
    kind: 'fenced',
    title: 'A newer owner writes to this sink',
    advice:
      'Nothing is lost: the newer owner goes on. Where there is none, the data directory is an older copy: put the newer one back, or delete the stored position and resume the sink.',
  },
  MR5004: {
    kind: 'data',
    title: 'The position stored in the sink does not fit the log',
    advice:
      'Put back the target or the data directory that belong together, or delete the stored position and resume the sink: it starts over.',
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
  MR5012: {
    kind: 'unavailable',
    title: 'The sink does not answer',
    advice:
      'Look at the target. What is under way is not sent again until it answers or the engine starts again; the log keeps what comes after it.',
  },
} as const satisfies Record<string, ErrorEntry>

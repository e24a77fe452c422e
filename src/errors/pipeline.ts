/** Pipeline and plan: MR3xxx. */
import type { ErrorEntry } from './entry.ts'

export const pipelineErrors = {
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
  MR3022: {
    kind: 'invalid',
    title: 'Nothing can be shed here',
    advice:
      'Give `shed` to a stream that the pipeline works on. What comes in, tables, topics between stages, and what a sink reads of a stream itself are never shed.',
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
} as const satisfies Record<string, ErrorEntry>

/** Input and ingest: MR1xxx. */
import type { ErrorEntry } from './entry.ts'

export const ingestErrors = {
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
    kind: 'unavailable',
    title: 'The source cannot be read now',
    advice: 'Look at the path and its permissions; it is tried again by itself.',
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
} as const satisfies Record<string, ErrorEntry>

/** Runtime, command line and client: MR6xxx. */
import type { ErrorEntry } from './entry.ts'

export const runtimeErrors = {
  MR6000: {
    kind: 'internal',
    title: 'An invariant does not hold',
    advice: 'This is a bug in Millrace: please report it with the message.',
    status: 500,
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
  MR6016: {
    kind: 'data',
    title: 'A file of the engine in the data directory cannot be read',
    advice:
      'It is no part of the log. Restore it, or remove it: without plans.json commands know no plans until the next start, without paused.json nothing is paused.',
  },
  MR6017: {
    kind: 'unavailable',
    title: 'This Node is too old',
    advice: 'Install a newer Node; `npx -y node@24` has one for a single command.',
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
    advice:
      'Open the page from this server, or start the engine with --allow-origin and the origin of the page.',
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
} as const satisfies Record<string, ErrorEntry>

/** The demo's command line. */
import { parseArgs } from 'node:util'

export interface DemoOptions {
  readonly seconds: number
  readonly rate: number
  readonly crash: boolean
  readonly json: boolean
}

const help = `npm run demo -- [options]

  --for SECONDS   how long events are produced (default 20; 8 to 3600)
  --rate N        user actions per second (default 20000; 100 to 200000)
  --no-crash      do not kill the engine half way
  --json          print one JSON object at the end and nothing else
  --help          this text
`

export function demoOptions(args: string[]): DemoOptions {
  try {
    const { values } = parseArgs({
      args,
      options: {
        for: { type: 'string', default: '20' },
        rate: { type: 'string', default: '20000' },
        'no-crash': { type: 'boolean', default: false },
        json: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    })
    if (values.help) {
      process.stdout.write(help)
      process.exit(0)
    }
    return {
      seconds: bounded('--for', values.for, 8, 3600),
      rate: bounded('--rate', values.rate, 100, 200_000),
      crash: !values['no-crash'],
      json: values.json,
    }
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n\n${help}`)
    process.exit(2)
  }
}

function bounded(name: string, text: string, min: number, max: number): number {
  const value = Number(text)
  if (!Number.isFinite(value) || value < min || value > max) {
    throw new Error(`${name} is ${text}; give a number from ${min} to ${max}.`)
  }
  return value
}

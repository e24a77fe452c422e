import { parseArgs } from 'node:util'

/**
 * The options of a script that all take a number, by name; those not given are not in it. What is wrong is said in a line,
 * with `usage`, and ends the script with exit status 2.
 */
export function numbers<Name extends string>(
  usage: string,
  names: readonly Name[],
): Partial<Record<Name, number>> {
  try {
    const options = Object.fromEntries(names.map((name) => [name, { type: 'string' }] as const))
    const found: Partial<Record<Name, number>> = {}
    const { values } = parseArgs({ options })
    for (const name of names) {
      const text = values[name]
      if (typeof text !== 'string') continue
      const value = text.trim() === '' ? Number.NaN : Number(text)
      if (!(value >= 0)) throw new Error(`--${name} takes a number; got "${text}".`)
      found[name] = value
    }
    return found
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${usage}`)
    process.exit(2)
  }
}

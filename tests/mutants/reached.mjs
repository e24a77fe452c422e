// Loaded before a test, the threads and the processes that it starts: keeps which places they come to.
import { appendFileSync } from 'node:fs'
import { join } from 'node:path'

const seen = new Set()

globalThis.reached = (number) => {
  const test = process.env.REACH_TEST
  if (!test || seen.has(number)) return
  seen.add(number)
  appendFileSync(join(process.env.REACH_FOLDER, encodeURIComponent(test)), `${number}\n`)
}

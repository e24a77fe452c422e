import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8'
import { realTimers } from '../core/env/real/time.ts'

const { after } = realTimers()
/** Half of it is in use at a time. */
const enoughBytes = 16 * 2 ** 20
const growingMs = 50
const grownMs = 1_000
let begun = false

/**
 * Lets the young generation of this thread grow to about 32 MiB. Under thousands of requests a second it would become
 * 128 MiB, which nobody counts when they say what the process may take, and is not faster. A program cannot bound it for
 * its first thread when it starts; what V8 goes by when it grows can be changed at any time, for all threads. Those
 * that start later therefore begin with the size they may have. In quiet hours V8 makes it smaller: then it may grow
 * again.
 */
export function boundYoungGeneration(): void {
  if (begun) return
  begun = true
  setFlagsFromString('--min-semi-space-size=8')
  look()
}

function look(): void {
  const young = getHeapSpaceStatistics().find(({ space_name }) => space_name === 'new_space')
  const grown = young !== undefined && young.space_size >= enoughBytes
  setFlagsFromString(`--semi-space-growth-factor=${grown ? 1 : 2}`)
  after(grown ? grownMs : growingMs, look)
}

import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8'
import { realTimers } from '../core/env/real/time.ts'

const { after } = realTimers()
/** Half of it is in use at a time. */
const enoughBytes = 16 * 2 ** 20
const lookEveryMs = 20

/**
 * Lets the young generation of this thread grow to 32 MiB at most. Under thousands of requests a second it would become
 * 128 MiB, which nobody counts when they say what the process may take, and is not faster. A program cannot bound it for
 * its first thread when it starts; what V8 goes by when it grows can be changed at any time, for all threads. Those
 * that start later therefore begin with the size they may have.
 */
export function boundYoungGeneration(): void {
  setFlagsFromString('--min-semi-space-size=8')
  look()
}

function look(): void {
  const young = getHeapSpaceStatistics().find(({ space_name }) => space_name === 'new_space')
  if (young !== undefined && young.space_size >= enoughBytes)
    setFlagsFromString('--semi-space-growth-factor=1')
  else after(lookEveryMs, look)
}

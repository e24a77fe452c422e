import type { Env } from '../env.ts'
import { realDisk } from './disk.ts'
import { realNet } from './net.ts'
import { realRandom } from './random.ts'
import { realClock, realTimers } from './time.ts'

/** The machine itself. Every thread may have one of its own; they share nothing but the machine. */
export function realEnv(): Env {
  return {
    clock: realClock(),
    random: realRandom(),
    timers: realTimers(),
    disk: realDisk(),
    net: realNet(),
  }
}

/** What an engine would find at its start, without changing anything: recovery's own code, up to where it would write. */
import { DiskError } from '../../core/env/env.ts'
import type { Disk } from '../../core/env/env.ts'
import { MillraceError } from '../../errors.ts'
import { decideChain, decideLayout } from './decide.ts'
import { gatherChain, gatherLayout, refusal, scanAll } from './facts.ts'
import type { Layout } from './facts.ts'
import { fileName } from './format.ts'
import type { LogState } from './state.ts'
import { runSteps } from './steps.ts'
import type { Steps } from './steps.ts'

export interface Startable {
  readonly starts: true
  readonly layout: Layout
  readonly state: LogState
  /** Bytes behind the last sound frame, which would be moved to `quarantine/`, and the file they are in. */
  readonly torn: { readonly file: string; readonly at: number; readonly bytes: number } | undefined
}

export type StartCheck = Startable | { readonly starts: false; readonly error: MillraceError }

/** An engine that runs may remove or finish a file between our looking and our reading: then look again, this often. */
const ATTEMPTS = 3

export function checkStart(disk: Disk, directory: string): StartCheck {
  for (let attempt = 1; ; attempt++) {
    try {
      return runSteps(recoverable(disk, directory))
    } catch (error) {
      if (!(error instanceof MillraceError) && !(error instanceof DiskError)) throw error
      if (attempt < ATTEMPTS) continue
      if (error instanceof MillraceError) return { starts: false, error }
      const what = `Reading ${directory} failed: ${error.message}.`
      return { starts: false, error: new MillraceError('MR2015', what, { cause: error }) }
    }
  }
}

function* recoverable(disk: Disk, directory: string): Steps<Startable> {
  const layout = decideLayout(yield* gatherLayout(disk, directory))
  if (layout.decision === 'refuse') throw refusal(directory, layout)
  if (layout.decision === 'create') throw new MillraceError('MR2015', `${directory} holds no log.`)
  const { state, last, size } = yield* scanAll(disk, directory, layout)
  const chain = yield* gatherChain(disk, directory, layout, state.removedTo)
  const whole = decideChain(chain.facts, state.removedTo)
  if (whole.decision === 'refuse') throw refusal(directory, whole)
  const { id, end } = last.map
  const torn = size > end ? { file: fileName(id), at: end, bytes: size - end } : undefined
  return { starts: true, layout, state, torn }
}

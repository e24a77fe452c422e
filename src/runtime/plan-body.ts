import type { MessagePortLike } from '../core/port.ts'
import { loadError } from './load-pipeline.ts'
import type { LoadedPipeline } from './load-pipeline.ts'
import type { FromPlanThread, PlanThreadData } from './messages.ts'

export interface PlanSurroundings {
  /** To main. */
  readonly port: MessagePortLike
  readonly data: PlanThreadData
  /** Loads a module of the user's. */
  readonly load: (url: string) => LoadedPipeline | Promise<LoadedPipeline>
}

/** Loads each user module once and says what plan it makes. */
export async function runPlanning({ port, data, load }: PlanSurroundings): Promise<void> {
  const say = (message: FromPlanThread): void => port.postMessage(message)
  for (const url of data.urls) {
    say({ type: 'loading', url })
    try {
      const { plan } = await load(url)
      say({ type: 'planned', planned: { url, plan } })
    } catch (error) {
      say({ type: 'planned', planned: { url, error: loadError(url, error).toJSON() } })
    }
  }
}

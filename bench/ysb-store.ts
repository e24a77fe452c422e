/** The stored events of the Yahoo streaming benchmark. */
import definition from './pipeline-ysb.ts'
import { store } from './stored.ts'
import type { Stored } from './stored.ts'
import {
  adCount,
  adId,
  campaignId,
  campaignOf,
  choices,
  epoch,
  eventJson,
  windowMs,
} from './workload.ts'

export const seed = 1

/** Fills a directory; gives the number of records that its stage will read, those of the table included. */
export async function storeYsb(directory: string, count: number): Promise<number> {
  await store(directory, definition, 'ads', ads())
  // One event in every partition that closes all windows.
  const time = epoch + count + 10 * windowMs
  const last = { user: 0, page: 0, ad: 0, type: 'click', time, amount: 0 } as const
  const closing = { key: adId(0), json: eventJson(last, 0), time }
  return adCount + (await store(directory, definition, 'events', events(count), closing))
}

function* events(count: number): Generator<Stored> {
  let n = 0
  for (const choice of choices(seed, count))
    yield { key: adId(choice.ad), json: eventJson(choice, n++), time: choice.time }
}

function* ads(): Generator<Stored> {
  for (let ad = 0; ad < adCount; ad++) {
    const json = JSON.stringify({ ad_id: adId(ad), campaign_id: campaignId(campaignOf(ad)) })
    yield { key: adId(ad), json, time: epoch }
  }
}

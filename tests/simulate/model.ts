/**
 * What must come out, computed the slow and obvious way from what went in: plain loops over arrays, nothing of the product.
 * The order of events in each partition of the source topic is given; everything else follows from it.
 */

export interface SourceEvent {
  readonly id: string
  readonly user: string
  readonly page: string
  readonly kind: string
  readonly value: number
  readonly at: number
}

export interface WindowRules {
  readonly sizeMs: number
  readonly latenessMs: number
}

export interface Rules {
  readonly boundMs: number
  readonly pages: WindowRules
  readonly users: WindowRules
}

export interface Totals {
  n: number
  total: number
  low: number
  high: number
}

export interface Windows {
  /** By `key|window start in milliseconds`. */
  readonly totals: Map<string, Totals>
  /** Ids, in order per partition of the source. */
  readonly late: string[][]
}

export interface Expected {
  /** Ids of rows that passed `where` and `filter`, per partition of the source. */
  readonly enriched: { readonly id: string; readonly plan: string }[][]
  /** Ids of clicks, per partition of the source. */
  readonly clicks: string[][]
  /** Ids that became dead letters. */
  readonly letters: string[]
  readonly pages: Windows
  readonly users: Windows
  /** Where the watermark of each source partition ends. */
  readonly watermarks: number[]
}

/** The pipeline's function throws for this value. */
export const poison = 666

/**
 * `idled`: events that the committed decisions about idle partitions made late, where there were such decisions; they
 * are taken as given, everything else is computed.
 */
export function expected(
  partitions: readonly (readonly SourceEvent[])[],
  plans: ReadonlyMap<string, string>,
  rules: Rules,
  idled: { readonly pages: ReadonlySet<string>; readonly users: ReadonlySet<string> },
): Expected {
  const result: Expected = {
    enriched: partitions.map(() => []),
    clicks: partitions.map(() => []),
    letters: [],
    pages: { totals: new Map(), late: partitions.map(() => []) },
    users: { totals: new Map(), late: partitions.map(() => []) },
    watermarks: [],
  }
  for (const [partition, events] of partitions.entries()) {
    let watermark = -Infinity
    for (const event of events) {
      if (event.kind === 'click') result.clicks[partition]!.push(event.id)
      if (event.kind === 'view') {
        if (event.value === poison) result.letters.push(event.id)
        else if (event.value % 5 !== 0) {
          const plan = plans.get(event.user) ?? 'none'
          result.enriched[partition]!.push({ id: event.id, plan })
          window(event, event.page, watermark, rules.pages, result.pages, partition, idled.pages)
          window(event, event.user, watermark, rules.users, result.users, partition, idled.users)
        }
      }
      if (event.at - rules.boundMs > watermark) watermark = event.at - rules.boundMs
    }
    result.watermarks.push(watermark)
  }
  return result
}

function window(
  event: SourceEvent,
  key: string,
  watermark: number,
  rules: WindowRules,
  into: Windows,
  partition: number,
  idled: ReadonlySet<string>,
): void {
  const start = Math.floor(event.at / rules.sizeMs) * rules.sizeMs
  if (watermark >= start + rules.sizeMs + rules.latenessMs || idled.has(event.id)) {
    into.late[partition]!.push(event.id)
    return
  }
  const name = `${key}|${start}`
  const totals = into.totals.get(name)
  if (totals === undefined) {
    into.totals.set(name, { n: 1, total: event.value, low: event.value, high: event.value })
    return
  }
  totals.n += 1
  totals.total += event.value
  totals.low = Math.min(totals.low, event.value)
  totals.high = Math.max(totals.high, event.value)
}

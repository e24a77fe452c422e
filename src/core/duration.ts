/** A time span: milliseconds, or a number with a unit: `500ms`, `30s`, `5m`, `12h`, `7d`. */
export type Duration = number | `${number}${'ms' | 's' | 'm' | 'h' | 'd'}`

const units: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
}

/** Whole milliseconds; undefined when it is no time span, is negative, or is past what a number holds exactly. */
export function durationMs(duration: Duration): number | undefined {
  if (typeof duration === 'number') return checked(duration)
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(duration)
  const unit = units[match?.[2] ?? '']
  return match === null || unit === undefined ? undefined : checked(Number(match[1]) * unit)
}

function checked(ms: number): number | undefined {
  const whole = Math.round(ms)
  return Number.isSafeInteger(whole) && whole >= 0 ? whole : undefined
}

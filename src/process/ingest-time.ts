/**
 * Event times: ISO 8601 dates and times, and milliseconds since 1970. Stricter than `Date.parse`, which accepts almost
 * anything, rolls the 31st of February over, and reads a time without a zone by the zone of the machine.
 */

const dayMs = 86_400_000
/** Years 0001 to 9999: what ISO 8601 writes in four digits. */
export const earliestTime = -62_135_596_800_000
export const latestTime = 253_402_300_799_999

/** Milliseconds since 1970; NaN when the value is neither such a number nor such a text. Fractions of a millisecond are cut off. */
export function readTime(value: unknown): number {
  if (typeof value === 'string') return parseIsoTime(value)
  if (typeof value !== 'number') return Number.NaN
  const ms = Math.floor(value)
  return ms >= earliestTime && ms <= latestTime ? ms : Number.NaN
}

/**
 * `2024-01-01`, `2024-01-01T10:20Z`, `2024-01-01T10:20:30.123456+02:00`, also with a space or a small t or z. A time of
 * day needs a zone; a date alone is its midnight in UTC. NaN for everything else.
 */
export function parseIsoTime(text: string): number {
  const length = text.length
  if (length < 10 || length > 40) return Number.NaN
  const year = digits2(text, 0) * 100 + digits2(text, 2)
  const month = digits2(text, 5)
  const day = digits2(text, 8)
  if (text.charCodeAt(4) !== dash || text.charCodeAt(7) !== dash) return Number.NaN
  if (!(year >= 1 && month >= 1 && month <= 12 && day >= 1 && day <= daysIn(year, month)))
    return Number.NaN
  const date = daysSince1970(year, month, day) * dayMs
  if (length === 10) return date
  const separator = text.charCodeAt(10) | 0x20
  if (separator !== 0x74 && text.charCodeAt(10) !== 0x20) return Number.NaN
  return date + timeOfDay(text)
}

const dash = 0x2d
const colon = 0x3a

/** From `THH:MM` on, zone included. */
function timeOfDay(text: string): number {
  const hour = digits2(text, 11)
  const minute = digits2(text, 14)
  if (!(hour <= 23 && minute <= 59) || text.charCodeAt(13) !== colon) return Number.NaN
  let ms = (hour * 60 + minute) * 60_000
  let at = 16
  if (text.charCodeAt(at) === colon) {
    const second = digits2(text, at + 1)
    if (!(second <= 59)) return Number.NaN
    ms += second * 1000
    at += 3
    if (text.charCodeAt(at) === 0x2e) {
      const first = ++at
      let scale = 100
      for (
        let code = text.charCodeAt(at);
        code >= 0x30 && code <= 0x39;
        code = text.charCodeAt(++at)
      ) {
        ms += (code - 0x30) * Math.floor(scale)
        scale /= 10
      }
      if (at === first) return Number.NaN
    }
  }
  return ms - zone(text, at)
}

/** Offset of `Z`, `+HH:MM`, `+HHMM` or `+HH` in milliseconds; it must end the text. */
function zone(text: string, at: number): number {
  const sign = text.charCodeAt(at)
  const rest = text.length - at
  if ((sign | 0x20) === 0x7a) return rest === 1 ? 0 : Number.NaN
  if (sign !== 0x2b && sign !== dash) return Number.NaN
  const minuteAt = rest === 6 && text.charCodeAt(at + 3) === colon ? at + 4 : at + 3
  if (rest !== 6 && rest !== 5 && rest !== 3) return Number.NaN
  if (rest === 6 && minuteAt === at + 3) return Number.NaN
  const hours = digits2(text, at + 1)
  const minutes = rest === 3 ? 0 : digits2(text, minuteAt)
  if (!(hours <= 23 && minutes <= 59)) return Number.NaN
  const ms = (hours * 60 + minutes) * 60_000
  return sign === dash ? -ms : ms
}

function digits2(text: string, at: number): number {
  const high = text.charCodeAt(at) - 0x30
  const low = text.charCodeAt(at + 1) - 0x30
  return high >= 0 && high <= 9 && low >= 0 && low <= 9 ? high * 10 + low : Number.NaN
}

const monthDays = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] as const

function daysIn(year: number, month: number): number {
  const leap = month === 2 && year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0)
  return (monthDays[month - 1] ?? 0) + (leap ? 1 : 0)
}

/** Days between 1970-01-01 and a date of the Gregorian calendar, counted in years that begin in March. */
function daysSince1970(year: number, month: number, day: number): number {
  const y = month <= 2 ? year - 1 : year
  const dayOfYear = Math.floor((153 * (month + (month > 2 ? -3 : 9)) + 2) / 5) + day - 1
  return (
    y * 365 + Math.floor(y / 4) - Math.floor(y / 100) + Math.floor(y / 400) + dayOfYear - 719_468
  )
}

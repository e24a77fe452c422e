import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { InvalidArgumentError } from '@commander-js/extra-typings'

/** For commander: a whole number in a range, said in the refusal. */
export function wholeNumber(
  least: number,
  most = Number.MAX_SAFE_INTEGER,
): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (text.trim() !== '' && Number.isInteger(value) && value >= least && value <= most)
      return value
    throw new InvalidArgumentError(
      most === Number.MAX_SAFE_INTEGER
        ? `It must be a whole number from ${least}.`
        : `It must be a whole number from ${least} to ${most}.`,
    )
  }
}

const units: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
}

/** For commander: `500ms`, `30s`, `5m`, `12h` or `7d`, in milliseconds. */
export function duration(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(text)
  const unit = units[match?.[2] ?? '']
  if (match === null || unit === undefined) {
    throw new InvalidArgumentError('It must be a number with a unit: 500ms, 30s, 5m, 12h or 7d.')
  }
  return Math.round(Number(match[1]) * unit)
}

const sizes: Readonly<Record<string, number>> = { '': 1, KB: 1_024, MB: 1_024 ** 2, GB: 1_024 ** 3 }

/** For commander: bytes, or `64KB`, `10MB`, `2GB` (powers of 1,024). */
export function size(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(KB|MB|GB)?$/.exec(text)
  const unit = sizes[match?.[2] ?? '']
  if (match === null || unit === undefined) {
    throw new InvalidArgumentError('It must be a number of bytes, or one with KB, MB or GB.')
  }
  return Math.round(Number(match[1]) * unit)
}

export function fileUrl(file: string): string {
  return file.startsWith('file:') ? file : pathToFileURL(resolve(file)).href
}

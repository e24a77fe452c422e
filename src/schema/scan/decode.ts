/** From a span to the value that JSON.parse would have given. */
import { parseJson } from '../json-parse.ts'
import { kinds } from './scanner.ts'

/** `start` and `end` as in a span. */
export function valueOf(memory: Buffer, kind: number, start: number, end: number): unknown {
  switch (kind) {
    case kinds.ascii:
      return memory.toString('latin1', start, end)
    case kinds.text:
      return memory.toString('utf8', start, end)
    case kinds.escaped:
      return JSON.parse(memory.toString('utf8', start - 1, end + 1))
    case kinds.number:
      return numberOf(memory, start, end)
    case kinds.true:
      return true
    case kinds.false:
      return false
    case kinds.null:
      return null
    case kinds.object:
    case kinds.array:
      return parseJson(memory.toString('utf8', start, end))
    default:
      return undefined
  }
}

/** Digits that a double holds exactly are added up here; anything else is for Number. */
const exactDigits = 15

function numberOf(memory: Buffer, start: number, end: number): number {
  const negative = memory[start] === 0x2d
  const first = negative ? start + 1 : start
  if (end - first > exactDigits) return Number(memory.toString('latin1', start, end))
  let sum = 0
  for (let i = first; i < end; i++) {
    const digit = memory[i]! - 0x30
    if (digit < 0 || digit > 9) return Number(memory.toString('latin1', start, end))
    sum = sum * 10 + digit
  }
  return negative ? -sum : sum
}

/**
 * JSON.parse, with the right keys.
 *
 * JSON.parse of Node 24 may take a key with an escape in it for another key: after `{"\\":1}` was parsed once anywhere
 * in the process, the object `{"\n":1}` comes back as `{"\\":1}`. It looks the raw text of the key up among the keys of
 * earlier objects (nodejs/node#63785). What is accepted, all values, and keys without escapes are right. So a text with
 * an escape in a key is put together here; others cost one search.
 */
export function parseJson(text: string): unknown {
  const value: unknown = JSON.parse(text)
  return hasEscapedKey(text) ? rebuild(text).value : value
}

const quote = 0x22
const backslash = 0x5c
const colon = 0x3a

/** Whether some key of valid JSON is written with a backslash. */
export function hasEscapedKey(text: string): boolean {
  for (let at = text.indexOf('\\'); at >= 0; at = text.indexOf('\\', at)) {
    at = stringEnd(text, at)
    while (isSpace(text.charCodeAt(at))) at += 1
    if (text.charCodeAt(at) === colon) return true
  }
  return false
}

/** Behind the quote that ends the string which `at` is inside of. */
function stringEnd(text: string, at: number): number {
  let end = at
  for (let unit = text.charCodeAt(end); unit !== quote; unit = text.charCodeAt(end)) {
    end += unit === backslash ? 2 : 1
  }
  return end + 1
}

function isSpace(unit: number): boolean {
  return unit === 0x20 || unit === 0x0a || unit === 0x0d || unit === 0x09
}

export interface Rebuilt {
  readonly value: unknown
  /** The first key found twice in one object; as in JSON.parse, the later value counts. */
  readonly twice: string | undefined
}

/** The value of valid JSON, made string by string. Slow, and safe at any depth. */
export function rebuild(text: string): Rebuilt {
  const open: (unknown[] | Record<string, unknown>)[] = []
  let root: unknown
  let key: string | undefined
  let twice: string | undefined
  const put = (value: unknown): void => {
    const into = open.at(-1)
    if (into === undefined) root = value
    else if (Array.isArray(into)) into.push(value)
    else if (key !== undefined) define(into, key, value)
    key = undefined
  }
  for (const piece of pieces(text)) {
    const into = open.at(-1)
    if (piece === '{' || piece === '[') {
      const container: unknown[] | Record<string, unknown> = piece === '[' ? [] : {}
      put(container)
      open.push(container)
    } else if (piece === '}' || piece === ']') {
      open.pop()
    } else if (into !== undefined && !Array.isArray(into) && key === undefined) {
      key = JSON.parse(piece) as string
      if (Object.hasOwn(into, key)) twice ??= key
    } else {
      put(JSON.parse(piece))
    }
  }
  return { value: root, twice }
}

function define(object: Record<string, unknown>, key: string, value: unknown): void {
  if (key !== '__proto__') object[key] = value
  else
    Object.defineProperty(object, key, {
      value,
      enumerable: true,
      configurable: true,
      writable: true,
    })
}

/** Brackets, strings and other scalars of valid JSON, without what stands between them. */
function* pieces(text: string): Generator<string> {
  for (let at = 0; at < text.length;) {
    const start = at
    const char = text.charAt(at)
    if (char === '"') at = stringEnd(text, at + 1)
    else if (separators.includes(char)) at += 1
    else while (at < text.length && !separators.includes(text.charAt(at))) at += 1
    if (!ignored.includes(char)) yield text.slice(start, at)
  }
}

const ignored = ',: \n\r\t'
const separators = `{}[]"${ignored}`

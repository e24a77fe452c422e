/**
 * AssemblyScript: where the fields of JSON rows lie. Built into src/schema/scan/wasm-binary.ts by `npm run wasm`. All tables
 * are laid out by src/schema/scan/wasm.ts, in a memory that it owns. Reads may go up to 16 bytes past a row's end, never
 * further; a row that does not end where it should is a miss, or odd.
 */

const QUOTE: u32 = 0x22
const BACKSLASH: u32 = 0x5c
const OPEN_BRACE: u32 = 0x7b
const CLOSE_BRACE: u32 = 0x7d
const OPEN_BRACKET: u32 = 0x5b
const CLOSE_BRACKET: u32 = 0x5d
const COMMA: u32 = 0x2c
const COLON: u32 = 0x3a

// Kinds of spans, as in scanner.ts.
const ASCII: u8 = 1
const TEXT: u8 = 2
const ESCAPED: u8 = 3
const NUMBER: u8 = 4
const OBJECT: u8 = 8
const ARRAY: u8 = 9

// Flags of rows, as in scanner.ts, and one that only wasm.ts sees.
const UNKNOWN: u8 = 1
const ODD: u8 = 2
const UNDECIDED: u8 = 128
/** Of a template: its rows do not have what they must be one of. */
const DROPPED: u8 = 64

// Slots of a template: 20 bytes each: literal, its length, what follows it, where its span goes, what it must be one of.
const SLOT: usize = 20
const STRING: u32 = 0
const SCALAR: u32 = 1
const ANY: u32 = 2
const OPENS: u32 = 3

let rowStarts: usize = 0
let rowEnds: usize = 0
let rowFlags: usize = 0
/** By row: 0 where it was dropped. */
let kept: usize = 0
let spanStarts: usize = 0
let spanEnds: usize = 0
let spanKinds: usize = 0
let maxRows: u32 = 0

export function configure(
  rows: u32,
  starts: usize,
  ends: usize,
  flags: usize,
  keptRows: usize,
  firsts: usize,
  lasts: usize,
  kinds: usize,
): void {
  maxRows = rows
  rowStarts = starts
  rowEnds = ends
  rowFlags = flags
  kept = keptRows
  spanStarts = firsts
  spanEnds = lasts
  spanKinds = kinds
}

@inline
function equal(a: usize, b: usize, length: usize): bool {
  let left = length
  while (left >= 16) {
    if (!i8x16.all_true(i8x16.eq(v128.load(a), v128.load(b)))) return false
    a += 16
    b += 16
    left -= 16
  }
  const wanted = (1 << <i32>left) - 1
  return (i8x16.bitmask(i8x16.eq(v128.load(a), v128.load(b))) & wanted) == wanted
}

/** High bits of the bytes that `stringEnd` went over last. */
let high: i32 = 0

/** The first quote or backslash from `at` on, or something at or behind `end`. */
@inline
function stringEnd(at: usize, end: usize): usize {
  let top: i32 = 0
  while (at < end) {
    const bytes = v128.load(at)
    const stop = i8x16.bitmask(
      v128.or(i8x16.eq(bytes, i8x16.splat(<i8>QUOTE)), i8x16.eq(bytes, i8x16.splat(<i8>BACKSLASH))),
    )
    if (stop != 0) {
      const n = ctz(stop)
      high = top | (i8x16.bitmask(bytes) & ((1 << n) - 1))
      return at + n
    }
    top |= i8x16.bitmask(bytes)
    at += 16
  }
  high = top
  return at
}

/** The closing quote of a string that has a backslash at `at`; `end` where there is none. */
function escapedEnd(at: usize, end: usize): usize {
  while (at < end) {
    const byte: u32 = load<u8>(at)
    if (byte == QUOTE) return at
    at += byte == BACKSLASH ? 2 : 1
  }
  return end
}

@inline
function isEnd(byte: u32): bool {
  return byte == COMMA || byte == CLOSE_BRACE || byte == CLOSE_BRACKET || byte <= 0x20
}

/** Behind a number, true, false or null. */
@inline
function scalarEnd(at: usize, end: usize): usize {
  while (at < end && !isEnd(load<u8>(at))) at++
  return at
}

/** 0 for what begins none. */
@inline
function scalarKind(first: u32): u8 {
  if (first - 0x30 < 10 || first == 0x2d) return NUMBER
  if (first == 0x74) return 5
  if (first == 0x66) return 6
  return first == 0x6e ? 7 : 0
}

/** Behind a value of any kind; 0 where it does not end before `end`. */
function valueEnd(at: usize, end: usize): usize {
  let depth = 0
  while (at < end) {
    const byte: u32 = load<u8>(at)
    if (byte == QUOTE) {
      at = stringEnd(at + 1, end)
      if (at < end && load<u8>(at) == BACKSLASH) at = escapedEnd(at, end)
      if (at >= end) return 0
      at++
    } else if (byte == OPEN_BRACE || byte == OPEN_BRACKET) {
      depth++
      at++
    } else if (byte == CLOSE_BRACE || byte == CLOSE_BRACKET) {
      if (depth == 0) return 0
      depth--
      at++
    } else if (depth == 0) {
      const stop = scalarEnd(at, end)
      return stop > at ? stop : 0
    } else {
      at++
      continue
    }
    if (depth == 0) return at
  }
  return 0
}

@inline
function kindOfValue(first: u32, from: usize, to: usize): u8 {
  if (first == OPEN_BRACE) return OBJECT
  if (first == OPEN_BRACKET) return ARRAY
  return scalarKind(first)
}

/** `column` is the place of a path's spans in the tables, row 0. */
@inline
function record(column: i32, row: u32, from: usize, to: usize, kind: u8): void {
  const i = <usize>column + row
  store<u32>(spanStarts + (i << 2), <u32>from)
  store<u32>(spanEnds + (i << 2), <u32>to)
  store<u8>(spanKinds + i, kind)
}

/** Whether the bytes are one of a set: {count, (address, length)*}. */
function isOneOf(set: usize, from: usize, length: u32): bool {
  const count = load<u32>(set)
  for (let i: u32 = 0; i < count; i++) {
    const entry = set + 4 + (i << 3)
    if (load<u32>(entry + 4) == length && equal(from, load<u32>(entry), length)) return true
  }
  return false
}

/**
 * Fits rows of `list` to a template, and writes those that do not fit to `misses`; returns how many. A template:
 * {slots, slots to look at, tail, its length, absent columns, flags of its rows}, then its slots, then its absent columns.
 */
export function scanTemplate(template: usize, list: usize, count: u32, misses: usize): u32 {
  const slots = load<u32>(template)
  const looked = load<u32>(template, 4)
  const tail: usize = load<u32>(template, 8)
  const tailLength: usize = load<u32>(template, 12)
  const absent = load<u32>(template, 16)
  const flags = <u8>load<u32>(template, 20)
  const fitting: u8 = (flags & DROPPED) == 0 ? 1 : 0
  const first = template + 24
  const absentColumns = first + <usize>slots * SLOT
  let missed: u32 = 0
  for (let i: u32 = 0; i < count; i++) {
    const row = load<u32>(list + (i << 2))
    let at: usize = load<u32>(rowStarts + (row << 2))
    const end: usize = load<u32>(rowEnds + (row << 2))
    let slot = first
    let state = 1
    let rowFlag = flags
    for (let s: u32 = 0; s < looked; s++, slot += SLOT) {
      const length: usize = load<u32>(slot, 4)
      if (at + length >= end || !equal(at, load<u32>(slot), length)) {
        state = 2
        break
      }
      at += length
      const what = load<u32>(slot, 8)
      const column = load<i32>(slot, 12)
      const from = at
      let kind: u8
      if (what == STRING) {
        at = stringEnd(at, end)
        kind = high == 0 ? ASCII : TEXT
        if (at < end && load<u8>(at) == BACKSLASH) {
          at = escapedEnd(at, end)
          kind = ESCAPED
        }
        if (at >= end) {
          state = 2
          break
        }
      } else if (what == SCALAR) {
        kind = scalarKind(load<u8>(at))
        at = scalarEnd(at, end)
        if (kind == 0 || at >= end) {
          state = 2
          break
        }
      } else if (what == ANY) {
        kind = kindOfValue(load<u8>(at), from, at)
        const stop = valueEnd(at, end)
        if (kind == 0 || stop == 0 || stop >= end) {
          state = 2
          break
        }
        at = stop
      } else if (what == OPENS) {
        record(column, row, from, from, OBJECT)
        continue
      } else {
        store<u32>(spanEnds + ((<usize>column + row) << 2), <u32>at)
        continue
      }
      if (column >= 0) record(column, row, from, at, kind)
      const set: usize = load<u32>(slot, 16)
      if (set != 0) {
        if (kind == ESCAPED) rowFlag |= UNDECIDED
        else if (kind > ESCAPED || !isOneOf(set, from, <u32>(at - from))) {
          state = 0
          break
        }
      }
    }
    if (state == 1 && looked == slots) {
      if (at + tailLength != end || !equal(at, tail, tailLength)) state = 2
    }
    if (state == 2) {
      store<u32>(misses + (missed << 2), row)
      missed++
      continue
    }
    store<u8>(rowFlags + row, rowFlag)
    store<u8>(kept + row, state == 1 ? fitting : 0)
    for (let a: u32 = 0; a < absent; a++)
      store<u8>(spanKinds + load<u32>(absentColumns + (a << 2)) + row, 0)
  }
  return missed
}

/** Rows of `list` whatever their order of keys and white space. `columns` paths are looked for by the tree of `root`. */
export function scanGeneral(root: usize, list: usize, count: u32, columns: u32): void {
  for (let i: u32 = 0; i < count; i++) {
    const row = load<u32>(list + (i << 2))
    for (let c: u32 = 0; c < columns; c++) store<u8>(spanKinds + c * maxRows + row, 0)
    store<u8>(rowFlags + row, UNDECIDED)
    store<u8>(kept + row, 1)
    const end: usize = load<u32>(rowEnds + (row << 2))
    const at = space(load<u32>(rowStarts + (row << 2)), end)
    const stop = at < end && load<u8>(at) == OPEN_BRACE ? object(root, at, end, row) : 0
    if (stop == 0 || space(stop, end) != end) flag(row, ODD)
  }
}

@inline
function space(at: usize, end: usize): usize {
  while (at < end && load<u8>(at) <= 0x20) at++
  return at
}

@inline
function flag(row: u32, bit: u8): void {
  store<u8>(rowFlags + row, load<u8>(rowFlags + row) | bit)
}

// Nodes of the tree: {children, 1 where no other names are known}, then 16 bytes each: name, its length, column or -1, node or 0.
const CHILD: usize = 16

/** The child of a name; most often it is the one behind the child before. 0 where there is none. */
@inline
function childOf(node: usize, hint: u32, name: usize, length: u32): usize {
  const count = load<u32>(node)
  for (let i: u32 = 0; i < count; i++) {
    let n = hint + i
    if (n >= count) n -= count
    const child = node + 8 + <usize>n * CHILD
    if (load<u32>(child, 4) == length && equal(name, load<u32>(child), length)) return child
  }
  return 0
}

/** Behind the object at `at`; 0 where it is none, or has something out of the ordinary. */
function object(node: usize, at: usize, end: usize, row: u32): usize {
  at = space(at + 1, end)
  if (at < end && load<u8>(at) == CLOSE_BRACE) return at + 1
  let hint: u32 = 0
  while (at < end && load<u8>(at) == QUOTE) {
    const name = at + 1
    const nameEnd = stringEnd(name, end)
    if (nameEnd >= end || load<u8>(nameEnd) == BACKSLASH) return 0
    at = space(nameEnd + 1, end)
    if (at >= end || load<u8>(at) != COLON) return 0
    at = space(at + 1, end)
    if (at >= end) return 0
    const child = childOf(node, hint, name, <u32>(nameEnd - name))
    if (child == 0) {
      if (load<u32>(node, 4) != 0) flag(row, UNKNOWN)
      at = valueEnd(at, end)
    } else {
      hint = <u32>((child - node - 8) / CHILD) + 1
      if (hint >= load<u32>(node)) hint = 0
      at = member(child, at, end, row)
    }
    if (at == 0) return 0
    at = space(at, end)
    if (at >= end) return 0
    const byte: u32 = load<u8>(at)
    if (byte == CLOSE_BRACE) return at + 1
    if (byte != COMMA) return 0
    at = space(at + 1, end)
  }
  return 0
}

/** Behind the value of a child; 0 as above. */
function member(child: usize, from: usize, end: usize, row: u32): usize {
  const column = load<i32>(child, 8)
  const inner: usize = load<u32>(child, 12)
  const first: u32 = load<u8>(from)
  if (first == QUOTE) {
    let at = stringEnd(from + 1, end)
    let kind = high == 0 ? ASCII : TEXT
    if (at < end && load<u8>(at) == BACKSLASH) {
      at = escapedEnd(at, end)
      kind = ESCAPED
    }
    if (at >= end) return 0
    if (column >= 0) record(column, row, from + 1, at, kind)
    return at + 1
  }
  const kind = kindOfValue(first, from, end)
  if (kind == 0) return 0
  // What lies inside an array is reached by no path of a scanner.
  if (kind == ARRAY && inner != 0) return 0
  const at = kind == OBJECT && inner != 0 ? object(inner, from, end, row) : valueEnd(from, end)
  if (at != 0 && column >= 0) record(column, row, from, at, kind)
  return at
}

// A dictionary: {entries, most entries, end of its texts, where these must end, slots - 1}, then slots of entry + 1, then
// entries: hash, address and length of a text.
const ENTRY: usize = 12

/**
 * The numbers of the ascii and text spans of a column in a dictionary, by row: equal texts have equal numbers. -1 for what is
 * no such text, and for texts that do not fit any more.
 */
export function intern(column: u32, list: usize, count: u32, dictionary: usize, into: usize): void {
  const most = load<u32>(dictionary, 4)
  const end = load<u32>(dictionary, 12)
  const mask = load<u32>(dictionary, 16)
  const slots = dictionary + 20
  const entries = slots + (<usize>(mask + 1) << 2)
  for (let i: u32 = 0; i < count; i++) {
    const row = load<u32>(list + (i << 2))
    const at = <usize>column + row
    const kind = load<u8>(spanKinds + at)
    let code = -1
    if (kind == ASCII || kind == TEXT) {
      const from: usize = load<u32>(spanStarts + (at << 2))
      const length = load<u32>(spanEnds + (at << 2)) - <u32>from
      const hashed = murmur2(from, length)
      // Keys of one partition have the low bits of their hashes in common.
      let place = ((hashed * 0x9e3779b1) >>> 16) & mask
      for (;;) {
        const found = load<u32>(slots + (<usize>place << 2))
        if (found == 0) {
          const known = load<u32>(dictionary)
          const text = load<u32>(dictionary, 8)
          // Comparing reads whole vectors.
          if (known == most || text + length + 16 > end) break
          const entry = entries + <usize>known * ENTRY
          store<u32>(entry, hashed)
          store<u32>(entry, text, 4)
          store<u32>(entry, length, 8)
          memory.copy(text, from, length)
          store<u32>(slots + (<usize>place << 2), known + 1)
          store<u32>(dictionary, known + 1)
          store<u32>(dictionary, text + length, 8)
          code = <i32>known
          break
        }
        const entry = entries + <usize>(found - 1) * ENTRY
        if (
          load<u32>(entry) == hashed &&
          load<u32>(entry, 8) == length &&
          equal(from, load<u32>(entry, 4), length)
        ) {
          code = <i32>found - 1
          break
        }
        place = (place + 1) & mask
      }
    }
    store<i32>(into + (row << 2), code)
  }
}

const M: u32 = 0x5bd1e995

@inline
function murmur2(at: usize, length: u32): u32 {
  let h: u32 = 0x9747b28c ^ length
  let left = length
  while (left >= 4) {
    let k = load<u32>(at) * M
    k ^= k >>> 24
    h = (h * M) ^ (k * M)
    at += 4
    left -= 4
  }
  if (left >= 3) h ^= (<u32>load<u8>(at, 2)) << 16
  if (left >= 2) h ^= (<u32>load<u8>(at, 1)) << 8
  if (left >= 1) h = (h ^ load<u8>(at)) * M
  h ^= h >>> 13
  h *= M
  return h ^ (h >>> 15)
}

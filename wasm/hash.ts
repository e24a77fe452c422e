/**
 * AssemblyScript: XXH64 with seed 0, as its specification says it (https://github.com/Cyan4973/xxHash, doc/xxhash_spec.md), in
 * pieces. Built into src/core/hash-binary.ts by `npm run wasm`.
 */

const P1: u64 = 0x9e3779b185ebca87
const P2: u64 = 0xc2b2ae3d27d4eb4f
const P3: u64 = 0x165667b19e3779f9
const P4: u64 = 0x85ebca77c2b2ae63
const P5: u64 = 0x27d4eb2f165667c5

let a: u64 = 0
let b: u64 = 0
let c: u64 = 0
let d: u64 = 0
let total: u64 = 0

@inline
function round(lane: u64, input: u64): u64 {
  return rotl(lane + input * P2, 31) * P1
}

@inline
function merge(hash: u64, lane: u64): u64 {
  return (hash ^ round(0, lane)) * P1 + P4
}

export function begin(): void {
  a = P1 + P2
  b = P2
  c = 0
  d = 0 - P1
  total = 0
}

/** Takes a piece whose length is a multiple of 32. */
export function update(from: usize, length: u32): void {
  const end = from + length
  total += length
  let w = a
  let x = b
  let y = c
  let z = d
  for (let at = from; at < end; at += 32) {
    w = round(w, load<u64>(at))
    x = round(x, load<u64>(at, 8))
    y = round(y, load<u64>(at, 16))
    z = round(z, load<u64>(at, 24))
  }
  a = w
  b = x
  c = y
  d = z
}

/** Takes the rest, fewer than 32 bytes, and gives the hash of all. */
export function finish(from: usize, length: u32): u64 {
  let hash = P5
  if (total > 0) {
    hash = rotl(a, 1) + rotl(b, 7) + rotl(c, 12) + rotl(d, 18)
    hash = merge(merge(merge(merge(hash, a), b), c), d)
  }
  hash += total + length
  let at = from
  const end = from + length
  while (at + 8 <= end) {
    hash = rotl(hash ^ round(0, load<u64>(at)), 27) * P1 + P4
    at += 8
  }
  if (at + 4 <= end) {
    hash = rotl(hash ^ ((<u64>load<u32>(at)) * P1), 23) * P2 + P3
    at += 4
  }
  while (at < end) {
    hash = rotl(hash ^ ((<u64>load<u8>(at)) * P5), 11) * P1
    at++
  }
  hash = (hash ^ (hash >>> 33)) * P2
  hash = (hash ^ (hash >>> 29)) * P3
  return hash ^ (hash >>> 32)
}

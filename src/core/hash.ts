/** Hashes: XXH64 for integrity of stored bytes, murmur2 for partitions (so that data keeps its place in Kafka). */
import { hashBinary } from './hash-binary.ts'
import { instantiate } from './wasm.ts'

interface Exports {
  begin(): void
  update(from: number, length: number): void
  finish(from: number, length: number): bigint
}

/** Sections are hashed piece by piece, so that a piece is still in the cache when it is looked at. */
const pieceBytes = 64 * 1024
const { wasm, memory } = instantiate<Exports>(hashBinary, pieceBytes)

/** XXH64 with seed 0. One call costs a copy into WASM memory: hash sections, not records. */
export function xxh64(bytes: Uint8Array): bigint {
  wasm.begin()
  let at = 0
  for (; bytes.length - at > pieceBytes; at += pieceBytes) {
    memory.set(bytes.subarray(at, at + pieceBytes))
    wasm.update(0, pieceBytes)
  }
  memory.set(at === 0 ? bytes : bytes.subarray(at))
  const left = bytes.length - at
  const whole = left - (left % 32)
  wasm.update(0, whole)
  return BigInt.asUintN(64, wasm.finish(whole, left - whole))
}

const M = 0x5bd1e995
const SEED = 0x9747b28c

/** murmur2 as Java's Kafka client computes it; a signed 32-bit integer. */
export function murmur2(bytes: Uint8Array): number {
  const length = bytes.length
  let h = SEED ^ length
  let i = 0
  for (; i + 4 <= length; i += 4) {
    let k = bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24)
    k = Math.imul(k, M)
    k ^= k >>> 24
    h = Math.imul(h, M) ^ Math.imul(k, M)
  }
  const rest = length - i
  if (rest >= 3) h ^= bytes[i + 2]! << 16
  if (rest >= 2) h ^= bytes[i + 1]! << 8
  if (rest >= 1) h = Math.imul(h ^ bytes[i]!, M)
  h ^= h >>> 13
  h = Math.imul(h, M)
  return h ^ (h >>> 15)
}

/** The partition of a key: the one Kafka's default partitioner would choose. */
export function partitionOf(key: Uint8Array, partitions: number): number {
  return (murmur2(key) & 0x7fffffff) % partitions
}

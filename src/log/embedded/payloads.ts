/**
 * Sections that the log itself reads: positions, changes of the catalog, checkpoints. They are JSON: small, few, and
 * readable with any tool. The decoders give undefined for anything that is not exactly what the encoders write.
 */
import { limits } from '../../limits.ts'
import type { TopicInfo } from '../log.ts'

export interface PositionEntry {
  readonly group: string
  readonly topic: number
  readonly partition: number
  readonly offset: number
  readonly meta: string
}

export type Change =
  | { readonly type: 'epoch'; readonly epoch: number }
  | { readonly type: 'topic'; readonly info: TopicInfo }
  | { readonly type: 'topic-deleted'; readonly topic: number }
  | { readonly type: 'writer'; readonly owner: string; readonly id: number; readonly epoch: number }
  | {
      readonly type: 'hold'
      readonly group: string
      readonly topic: number
      readonly ms: number
      readonly bytes: number
    }
  /** Records below `offset` are gone; `bytes` is what that frees of the topic's size. */
  | {
      readonly type: 'earliest'
      readonly topic: number
      readonly partition: number
      readonly offset: number
      readonly bytes: number
    }
  /** Segments that end at or below this LSN are removed: missing they are no loss, present they are to be deleted. */
  | { readonly type: 'removed'; readonly to: number }

const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { fatal: true })

export function encodeJson(value: unknown): Uint8Array {
  return encoder.encode(JSON.stringify(value))
}

export function decodeJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(decoder.decode(bytes))
  } catch {
    return undefined
  }
}

type Fields = Record<string, unknown>
export const isObject = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null
export const isWhole = (value: unknown): value is number =>
  Number.isSafeInteger(value) && (value as number) >= 0
const isText = (value: unknown): value is string => typeof value === 'string'

/** On disk a position is an array, so that the names of its fields are not repeated in every commit. */
export function encodePositions(positions: readonly PositionEntry[]): Uint8Array {
  return encodeJson(positions.map((p) => [p.group, p.topic, p.partition, p.offset, p.meta]))
}

export function decodePositions(bytes: Uint8Array): readonly PositionEntry[] | undefined {
  return positionsFrom(decodeJson(bytes))
}

export function positionsFrom(value: unknown): readonly PositionEntry[] | undefined {
  if (!Array.isArray(value)) return undefined
  const positions: PositionEntry[] = []
  for (const entry of value as unknown[]) {
    if (!Array.isArray(entry)) return undefined
    const [group, topic, partition, offset, meta] = entry as unknown[]
    if (
      !isText(group) ||
      !isWhole(topic) ||
      !isWhole(partition) ||
      !isWhole(offset) ||
      !isText(meta)
    )
      return undefined
    positions.push({ group, topic, partition, offset, meta })
  }
  return positions
}

export function decodeChanges(bytes: Uint8Array): readonly Change[] | undefined {
  const value = decodeJson(bytes)
  return Array.isArray(value) && value.every(isChange) ? value : undefined
}

function isChange(value: unknown): value is Change {
  if (!isObject(value)) return false
  switch (value['type']) {
    case 'epoch':
      return isWhole(value['epoch'])
    case 'topic':
      return isTopicInfo(value['info'])
    case 'topic-deleted':
      return isWhole(value['topic'])
    case 'writer':
      return isText(value['owner']) && isWhole(value['id']) && isWhole(value['epoch'])
    case 'hold':
      return (
        isText(value['group']) &&
        isWhole(value['topic']) &&
        isWhole(value['ms']) &&
        isWhole(value['bytes'])
      )
    case 'earliest':
      return ['topic', 'partition', 'offset', 'bytes'].every((name) => isWhole(value[name]))
    case 'removed':
      return isWhole(value['to'])
    default:
      return false
  }
}

export function isTopicInfo(value: unknown): value is TopicInfo {
  if (!isObject(value)) return false
  const optional = (name: string): boolean => value[name] === undefined || isWhole(value[name])
  return (
    isText(value['name']) &&
    isText(value['kind']) &&
    isWhole(value['id']) &&
    isWhole(value['partitions']) &&
    value['partitions'] > 0 &&
    value['partitions'] <= limits.partitions &&
    optional('retentionMs') &&
    optional('retentionBytes') &&
    (value['labels'] === undefined || isObject(value['labels']))
  )
}

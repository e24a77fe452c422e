/** What a client and the log's host say to each other over a Port. Both ends are this build, in one process. */
import type { MillraceError } from '../../errors.ts'
import type { TopicSpec } from '../log.ts'
import type { CommitRequest } from './plan-commit.ts'
import type { NewestSegment } from './segments.ts'

export type ErrorJson = ReturnType<MillraceError['toJSON']>

export type Call =
  | { readonly method: 'list'; readonly name: string | undefined }
  | { readonly method: 'create'; readonly spec: TopicSpec; readonly change: boolean }
  | { readonly method: 'delete'; readonly name: string }
  | { readonly method: 'offsets'; readonly name: string }
  | {
      readonly method: 'offsetAt'
      readonly name: string
      readonly partition: number
      readonly timeMs: number
    }
  | {
      readonly method: 'hold'
      readonly group: string
      readonly name: string
      readonly ms: number
      readonly bytes: number
    }
  | {
      readonly method: 'trim'
      readonly name: string
      readonly partition: number
      readonly before: number
    }
  | { readonly method: 'open'; readonly owner: string }
  | { readonly method: 'positions'; readonly group: string }
  | {
      readonly method: 'places'
      readonly from: readonly { topic: string; partition: number; offset: number }[]
    }

export type ToHost =
  /** `sleep` is the memory of its Sleep. */
  | { readonly type: 'hello'; readonly sleep: SharedArrayBuffer }
  | { readonly type: 'call'; readonly id: number; readonly call: Call }
  | { readonly type: 'commit'; readonly id: number; readonly request: CommitRequest }

export type CommitReply =
  | {
      readonly outcome: 'committed'
      readonly lsn: number
      readonly commitNumber: number
      readonly offsets: readonly number[]
    }
  | { readonly outcome: 'refused' | 'unknown'; readonly error: ErrorJson }

export type ToClient =
  | {
      readonly type: 'welcome'
      readonly published: SharedArrayBuffer
      readonly directory: string
      readonly uuid: Uint8Array
      /** Undefined while it holds what is not published. */
      readonly newest: NewestSegment | undefined
    }
  | { readonly type: 'answer'; readonly id: number; readonly value: unknown }
  | { readonly type: 'error'; readonly id: number; readonly error: ErrorJson }
  /** `payload` is the request's memory, given back to be used again. */
  | {
      readonly type: 'committed'
      readonly id: number
      readonly reply: CommitReply
      readonly payload: Uint8Array
    }
  | { readonly type: 'published' }
  /** Retention removed something. Earliest offsets that moved: pairs of place and offset; Infinity for a deleted topic. */
  | {
      readonly type: 'earliest'
      readonly moved: readonly (readonly [place: number, offset: number])[]
    }

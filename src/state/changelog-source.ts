/** The part of a log that state is restored from. State and log do not know each other: `Log` has this shape. */
import type { Arena } from '../core/arena.ts'
import type { MillraceError } from '../errors.ts'

export interface ChangelogPlace {
  readonly topic: string
  readonly partition: number
  readonly offset: number
}

export interface ChangelogBlock {
  readonly result: 'block'
  readonly kind: string
  readonly topic: string
  readonly partition: number
  readonly nextOffset: number
  readonly lsn: number
  /** Entries in the layout of changelog.ts, valid until the arena is reset. */
  readonly bytes: Uint8Array
}

export type ChangelogRead =
  | ChangelogBlock
  | { readonly result: 'caught-up' }
  | { readonly result: 'arena-full' }
  | {
      readonly result: 'gone'
      readonly topic: string
      readonly partition: number
      readonly earliest: number
    }
  | { readonly result: 'corrupt'; readonly error: MillraceError }

export interface ChangelogCursor {
  next(arena: Arena): ChangelogRead
  wait(signal?: AbortSignal): Promise<void>
  seek(from: ChangelogPlace): void
  close(): void
}

export interface ChangelogSource {
  readonly topics: {
    offsets(name: string): Promise<readonly { readonly next: number }[]>
    trim(name: string, partition: number, before: number): Promise<void>
  }
  reader(from: readonly ChangelogPlace[]): Promise<ChangelogCursor>
}

/** The part of a log that state is restored from. State and log do not know each other: `Log` has this shape. */
import type { Arena } from '../core/arena.ts'
import { MillraceError } from '../errors.ts'

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

/** State is whole or refused: what a changelog no longer has, a snapshot must hold. */
export function unreached(gone: Extract<ChangelogRead, { result: 'gone' }>): MillraceError {
  const what = `The changelog ${gone.topic}, partition ${gone.partition}, begins at offset ${gone.earliest}, and no valid snapshot reaches it.`
  return new MillraceError('MR4011', what)
}

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

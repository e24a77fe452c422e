/** Which records of a stream a task leaves out while it is too far behind, by the policy that the stream names. */
import { murmur2 } from '../core/hash.ts'
import type { Shed } from '../pipeline/shed.ts'
import { allHold } from './operators/where.ts'

export class Shedding {
  /** A record is surplus while its task has more than this to read of its partition, itself included. */
  readonly maxLag: number
  /** All that is surplus is left out, unread. */
  readonly unread: boolean
  /** Which values are wanted although they are surplus; undefined: any. */
  readonly wanted: ((value: unknown) => boolean) | undefined
  readonly #share: number
  readonly #place = new Uint8Array(16)
  readonly #view = new DataView(this.#place.buffer)

  constructor(shed: Shed) {
    this.maxLag = shed.maxLag
    this.unread = shed.policy === 'drop-oldest'
    this.wanted = shed.policy === 'priority' ? allHold(shed.keep) : undefined
    this.#share = shed.policy === 'sample' ? shed.keep : 1
  }

  /** Drawn by its place in the log: read again after a crash, a record is in the sample again, or again is not. */
  inSample(partition: number, offset: number): boolean {
    this.#view.setUint32(0, partition)
    this.#view.setFloat64(8, offset)
    return murmur2(this.#place) >>> 0 < this.#share * 2 ** 32
  }
}

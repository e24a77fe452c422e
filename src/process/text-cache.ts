/**
 * Texts that come again and again, as one string each: making a string costs more than finding it, and a Map finds a string
 * faster that it has met before. Each text has one place, and a newer one takes it.
 */
const places = 4_096
const longest = 64
/** So many texts are looked at before it is decided whether keeping them is worth it. */
const trial = 8_192

export class TextCache {
  #texts: (string | undefined)[] = []
  #asked = 0
  #met = 0

  /** The text of ASCII bytes. */
  text(bytes: Buffer, start: number, end: number): string {
    const length = end - start
    if (length > longest || (this.#asked >= trial && this.#met * 2 < this.#asked))
      return bytes.toString('latin1', start, end)
    const place = placeOf(bytes, start, length)
    const known = this.#texts[place]
    this.#asked++
    if (known !== undefined && known.length === length && isText(known, bytes, start)) {
      this.#met++
      return known
    }
    return (this.#texts[place] = bytes.toString('latin1', start, end))
  }
}

/** By the last eight bytes: names that count up differ there. */
function placeOf(bytes: Buffer, start: number, length: number): number {
  let hash = length
  for (let i = length > 8 ? length - 8 : 0; i < length; i++)
    hash = Math.imul(hash ^ bytes[start + i]!, 0x01000193)
  return (hash ^ (hash >>> 15)) & (places - 1)
}

function isText(text: string, bytes: Buffer, start: number): boolean {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) !== bytes[start + i]) return false
  return true
}

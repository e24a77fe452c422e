/** The bytes of a control block: u32 upstream task, u32 zero, f64 watermark; little-endian. */
export interface Control {
  readonly upstream: number
  readonly watermark: number
}

export function encodeControl(upstream: number, watermark: number): Uint8Array {
  const bytes = new Uint8Array(16)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, upstream, true)
  view.setFloat64(8, watermark, true)
  return bytes
}

/** Undefined when the bytes are no control block. */
export function decodeControl(bytes: Uint8Array): Control | undefined {
  if (bytes.length !== 16) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset, 16)
  return { upstream: view.getUint32(0, true), watermark: view.getFloat64(8, true) }
}

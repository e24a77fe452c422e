/** What lies where in a data directory, read by hand: nothing of src/ is asked. */

type Files = ReadonlyMap<string, Uint8Array>

const viewOf = (bytes: Uint8Array): DataView =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.length)

export interface MarkByHand {
  /** How the path of the marked segment ends. */
  readonly file: string
  readonly end: number
  readonly lsn: number
}

/** The newer slot of MARK. */
export function markIn(files: Files): MarkByHand {
  const view = viewOf([...files].find(([path]) => path.endsWith('/MARK'))![1])
  const slot =
    view.byteLength > 4_096 && view.getFloat64(4_096 + 56, true) > view.getFloat64(56, true)
      ? 4_096
      : 0
  const epoch = view.getUint32(slot + 28, true)
  const base = view.getFloat64(slot + 40, true)
  const [lsn, end] = [view.getFloat64(slot + 32, true), view.getFloat64(slot + 48, true)]
  return { file: `/${epoch}-${base}.seg`, end, lsn }
}

/** Whether a byte lies in frames that nobody was told about. */
export function isAbove(files: Files, { path, byte }: { path: string; byte: number }): boolean {
  const mark = markIn(files)
  return path.endsWith(mark.file) && byte >= mark.end
}

/** The frame, header, index or section of a segment or an archive that a byte lies in, and its LSN. */
export function frameAt(
  path: string,
  bytes: Uint8Array,
  byte: number,
): { readonly from: number; readonly to: number; readonly lsn: number | undefined } {
  const base = Number(/-(\d+)/.exec(path.slice(path.lastIndexOf('/')))?.[1])
  if (byte < 4_096) return { from: 0, to: 4_096, lsn: base }
  const view = viewOf(bytes)
  if (path.endsWith('.seg')) {
    for (let at = 4_096; at < bytes.length;) {
      const to = at + view.getFloat64(at + 48, true)
      if (byte < to) return { from: at, to, lsn: view.getFloat64(at + 8, true) }
      at = to
    }
  }
  if (path.endsWith('.arc')) {
    const sections = view.getUint32(4_096 + 68, true)
    const column = (width: number, i: number): number => 4_096 + 96 + sections * width + i * 8
    if (byte < column(68, 0)) return { from: 4_096, to: column(68, 0), lsn: base }
    for (let i = 0; i < sections; i++) {
      const from = view.getFloat64(column(24, i), true)
      const to = from + view.getUint32(4_096 + 96 + sections * 60 + i * 4, true)
      if (byte >= from && byte < to) return { from, to, lsn: view.getFloat64(column(32, i), true) }
    }
  }
  return { from: 0, to: 0, lsn: undefined }
}

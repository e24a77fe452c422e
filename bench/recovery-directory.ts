/** The data directory of recovery.ts, looked at from outside: files, and what `millrace log` says of them. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, existsSync, linkSync, mkdirSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const main = fileURLToPath(new URL('../src/cli/main.ts', import.meta.url))

interface Segment {
  readonly name: string
  readonly lsn: number
  readonly bytes: number
}

/** Segments in order of LSN. */
function segments(directory: string): Segment[] {
  const folder = join(directory, 'log')
  const all = readdirSync(folder).flatMap((name) => {
    const lsn = /^\d+-(\d+)\.seg$/.exec(name)?.[1]
    if (lsn === undefined) return []
    return [{ name, lsn: Number(lsn), bytes: statSync(join(folder, name)).size }]
  })
  return all.toSorted((a, b) => a.lsn - b.lsn)
}

/** LSN of the newest snapshot of each partition of each store that has one, by `<changelog>/<partition>`. */
function snapshots(directory: string): Map<string, number> {
  const newest = new Map<string, number>()
  const folder = join(directory, 'state')
  if (!existsSync(folder)) return newest
  for (const name of readdirSync(folder, { recursive: true }) as string[]) {
    const [, place, lsn] = /^(.+\/\d+)\/(\d+)\.snap$/.exec(name) ?? []
    if (place !== undefined) newest.set(place, Math.max(newest.get(place) ?? 0, Number(lsn)))
  }
  return newest
}

/** Bytes of whole segments behind the newest snapshot of any store: at least so much log has come since. */
export function bytesSinceSnapshot(directory: string): number {
  const newest = Math.max(0, ...snapshots(directory).values())
  return segments(directory).reduce((sum, { lsn, bytes }) => (lsn > newest ? sum + bytes : sum), 0)
}

/** Bytes of changelog that a restart has to read: those behind each store's newest snapshot. */
export async function changelogBytes(directory: string): Promise<number> {
  const newest = snapshots(directory)
  const args = ['--conditions=millrace-source', main, 'log', directory, '--json']
  const child = spawn(process.execPath, [...args, '--limit', '1000000000'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const ended = once(child, 'exit')
  let bytes = 0
  for await (const line of createInterface({ input: child.stdout })) {
    const { lsn, sections } = JSON.parse(line) as {
      lsn: number
      sections: { kind: string; topic: string; partition: number; length: number }[]
    }
    for (const { kind, topic, partition, length } of sections) {
      if (kind === 'state' && lsn > (newest.get(`${topic}/${partition}`) ?? 0)) bytes += length
    }
  }
  const [code] = (await ended) as [number | null]
  if (code !== 0) throw new Error(`millrace log ended with ${code}`)
  return bytes
}

/**
 * A directory of its own with the same contents. Sealed segments and snapshots never change, so a second name is a copy; the
 * rest is copied.
 */
export function copyDirectory(from: string, to: string): void {
  const newest = segments(from).at(-1)?.name
  for (const entry of readdirSync(from, { recursive: true, withFileTypes: true })) {
    const source = join(entry.parentPath, entry.name)
    const target = join(to, source.slice(from.length))
    if (entry.isDirectory()) mkdirSync(target, { recursive: true })
    else if (entry.isFile()) {
      mkdirSync(join(target, '..'), { recursive: true })
      const fixed = /\.(seg|snap)$/.test(entry.name) && entry.name !== newest
      if (fixed) linkSync(source, target)
      else copyFileSync(source, target)
    }
  }
}

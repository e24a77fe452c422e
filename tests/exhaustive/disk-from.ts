/** Disks of a simulation, made from files and taken back. */
import { Content } from '../../src/core/env/simulated/content.ts'
import { Simulation } from '../../src/core/env/simulated/index.ts'
import type { Directory } from '../../src/core/env/simulated/tree.ts'

/** A world whose disk holds these files, synced. Their bytes must not change any more: many worlds share them. */
export function worldWith(
  files: ReadonlyMap<string, Uint8Array>,
  directories: readonly string[] = [],
): Simulation {
  const world = new Simulation({ seed: 'found', order: 'fifo', traceLines: 1 })
  const disk = world.disk()
  const directory = (names: readonly string[]): Directory => {
    let here = disk.root
    for (const name of names) {
      let next = here.volatile.get(name)
      if (next === undefined) {
        next = disk.newDirectory()
        here.volatile.set(name, next)
        here.durable.set(name, next)
      }
      if (next.kind === 'file') throw new Error(`${name} is a file and a directory`)
      here = next
    }
    return here
  }
  for (const path of directories) directory(path.split('/').slice(1))
  for (const [path, bytes] of files) {
    const names = path.split('/').slice(1)
    const name = names.pop() ?? ''
    const inode = disk.newFile()
    inode.links = 1
    inode.volatile = Content.of(bytes)
    inode.durable = Content.of(bytes)
    disk.usedBytes += bytes.length
    const parent = directory(names)
    parent.volatile.set(name, inode)
    parent.durable.set(name, inode)
  }
  return world
}

/** Drives a world until a promise settles. */
export async function settled<T>(world: Simulation, promise: Promise<T>): Promise<T> {
  let ended = false
  promise.finally(() => (ended = true)).catch(() => {})
  await world.runUntil(() => ended)
  return await promise
}

/** Watches which files are open: each that is opened and not closed is one fewer for whoever comes next. */
import type { Disk, DiskFile } from '../../src/core/env/env.ts'

/** Says the paths of files that were opened since and are not closed. */
export function watchFiles(disk: Disk): () => string[] {
  const files = new Set<DiskFile>()
  const open = disk.open.bind(disk)
  disk.open = (path, mode) => {
    const file = open(path, mode)
    files.add(file)
    const close = file.close.bind(file)
    file.close = () => {
      files.delete(file)
      close()
    }
    return file
  }
  return () => [...files].map(({ path }) => path)
}

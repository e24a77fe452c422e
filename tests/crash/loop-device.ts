/** A file system of its own in a file, whose power can be cut: FS_IOC_SHUTDOWN without a flush of its journal. */
import { spawnSync } from 'node:child_process'
import { mkdirSync, openSync, closeSync, ftruncateSync, rmSync } from 'node:fs'
import { join } from 'node:path'

export type FileSystem = 'ext4' | 'xfs'

const makers: Record<FileSystem, string[]> = {
  ext4: ['mkfs.ext4', '-q', '-F'],
  xfs: ['mkfs.xfs', '-q', '-f'],
}
/** Sparse: only what is written takes room. XFS makes none below 300 MiB. */
const BYTES = 2 * 1024 ** 3
/** FS_IOC_SHUTDOWN and its flag "do not flush the journal"; Node has no ioctl. */
const cut = `import fcntl, os, struct, sys
fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587D, struct.pack('I', 2))`

export class LoopDevice {
  readonly mountPoint: string
  readonly #image: string
  readonly #device: string
  #mounted = false

  /** Throws, with a sentence, where this machine does not let us. */
  constructor(fileSystem: FileSystem, base: string) {
    this.#image = join(base, `${fileSystem}.img`)
    this.mountPoint = join(base, fileSystem)
    mkdirSync(this.mountPoint, { recursive: true })
    rmSync(this.#image, { force: true })
    const fd = openSync(this.#image, 'w')
    ftruncateSync(fd, BYTES)
    closeSync(fd)
    run([...makers[fileSystem], this.#image])
    this.#device = run(['losetup', '--find', '--show', this.#image]).trim()
    try {
      this.mount()
    } catch (error) {
      this.release()
      throw error
    }
  }

  mount(): void {
    run(['mount', this.#device, this.mountPoint])
    this.#mounted = true
  }

  unmount(): void {
    if (this.#mounted) run(['umount', this.mountPoint])
    this.#mounted = false
  }

  /** What was not synced is gone for good; every call on the file system fails until it is mounted again. */
  cutPower(): void {
    run(['python3', '-c', cut, this.mountPoint])
  }

  release(): void {
    // A mount that was interrupted may have come about all the same.
    spawnSync('umount', ['--lazy', this.mountPoint])
    this.#mounted = false
    spawnSync('losetup', ['--detach', this.#device])
    rmSync(this.#image, { force: true })
  }
}

function run([command = '', ...args]: readonly string[]): string {
  const { error, status, signal, stderr, stdout } = spawnSync(command, args, { encoding: 'utf8' })
  if (error !== undefined) throw new Error(`${command}: ${error.message}`)
  if (status !== 0) throw new Error(`${command} ended with ${status ?? signal}: ${stderr.trim()}`)
  return stdout
}

import { describe, expect, test } from 'vitest'
import { makeDirectories } from './directories.ts'
import { Simulation } from './env/simulated/index.ts'

const path = '/deep/er/out'

describe('a directory that was made', () => {
  test.each(['change', 'fsyncDir'] as const)(
    'survives a power cut although the first to make it died, or failed, at any %s (I1)',
    (on) => {
      for (const effect of [{ crash: 'kill', moment: 'after' }, { error: 'EIO' }] as const) {
        for (let nth = 1; nth <= 6; nth++) {
          const world = new Simulation({ seed: nth })
          const undo = world.disk().inject({ on, path: '/', nth, effect })
          try {
            makeDirectories(world.env('first').disk, path)
          } catch {
            // The next one begins anew.
          }
          undo()
          const next = world.env('next')
          makeDirectories(next.disk, path)
          next.disk.open(`${path}/file`, 'create').fdatasync()
          next.disk.fsyncDir(path)
          next.crash('power')
          expect([...world.disk().contents().keys()]).toEqual([`${path}/file`])
        }
      }
    },
  )

  test('needs no right to read a directory above that was there already', () => {
    const world = new Simulation({ seed: 1 })
    const { disk } = world.env('p')
    disk.mkdir('/home/user')
    world.disk().inject({ on: 'fsyncDir', path: '/home', effect: { error: 'EACCES' } })
    makeDirectories(disk, '/home/user')
    expect(disk.exists('/home/user')).toBe(true)
  })
})

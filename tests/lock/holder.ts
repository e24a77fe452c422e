/** Takes the lock of a data directory, says whether it holds it, and then does nothing until it is killed. */
import { spawn } from 'node:child_process'
import { lockByFlock, lockBySocket } from '../../src/core/env/real/lock.ts'

const [path = '', method = '', withChild = ''] = process.argv.slice(2)
const lock = method === 'flock' ? lockByFlock(path, ['flock']) : lockBySocket(path)
const child =
  withChild === 'with-child'
    ? spawn(process.execPath, ['-e', 'process.stdin.resume()'], {
        stdio: ['pipe', 'ignore', 'ignore'],
      })
    : undefined

process.stdout.write(`${lock === undefined ? 'refused' : 'held'} ${child?.pid ?? 0}\n`)
process.stdin.resume()

import { resolve } from 'node:path'
import type { Command } from '@commander-js/extra-typings'
import type { EngineStatus } from '../../runtime/status.ts'
import { engineClient } from '../engine-client.ts'
import type { Output } from '../output.ts'
import type { Surroundings } from '../program.ts'
import { megabytes } from './verify.ts'

export function addStatus(root: Command, { output }: Surroundings): void {
  root
    .command('status')
    .description('say how a running engine is: pipelines, workers, what is paused, what is damaged')
    .option('-d, --data-dir <directory>', 'the data directory', '.millrace')
    .option('--json', 'print JSON')
    .action(async (options) => {
      const answer = await engineClient(resolve(options.dataDir)).call('GET', '/admin/status')
      if (options.json === true) output.json(answer)
      // The engine is this very program: its answers are as the type says.
      else show(output, answer as EngineStatus)
    })
}

function show(output: Output, status: EngineStatus): void {
  const { state, version, url, upMs, dataDir, pipelines, workers, paused, scrub, notReady } = status
  output.line(`Millrace ${version} is ${state} at ${url}, up ${seconds(upMs)}, data in ${dataDir}.`)
  for (const { name, state: how } of pipelines) output.line(`Pipeline ${name}: ${how}.`)
  for (const { slot, state: how, phase, restarts } of workers)
    output.line(`Worker ${slot}: ${how}, ${phase}, replaced ${restarts} times.`)
  if (paused.length > 0) output.line(`Paused: ${paused.join(', ')}.`)
  output.line(`Read again: ${scrubbed(scrub)}`)
  for (const { file, offset, lsn, what } of scrub?.damaged ?? [])
    output.line(`DAMAGED: ${file}, byte ${offset}, commit ${lsn}. ${what}`)
  if ((scrub?.damaged ?? []).length > 0)
    output.line('What it costs: `millrace verify`. What to do: docs/how-to/damaged-data.md.')
  for (const reason of notReady) output.line(`Not ready: ${reason}`)
}

function scrubbed(scrub: EngineStatus['scrub']): string {
  if (scrub === null) return 'not begun, or turned off.'
  const { doneBytes, totalBytes, lastPassAt, damaged } = scrub
  const last = lastPassAt === undefined ? 'none' : new Date(lastPassAt).toISOString()
  return `${megabytes(doneBytes)} of ${megabytes(totalBytes)}; last whole pass: ${last}; damaged files: ${damaged.length}.`
}

function seconds(ms: number): string {
  const all = Math.floor(ms / 1_000)
  const [hours, minutes] = [Math.floor(all / 3_600), Math.floor(all / 60) % 60]
  return `${hours} h ${minutes} min ${all % 60} s`
}

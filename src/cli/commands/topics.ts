import { resolve } from 'node:path'
import type { Command } from '@commander-js/extra-typings'
import { duration, size, wholeNumber } from '../arguments.ts'
import { kept } from '../../plan/index.ts'
import { openAccess } from '../access.ts'
import { engineClient } from '../engine-client.ts'
import type { Surroundings } from '../program.ts'

export function addTopics(root: Command, surroundings: Surroundings): void {
  const topics = root.command('topics').description('list, create, describe and delete topics')
  addReading(topics, surroundings)
  addChanging(topics, surroundings)
}

function addReading(topics: Command, { output }: Surroundings): void {
  topics
    .command('list')
    .description('print every topic')
    .option('-d, --data-dir <directory>', 'the data directory', '.millrace')
    .option('--json', 'print JSON')
    .action(async (options) => {
      const access = await openAccess(resolve(options.dataDir))
      try {
        const all = await access.topics()
        if (options.json === true) return output.json(all)
        output.table(
          ['TOPIC', 'KIND', 'PARTITIONS', 'RECORDS'],
          all.map(({ name, kind, partitions, records }) => [name, kind, partitions, records]),
        )
      } finally {
        await access.close()
      }
    })
  topics
    .command('describe')
    .description('print the offsets and settings of one topic')
    .argument('<topic>')
    .option('-d, --data-dir <directory>', 'the data directory', '.millrace')
    .option('--json', 'print JSON')
    .action(async (name, options) => {
      const access = await openAccess(resolve(options.dataDir))
      try {
        const topic = await access.topic(name)
        if (options.json === true) return output.json(topic)
        const { name: own, kind, partitions, records } = topic
        output.line(`${own}: ${kind}, partitions ${partitions}, records ${records}, ${kept(topic)}`)
        output.table(
          ['PARTITION', 'EARLIEST', 'NEXT'],
          topic.offsets.map(({ earliest, next }, partition) => [partition, earliest, next]),
        )
      } finally {
        await access.close()
      }
    })
}

function addChanging(topics: Command, { output }: Surroundings): void {
  topics
    .command('create')
    .description('create a topic; the same again changes nothing')
    .argument('<topic>')
    .option('-d, --data-dir <directory>', 'the data directory', '.millrace')
    .option('--partitions <count>', 'a power of two', wholeNumber(1, 1_024), 8)
    .option(
      '--retention <time>',
      'records older than this may go, e.g. 7d (default: kept)',
      duration,
    )
    .option(
      '--retention-size <bytes>',
      'the oldest may go past this, e.g. 10GB (default: kept)',
      size,
    )
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      '\nExample:\n  $ millrace topics create orders --partitions 16 --retention 7d',
    )
    .action(async (name, options) => {
      const { retention, retentionSize } = options
      const topic = await engineClient(resolve(options.dataDir)).call('POST', '/admin/topics', {
        name,
        partitions: options.partitions,
        ...(retention === undefined ? {} : { retentionMs: retention }),
        ...(retentionSize === undefined ? {} : { retentionBytes: retentionSize }),
      })
      if (options.json === true) output.json(topic)
      else output.line(`${name} is there, with ${options.partitions} partitions.`)
    })
  topics
    .command('delete')
    .description('delete a topic and everything in it')
    .argument('<topic>')
    .option('-d, --data-dir <directory>', 'the data directory', '.millrace')
    .option('--json', 'print JSON')
    .action(async (name, options) => {
      await engineClient(resolve(options.dataDir)).call(
        'DELETE',
        `/admin/topics/${encodeURIComponent(name)}`,
      )
      if (options.json === true) output.json({ deleted: name })
      else output.line(`${name} is deleted.`)
    })
}

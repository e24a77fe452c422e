/** All records of a topic as any program reads them: `millrace tail --json`, on the directory of an engine that has ended. */
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

const main = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))

/** Values per partition, in order of offset. Throws where an offset does not rise or the command fails. */
export async function readTopic<Value>(dataDir: string, topic: string): Promise<Value[][]> {
  const partitions: Value[][] = []
  await eachRecord<Value>(dataDir, topic, (value, partition) =>
    (partitions[partition] ??= []).push(value),
  )
  return partitions.filter((values) => values !== undefined)
}

/** The same, one by one, for a topic that does not fit in memory. */
export async function eachRecord<Value>(
  dataDir: string,
  topic: string,
  take: (value: Value, partition: number, offset: number) => void,
): Promise<void> {
  const args = [
    '--conditions=millrace-source',
    main,
    'tail',
    topic,
    '--data-dir',
    dataDir,
    '--json',
  ]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = once(child, 'exit')
  const lastOffset: number[] = []
  for await (const line of createInterface({ input: child.stdout })) {
    const record = JSON.parse(line) as { partition: number; offset: number; value: Value }
    const { partition, offset } = record
    if (offset <= (lastOffset[partition] ?? -1))
      throw new Error(`${topic}/${partition}: offset ${offset} after ${lastOffset[partition]}`)
    lastOffset[partition] = offset
    take(record.value, partition, offset)
  }
  const [code] = (await ended) as [number | null]
  if (code !== 0) throw new Error(`tail ${topic} ended with ${code}`)
}

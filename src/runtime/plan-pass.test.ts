import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { expect, it } from 'vitest'
import { realEnv } from '../core/env/real/index.ts'
import { nodeThreads } from './node-threads.ts'
import { planPass } from './plan-pass.ts'

const files: Readonly<Record<string, readonly [text: string, code: string, says: string]>> = {
  'syntax.ts': ['export default 1;\nconst x = ;', 'MR3090', 'syntax.ts:2'],
  'import.ts': [`import { nothing } from 'millrace'\nexport default nothing`, 'MR3090', 'nothing'],
  'enum.ts': ['enum Color { Red }\nexport default Color', 'MR3091', 'enum'],
  'wrong.ts': ['export const pipeline = 1', 'MR3092', 'exports pipeline'],
  'number.ts': ['export default 7', 'MR3092', 'no pipeline'],
  'missing-import.ts': [`import './nowhere.ts'\nexport default 1`, 'MR3093', 'nowhere.ts'],
  'throws.ts': [`throw new Error('on purpose')`, 'MR3094', 'on purpose'],
  'exits.ts': ['process.exit(3)', 'MR3094', 'ended the thread'],
  'field.ts': [
    `import { pipeline } from 'millrace'
     export default pipeline('field', (p) => {
       p.stream('s', { schema: { type: 'object', properties: { a: { type: 'string' } } }, key: 'b' })
     })`,
    'MR30',
    'the field b',
  ],
  'twice.ts': [
    `import { pipeline } from 'millrace'
     export default pipeline('twice', (p) => {
       const s = p.stream('s', { schema: { type: 'object' } })
       s.filter(() => true, { name: 'same' }).filter(() => true, { name: 'same' }).to(p.topic('t'))
     })`,
    'MR30',
    'same',
  ],
  'endless.ts': ['while (true) {}', 'MR3095', 'endless.ts'],
}

it('each mistake in a pipeline file has its code, names the place, and spares the files after it', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'millrace-plan-'))
  try {
    const url = (name: string): string => pathToFileURL(join(directory, name)).href
    for (const [name, [text]] of Object.entries(files)) writeFileSync(join(directory, name), text)
    const fine = `import { pipeline } from 'millrace'\nexport default pipeline('fine', (p) => { p.stream('s', { schema: { type: 'object' } }) })`
    writeFileSync(join(directory, 'fine.ts'), fine)
    const names = [...Object.keys(files), 'not-there.ts', 'fine.ts']
    const planned = await planPass(names.map(url), { env: realEnv(), threads: nodeThreads }, 3_000)
    expect(planned.map((one) => one.url)).toEqual(names.map(url))
    for (const [index, [, code, says]] of Object.values(files).entries()) {
      const one = planned[index]!
      const { error } = one as { error: { code: string; message: string } }
      expect(error.code.startsWith(code), `${one.url}: ${JSON.stringify(error)}`).toBe(true)
      expect(error.message).toContain(says)
      expect(error.message).toContain(join(directory, names[index]!))
    }
    expect(planned.at(-2)).toMatchObject({ error: { code: 'MR3093' } })
    expect(planned.at(-1)).toMatchObject({ plan: { pipeline: 'fine' } })
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
})

// `npm run docs`: writes the parts of docs/ that are made from the code. `tests/docs/` says when it is due.

import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { join } from 'node:path'
import { generatedPages, withGenerated } from './docs/pages.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
for (const page of generatedPages) {
  const path = join(root, page)
  const before = readFileSync(path, 'utf8')
  const after = withGenerated(page, before)
  if (after !== before) writeFileSync(path, after)
  console.log(`${after === before ? 'as it was' : 'written  '} ${page}`)
}

/** Tells tests/mutants/reached.mjs which test runs. */
import { relative } from 'node:path'
import { expect } from 'vitest'

if (process.env['REACH_FOLDER'] !== undefined)
  process.env['REACH_TEST'] = relative(process.cwd(), expect.getState().testPath ?? '')

// Prints `<passed> <failed>` from Vitest's JSON report. No report, or a failure no test owns, counts as one failure.
//
//   node scripts/ci-counts.mjs <report> <exit code of the test run>

import { readFileSync } from 'node:fs'

const [file = '', exitCode = '1'] = process.argv.slice(2)
let passed = 0
let failed = 0
try {
  const report = JSON.parse(readFileSync(file, 'utf8'))
  passed = report.numPassedTests
  failed = report.numFailedTests
} catch {
  // The run ended before it could report.
}
if (exitCode !== '0' && failed === 0) failed = 1
console.log(`${passed} ${failed}`)

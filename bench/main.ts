/** `npm run bench -- CASE [options]`: runs one benchmark. Each is a program of its own and prints its figures. */
const cases: Record<string, () => Promise<unknown>> = {
  budget: () => import('./budget.ts'),
  demo: () => import('./demo.ts'),
  log: () => import('./log.ts'),
  process: () => import('./process.ts'),
  recovery: () => import('./recovery.ts'),
  scan: () => import('./scan.ts'),
  ysb: () => import('./ysb.ts'),
}
const [name = '', ...rest] = process.argv.slice(2)
const run = cases[name]
if (run === undefined) {
  process.stderr.write(`usage: npm run bench -- ${Object.keys(cases).join('|')} [options]\n`)
  process.exit(2)
}
process.argv.splice(2, process.argv.length - 2, ...rest)
await run()

/** `npm run bench -- CASE [options]`: runs one benchmark. Each is a program of its own and prints its figures. */
const cases = ['demo', 'log', 'process']
const [name, ...rest] = process.argv.slice(2)
if (name === undefined || !cases.includes(name)) {
  process.stderr.write(`usage: npm run bench -- ${cases.join('|')} [options]\n`)
  process.exit(2)
}
process.argv.splice(2, process.argv.length - 2, ...rest)
await import(`./${name}.ts`)

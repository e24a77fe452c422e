/**
 * The real engine as a real process, ended in every way that can be made to happen on one machine, and held against the
 * producer's books. `npm run kill -- [random|points|power|full|signals|overload] [options]`; without a word, random kills.
 */
const ways: Record<string, () => Promise<unknown>> = {
  random: () => import('./random.ts'),
  points: () => import('./points.ts'),
  power: () => import('./power.ts'),
  full: () => import('./full.ts'),
  signals: () => import('./signals.ts'),
  overload: () => import('./overload.ts'),
}
const word = process.argv[2] ?? ''
const given = word.startsWith('-') || word === '' ? undefined : word
const way = ways[given ?? 'random']
if (way === undefined) {
  process.stderr.write(`usage: npm run kill -- [${Object.keys(ways).join('|')}] [options]\n`)
  process.exit(2)
}
if (given !== undefined) process.argv.splice(2, 1)
await way()

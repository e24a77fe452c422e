// Completes package-lock.json after `npm install`: a registry mirror that lacks the builds for other platforms
// makes npm leave them out, and then `npm ci` refuses the lockfile. Their versions are pinned by the package
// that asks for them, so an entry needs nothing from the registry.
//
//   node scripts/lock.mjs           adds what is missing
//   node scripts/lock.mjs --check   says what is missing, and fails

import { readFileSync, writeFileSync } from 'node:fs'

const file = new URL('../package-lock.json', import.meta.url)
const lock = JSON.parse(readFileSync(file, 'utf8'))
const missing = {}

for (const [path, entry] of Object.entries(lock.packages)) {
  for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
    if (!isPlatformBuild(name) || !/^\d/.test(version) || isLocked(path, name)) continue
    missing[`node_modules/${name}`] = {
      version,
      ...(entry.dev ? { dev: true } : {}),
      optional: true,
      ...platform(name),
    }
  }
}

const names = Object.keys(missing)
if (process.argv.includes('--check')) {
  for (const name of names)
    console.error(`package-lock.json has no entry for ${name}: run node scripts/lock.mjs`)
  process.exit(names.length > 0 ? 1 : 0)
}
const all = Object.entries({ ...lock.packages, ...missing }).sort(([a], [b]) =>
  a.localeCompare(b, 'en'),
)
lock.packages = Object.fromEntries(all)
writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`)
console.log(`${names.length} entries added.`)

function isLocked(path, name) {
  return `${path}/node_modules/${name}` in lock.packages || `node_modules/${name}` in lock.packages
}

function isPlatformBuild(name) {
  return /(android|darwin|freebsd|linux|openharmony|sunos|win32|aix|netbsd|openbsd)-/.test(name)
}

/** Names look like `@scope/binding-linux-arm64-musl`. */
function platform(name) {
  const [, os, cpu, abi = ''] =
    /(android|darwin|freebsd|linux|openharmony|sunos|win32|aix|netbsd|openbsd)-([a-z0-9]+)-?(\w*)/.exec(
      name,
    )
  const libc = abi.startsWith('musl')
    ? 'musl'
    : os === 'linux' && abi.startsWith('gnu')
      ? 'glibc'
      : null
  return { os: [os], cpu: [cpu], ...(libc === null ? {} : { libc: [libc] }) }
}

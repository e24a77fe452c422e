// Installs what package-lock.json says, and the pinned Node, if either is missing. Runs on Node 18 and later.

import { spawn } from 'node:child_process'
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'

const windows = process.platform === 'win32'

/** Packages may not run code at installation, except this one: it fetches the pinned Node. */
const mayRunScripts = ['node']

/**
 * @param {string} root
 * @returns {Promise<string>} the Node to run with
 */
export async function ensureInstalled(root) {
  const reason = whyInstall(root)
  if (reason !== null) await install(root, reason)
  const node = join(root, 'node_modules', 'node', 'bin', windows ? 'node.exe' : 'node')
  if (!existsSync(node)) await fetchNode(root)
  if (!existsSync(node)) return fallback(root)
  await complete(root, dirname(node))
  return node
}

/** @param {string} root */
function whyInstall(root) {
  const wanted = readPackages(join(root, 'package-lock.json'))
  if (wanted === null)
    throw new Error('package-lock.json is missing or damaged: restore it with git')
  const present = readPackages(join(root, 'node_modules', '.package-lock.json'))
  if (present === null) return 'Installing'
  for (const [path, entry] of Object.entries(wanted)) {
    if (path === '' || entry.optional) continue
    if (present[path]?.version !== entry.version) return 'Updating'
  }
  return null
}

/** @param {string} file */
function readPackages(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8')).packages
  } catch {
    return null
  }
}

/**
 * @param {string} root
 * @param {string} verb
 */
async function install(root, verb) {
  const total = topLevel(readPackages(join(root, 'package-lock.json')))
  console.error(
    `${verb} ${total} packages from package-lock.json (once; no install scripts are run).`,
  )
  const started = Date.now()
  const tty = process.stderr.isTTY === true
  const timer = setInterval(
    () => {
      const line = `  ${countInstalled(root)} of about ${total}, ${Math.round((Date.now() - started) / 1000)} s`
      process.stderr.write(tty ? `\r${line}` : `${line}\n`)
    },
    tty ? 500 : 5000,
  )
  const code = await npm(root, [
    'ci',
    '--ignore-scripts',
    '--no-audit',
    '--no-fund',
    '--loglevel=error',
  ])
  clearInterval(timer)
  if (tty) process.stderr.write('\r')
  if (code !== 0) {
    console.error('npm ci failed; its message is above. Is the package registry reachable?')
    process.exit(1)
  }
  console.error(`Installed in ${Math.round((Date.now() - started) / 1000)} s.`)
}

/** @param {string} root */
async function fetchNode(root) {
  console.error(`Fetching the pinned Node (once; this shell has ${process.version}).`)
  await npm(root, ['rebuild', ...mayRunScripts, '--ignore-scripts=false', '--loglevel=error'])
}

/**
 * An old npm leaves out the native builds that ask for a newer Node than its own: add them under the pinned one.
 * @param {string} root
 * @param {string} nodeFolder
 */
async function complete(root, nodeFolder) {
  const tried = join(root, 'node_modules', '.millrace-complete')
  if (existsSync(tried)) return
  const present = readPackages(join(root, 'node_modules', '.package-lock.json')) ?? {}
  const wanted = Object.entries(readPackages(join(root, 'package-lock.json')))
  const missing = wanted.filter(
    ([path, entry]) => entry.optional && entry.os && fitsHere(entry) && !(path in present),
  )
  if (missing.length > 0) {
    console.error(`Adding ${missing.length} native builds that this npm left out.`)
    const args = [
      'install',
      '--no-save',
      '--ignore-scripts',
      '--no-audit',
      '--no-fund',
      '--loglevel=error',
    ]
    await npm(root, args, nodeFolder)
  }
  writeFileSync(tried, '')
}

/**
 * No pinned Node for this machine: the running one will do if it is new enough.
 * @param {string} root
 */
function fallback(root) {
  const range = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).engines.node
  const [major = 0, minor = 0] = range.replace('>=', '').split('.').map(Number)
  const [haveMajor = 0, haveMinor = 0] = process.versions.node.split('.').map(Number)
  if (haveMajor > major || (haveMajor === major && haveMinor >= minor)) {
    console.error(`The pinned Node could not be fetched; going on with ${process.version}.`)
    return process.execPath
  }
  console.error(
    `The pinned Node could not be fetched, and ${process.version} is too old: install Node ${range}.`,
  )
  process.exit(1)
}

/**
 * npm from the outer PATH: the Node under node_modules is about to be replaced.
 * @param {string} root
 * @param {string[]} args
 * @param {string} [nodeFolder] a Node to run npm with instead
 * @returns {Promise<number>}
 */
function npm(root, args, nodeFolder) {
  const path = (process.env.PATH ?? '')
    .split(delimiter)
    .filter((entry) => !entry.includes('node_modules'))
  if (nodeFolder !== undefined) path.unshift(nodeFolder)
  const env = { ...process.env, PATH: path.join(delimiter) }
  delete env.NODE_OPTIONS
  return new Promise((resolve) => {
    const child = spawn(windows ? 'npm.cmd' : 'npm', args, {
      cwd: root,
      env,
      shell: windows,
      stdio: ['ignore', 'inherit', 'inherit'],
    })
    child.on('error', () => resolve(1))
    child.on('exit', (code) => resolve(code ?? 1))
  })
}

/** @param {Record<string, Entry>} packages */
function topLevel(packages) {
  return Object.entries(packages ?? {}).filter(
    ([path, entry]) => path.split('node_modules/').length === 2 && fitsHere(entry),
  ).length
}

/**
 * @typedef {{ version?: string, optional?: boolean, os?: string[], cpu?: string[], libc?: string[] }} Entry
 * @param {Entry} entry
 */
function fitsHere({ os, cpu, libc }) {
  const fits = (list, own) => list === undefined || list.includes(own)
  return (
    fits(os, process.platform) &&
    fits(cpu, process.arch) &&
    (libc === undefined || fits(libc, ownLibc()))
  )
}

function ownLibc() {
  if (process.platform !== 'linux') return ''
  return readdirSync('/lib').some((name) => name.startsWith('ld-musl-')) ? 'musl' : 'glibc'
}

/** @param {string} root */
function countInstalled(root) {
  try {
    let count = 0
    for (const entry of readdirSync(join(root, 'node_modules'))) {
      const names = entry.startsWith('@') ? readdirSync(join(root, 'node_modules', entry)) : [entry]
      count += names.filter((name) => !name.startsWith('.')).length
    }
    return count
  } catch {
    return 0
  }
}

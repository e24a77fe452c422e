/**
 * Which lines of the engine the seeds ran: what V8 counted in every process, by line. Types are stripped in place, so
 * V8's offsets are those of the source.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseSync } from 'oxc-parser'
import { beyond } from './beyond.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const folders = ['src/log', 'src/process', 'src/state', 'src/runtime']

interface ScriptCoverage {
  readonly url: string
  readonly functions: readonly {
    readonly ranges: readonly {
      readonly startOffset: number
      readonly endOffset: number
      readonly count: number
    }[]
  }[]
}

interface FileLines {
  readonly file: string
  readonly lines: number
  readonly missed: readonly number[]
}

export class Coverage {
  /** Processes that have it as NODE_V8_COVERAGE write here when they end. */
  readonly directory = mkdtempSync(join(tmpdir(), 'millrace-coverage-'))

  /** Prints the share of lines per folder; with `lines` those that never ran. Call it when the processes have ended. */
  tell(lines: boolean): void {
    const ran = this.#ran()
    const all = folders.flatMap((folder) => sourcesOf(folder).map((file) => linesOf(file, ran)))
    const reached = all.filter(({ file }) => reasonOf(file) === undefined)
    for (const folder of folders)
      tellOne(
        folder,
        reached.filter(({ file }) => file.startsWith(`${folder}/`)),
      )
    tellOne('together', reached)
    const apart = all.filter(({ file }) => reasonOf(file) !== undefined)
    console.log(
      `apart, as a simulation cannot run them (${sum(apart)} lines in ${apart.length} files):`,
    )
    for (const [path, why] of Object.entries(beyond)) console.log(`  ${path}: ${why}`)
    if (!lines) return
    for (const { file, missed } of reached) {
      const text = readFileSync(join(root, file), 'utf8').split('\n')
      for (const line of missed) console.log(`${file}:${line}  ${text[line - 1]!.trim()}`)
    }
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true })
  }

  /** By file: 1 for every character that ran in one of the processes. */
  #ran(): Map<string, Uint8Array> {
    const ran = new Map<string, Uint8Array>()
    for (const name of readdirSync(this.directory)) {
      const { result } = JSON.parse(readFileSync(join(this.directory, name), 'utf8')) as {
        readonly result: readonly ScriptCoverage[]
      }
      for (const { url, functions } of result) {
        if (!url.startsWith('file:')) continue
        const path = fileURLToPath(url)
        const file = path.slice(root.length)
        if (!path.startsWith(root) || !folders.some((folder) => file.startsWith(`${folder}/`)))
          continue
        const here = paint(functions, readFileSync(path, 'utf8').length)
        const known = ran.get(file)
        if (known === undefined) ran.set(file, here)
        else for (let i = 0; i < here.length; i++) known[i]! |= here[i]!
      }
    }
    return ran
  }
}

/** Ranges come from the outside in: an inner one says more exactly what its part of the outer one did. */
function paint(functions: ScriptCoverage['functions'], length: number): Uint8Array {
  const ran = new Uint8Array(length)
  const ranges = functions.flatMap((one) => one.ranges)
  ranges.sort((a, b) => a.startOffset - b.startOffset || b.endOffset - a.endOffset)
  for (const { startOffset, endOffset, count } of ranges)
    ran.fill(count > 0 ? 1 : 0, startOffset, endOffset)
  return ran
}

function linesOf(file: string, ran: ReadonlyMap<string, Uint8Array>): FileLines {
  const text = codeOf(readFileSync(join(root, file), 'utf8'), file)
  const here = ran.get(file)
  let lines = 0
  const missed: number[] = []
  let start = 0
  for (const [index, line] of text.split('\n').entries()) {
    if (/[\w$]/.test(line)) {
      lines++
      const first = start + line.search(/\S/)
      const end = start + line.trimEnd().length
      if (here?.subarray(first, end).includes(1) !== true) missed.push(index + 1)
    }
    start += line.length + 1
  }
  return { file, lines, missed }
}

/** The text with everything blank that does not run: types, comments, and imports, which run in every file. */
function codeOf(source: string, file: string): string {
  const stripped = stripTypeScriptTypes(source)
  const { comments, module } = parseSync(file.replace(/\.ts$/, '.js'), stripped)
  const blank = [...comments, ...module.staticImports]
  for (const { start, end } of module.staticExports)
    if (/^export\s*(\{|\*)/.test(stripped.slice(start, end))) blank.push({ start, end } as never)
  let code = stripped
  for (const { start, end } of blank)
    code = code.slice(0, start) + code.slice(start, end).replace(/[^\n]/g, ' ') + code.slice(end)
  return code
}

function sourcesOf(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && !/\.(test|suite|fixture|test-d)\.ts$/.test(name))
    .map((name) => `${folder}/${name}`)
    .toSorted()
}

function reasonOf(file: string): string | undefined {
  return Object.entries(beyond).find(
    ([path]) => file === path || (path.endsWith('/') && file.startsWith(path)),
  )?.[1]
}

function sum(files: readonly FileLines[]): number {
  return files.reduce((total, { lines }) => total + lines, 0)
}

function tellOne(name: string, files: readonly FileLines[]): void {
  const lines = sum(files)
  const ran = lines - files.reduce((total, { missed }) => total + missed.length, 0)
  const share = ((100 * ran) / Math.max(1, lines)).toFixed(1)
  console.log(`${name.padEnd(14)} ${share.padStart(5)} % of ${lines} lines`)
}

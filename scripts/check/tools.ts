import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { command, tool } from './command.ts'
import { allowed, edgeFile } from './edges.ts'
import type { Check, Finding } from './finding.ts'
import { codeFolders } from './source.ts'

export const types: Check = {
  name: 'types',
  async run(root) {
    const { code, text } = await tool('tsc', ['--project', '.', '--pretty', 'false'], root)
    const found = [...text.matchAll(/^(.+?)\((\d+),\d+\): error (TS\d+): (.*)$/gm)].map(
      ([, file = '', line, rule = '', message = '']) => ({
        file,
        line: Number(line),
        rule,
        message,
      }),
    )
    return orFailure(found, code, 'tsc', text)
  },
}

interface LintReport {
  diagnostics: {
    message: string
    code: string
    help?: string
    filename: string
    labels: { span: { line: number } }[]
  }[]
}

/** oxlint, less what scripts/check/edges.ts allows. */
export const lint: Check = {
  name: 'lint',
  async run(root) {
    const args = ['--type-aware', '--format', 'json', ...present(root)]
    const { code, text } = await tool('oxlint', args, root)
    const json = text.slice(text.indexOf('{'))
    if (!json.startsWith('{')) return orFailure([], code, 'oxlint', text)
    const { diagnostics } = JSON.parse(json) as LintReport
    return diagnostics
      .map(({ message, help, code: rule, filename, labels }) => ({
        file: filename,
        line: labels[0]?.span.line ?? 1,
        rule: /\((.+)\)$/.exec(rule)?.[1] ?? rule,
        message: message.replace(/\.$/, ''),
        help: help ?? '',
      }))
      .filter(({ file, rule, message }) => !isAllowed(file, rule, message))
      .map(({ help, ...finding }) => ({ ...finding, message: withHelp(finding, help) }))
  },
}

function withHelp({ rule, message }: { rule: string; message: string }, help: string): string {
  // The ban itself names the replacement; for globals oxlint's own advice would contradict it.
  if (rule === 'no-restricted-globals') return `${message}. Or give the reason in ${edgeFile}`
  if (rule === 'no-restricted-properties')
    return `${message}. ${help} Or give the reason in ${edgeFile}`
  return help === '' ? message : `${message}. ${help}`
}

function isAllowed(file: string, rule: string, message: string): boolean {
  if (!rule.startsWith('no-restricted-')) return false
  const what = /'([^']+)'/.exec(message)?.[1] ?? ''
  return allowed(file, what)
}

export const format: Check = {
  name: 'format',
  async run(root) {
    const { code, text } = await tool('oxfmt', ['--list-different', ...present(root)], root)
    const files = text.split('\n').filter((line) => /\.\w+$/.test(line))
    const message = 'not formatted: run npx oxfmt on it'
    const found = files.map((file) => ({ file, line: 1, rule: 'format', message }))
    return orFailure(found, code, 'oxfmt', text)
  },
}

interface KnipReport {
  issues: ({ file: string } & Record<string, { name: string; line?: number }[] | string>)[]
}

const unusedText: Record<string, string> = {
  files: 'nothing imports this file',
  dependencies: 'in package.json, but nothing imports it',
  devDependencies: 'in package.json, but nothing uses it',
  unlisted: 'imported, but not in package.json',
  unresolved: 'imported, but not there',
  exports: 'exported, but nothing imports it',
  types: 'exported, but nothing imports it',
  duplicates: 'exported twice',
}

export const unused: Check = {
  name: 'unused',
  async run(root) {
    const { code, text } = await tool('knip', ['--reporter', 'json', '--no-progress'], root)
    const json = text.slice(text.indexOf('{"'))
    if (!json.startsWith('{"')) return orFailure([], code, 'knip', text)
    const found: Finding[] = []
    for (const { file, ...kinds } of (JSON.parse(json) as KnipReport).issues) {
      for (const [kind, list] of Object.entries(kinds)) {
        if (typeof list === 'string') continue
        for (const { name, line } of list.flat()) {
          const message = `${name}: ${unusedText[kind] ?? kind}`
          found.push({ file, line: line ?? 1, rule: `unused ${kind}`, message })
        }
      }
    }
    return orFailure(found, code, 'knip', text)
  },
}

/** The lockfile installs everywhere, and names no registry. */
export const lockfile: Check = {
  name: 'lockfile',
  async run(root) {
    const { code, text } = await command(process.execPath, ['scripts/lock.mjs', '--check'], root)
    const lines = text.split('\n').filter((line) => line !== '')
    return code === 0 ? [] : lines.map((message) => at('package-lock.json', 'lockfile', message))
  },
}

/** A tool that fails without saying where has failed as a whole. */
function orFailure(found: Finding[], code: number, name: string, text: string): Finding[] {
  if (code === 0 || found.length > 0) return found
  return [at('package.json', name, text.trim().slice(0, 2000) || `exit code ${code}`)]
}

function at(file: string, rule: string, message: string): Finding {
  return { file, line: 1, rule, message }
}

function present(root: string): string[] {
  return [...codeFolders, 'vitest.config.ts'].filter((path) => existsSync(join(root, path)))
}

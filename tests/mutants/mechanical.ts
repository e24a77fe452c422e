/**
 * Mechanical mutants: every small change of some kinds that leaves the syntax valid, found in the syntax tree. A seed
 * draws some of them by a hash of what they change, so that an edit elsewhere in the source does not change the draw.
 */
import { createHash } from 'node:crypto'
import { globSync } from 'node:fs'
import { parseSync } from 'oxc-parser'
import type { Mutant } from './mutant.ts'
import { root, sourceOf } from './mutant.ts'

export const folders = ['src/log', 'src/process', 'src/state', 'src/runtime'] as const

export type Kind =
  | 'call deleted'
  | 'comparison'
  | 'off by one'
  | 'condition negated'
  | 'early return'

export interface MechanicalMutant extends Mutant {
  readonly kind: Kind
  readonly line: number
  readonly whole: Span
  /** The line that is changed, and what becomes of it. */
  readonly before: string
  readonly after: string
  /** Which one, of several in the file that change such a line in the same way; from 1. */
  readonly nth: number
}

export function allIn(directory = root): MechanicalMutant[] {
  return folders.flatMap((folder) =>
    filesOf(folder, directory).flatMap((file) => mutantsOf(file, directory)),
  )
}

/** The first `count` by the hash that the seed gives them. */
export function drawn(
  seed: number,
  count: number,
  all: readonly MechanicalMutant[],
): MechanicalMutant[] {
  const ranked = all.map((mutant) => {
    const what = `${seed}|${mutant.file}|${mutant.kind}|${mutant.before}|${mutant.after}|${mutant.nth}`
    return { mutant, rank: createHash('sha256').update(what).digest('hex') }
  })
  ranked.sort((a, b) => (a.rank < b.rank ? -1 : 1))
  return ranked.slice(0, count).map(({ mutant }) => mutant)
}

function filesOf(folder: string, directory: string): string[] {
  return globSync(`${folder}/**/*.ts`, { cwd: directory })
    .filter((file) => !/\.(test|suite|fixture)\.ts$/.test(file))
    .toSorted()
}

interface Node {
  readonly type: string
  readonly start: number
  readonly end: number
  readonly [key: string]: unknown
}

export interface Span {
  readonly start: number
  readonly end: number
}

interface Change {
  readonly kind: Kind
  /** What the change is a part of: an expression, a statement, or an empty place between two. */
  readonly whole: Span
  readonly start: number
  readonly end: number
  readonly with: string
}

export function mutantsOf(file: string, directory = root): MechanicalMutant[] {
  const text = sourceOf(file, directory)
  const { program, errors } = parseSync(file, text)
  if (errors.length > 0) throw new Error(`${file} does not parse.`)
  const changes: Change[] = []
  walk(program as unknown as Node, (node) => changes.push(...changesOf(node, text)))
  const seen = new Map<string, number>()
  return changes.map((change) => {
    const mutant = mutantOf(file, text, change)
    const what = `${mutant.kind}|${mutant.before}|${mutant.after}`
    const nth = (seen.get(what) ?? 0) + 1
    seen.set(what, nth)
    return { ...mutant, nth }
  })
}

function mutantOf(file: string, text: string, change: Change): Omit<MechanicalMutant, 'nth'> {
  const from = text.lastIndexOf('\n', change.start - 1) + 1
  const newline = text.indexOf('\n', change.end)
  const to = newline < 0 ? text.length : newline
  const before = text.slice(from, to)
  const after = text.slice(from, change.start) + change.with + text.slice(change.end, to)
  const line = text.slice(0, change.start).split('\n').length
  const short = (lines: string): string => lines.trim().replaceAll(/\s+/g, ' ')
  return {
    name: `${file}:${line} ${change.kind}: ${short(before)} → ${short(after)}`,
    file,
    kind: change.kind,
    whole: change.whole,
    line,
    before: short(before),
    after: short(after),
    // The whole text, so that it occurs once.
    find: text,
    replace: text.slice(0, change.start) + change.with + text.slice(change.end),
  }
}

function changesOf(node: Node, text: string): Change[] {
  switch (node.type) {
    case 'ExpressionStatement':
      return callDeleted(node, text)
    case 'BinaryExpression':
      return [...comparison(node, text), ...offByOne(node, text)]
    case 'IfStatement':
    case 'ConditionalExpression':
    case 'WhileStatement':
      return negated(node['test'] as Node, text)
    case 'FunctionDeclaration':
    case 'FunctionExpression':
      return earlyReturn(node, text)
    default:
      return []
  }
}

/** An assertion is there for bugs: without a second one its absence changes nothing. A mark only counts for the simulator. */
const harmlessCalls = /^(assert|must|super|mark)\(/

function callDeleted(node: Node, text: string): Change[] {
  let expression = node['expression'] as Node
  while (
    expression.type === 'AwaitExpression' ||
    expression.type === 'YieldExpression' ||
    isVoid(expression)
  )
    expression = (expression['argument'] ?? {}) as Node
  if (expression.type === 'ChainExpression') expression = expression['expression'] as Node
  if (expression.type !== 'CallExpression') return []
  if (harmlessCalls.test(text.slice(expression.start, expression.end))) return []
  return [{ kind: 'call deleted', whole: node, start: node.start, end: node.end, with: ';' }]
}

const isVoid = (node: Node): boolean =>
  node.type === 'UnaryExpression' && node['operator'] === 'void'

const flips: Readonly<Record<string, readonly string[]>> = {
  '<': ['>=', '<='],
  '<=': ['>', '<'],
  '>': ['<=', '>='],
  '>=': ['<', '>'],
  '===': ['!=='],
  '!==': ['==='],
}

function comparison(node: Node, text: string): Change[] {
  const operator = String(node['operator'])
  const [left, right] = [node['left'] as Node, node['right'] as Node]
  const at = left.end + text.slice(left.end, right.start).indexOf(operator)
  return (flips[operator] ?? []).map((to, i) => ({
    kind: i === 0 ? 'comparison' : 'off by one',
    whole: node,
    start: at,
    end: at + operator.length,
    with: to,
  }))
}

function offByOne(node: Node, text: string): Change[] {
  const right = node['right'] as Node
  if (!['+', '-'].includes(String(node['operator'])) || right.type !== 'Literal') return []
  if (right['value'] !== 1 || text.slice(right.start, right.end) !== '1') return []
  return [{ kind: 'off by one', whole: right, start: right.start, end: right.end, with: '0' }]
}

function negated(test: Node, text: string): Change[] {
  // A comparison has its own mutants.
  if (test.type === 'BinaryExpression' && String(test['operator']) in flips) return []
  const { start, end } = test
  return [
    { kind: 'condition negated', whole: test, start, end, with: `!(${text.slice(start, end)})` },
  ]
}

/** Of what returns nothing, so that the types still hold. */
function earlyReturn(node: Node, text: string): Change[] {
  const body = node['body'] as Node | null
  const type = node['returnType'] as Node | null
  if (body === null || type === null || body.type !== 'BlockStatement') return []
  if (!/^:\s*(void|Promise<void>|Steps<void>)$/.test(text.slice(type.start, type.end))) return []
  const at = body.start + 1
  const whole = { start: at, end: at }
  return [{ kind: 'early return', whole, ...whole, with: ' if (1 + 1 === 2) return' }]
}

function walk(node: Node, visit: (node: Node) => void): void {
  visit(node)
  for (const value of Object.values(node)) {
    for (const child of Array.isArray(value) ? (value as unknown[]) : [value]) {
      if (typeof child === 'object' && child !== null && 'type' in child && 'start' in child)
        walk(child as Node, visit)
    }
  }
}

/** The text of a failed check: which field, what it holds, and what it should be. */

interface Problem {
  readonly keyword: string
  readonly schemaPath: string
  readonly instancePath: string
  readonly message: string
  readonly params: unknown
}

/** One sentence on the first problem. */
export function firstProblem(problems: readonly Problem[], value: unknown): string {
  const first = problems[0]
  if (first === undefined) return 'the event does not match the schema'
  const choice = problems.find(
    ({ keyword, schemaPath }) =>
      (keyword === 'anyOf' || keyword === 'oneOf') && first.schemaPath.startsWith(`${schemaPath}/`),
  )
  return sentence(choice === undefined ? first : (likelyBranch(problems, choice) ?? choice), value)
}

/** Where the other branches of a choice fail on a constant (the type of an event, say), the one that does not is meant. */
function likelyBranch(problems: readonly Problem[], choice: Problem): Problem | undefined {
  const branches = new Map<string, Problem[]>()
  for (const problem of problems) {
    if (!problem.schemaPath.startsWith(`${choice.schemaPath}/`)) continue
    const branch = problem.schemaPath
      .slice(choice.schemaPath.length + 1)
      .split('/', 2)
      .join('/')
    branches.set(branch, [...(branches.get(branch) ?? []), problem])
  }
  const meant = [...branches.values()].filter(
    (all) => !all.some(({ keyword }) => keyword === 'const'),
  )
  return meant.length === 1 && branches.size > 1 ? meant[0]![0] : undefined
}

function sentence(problem: Problem, value: unknown): string {
  const { keyword, instancePath, message } = problem
  const names = instancePath
    .split('/')
    .slice(1)
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'))
  const missing = list(problem.params, 'requiredProperties')
  if (keyword === 'required' && missing.length > 0)
    return `${pathText([...names, missing[0]!])} is missing`
  // The schema of a field that may not be there is `false`.
  if (keyword === 'boolean') return `${pathText(names)} is not a field of the schema`
  return problemText(names, valueAt(value, names), rule(problem, message))
}

/** Events are objects, whatever else their schema would let pass. */
export function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export function notAnObject(value: unknown): string {
  return problemText([], value, 'it must be object')
}

/** `properties.duration is "12": it must be number`. */
export function problemText(names: readonly string[], value: unknown, rule: string): string {
  return `${pathText(names)} is ${shortened(value)}: ${rule}`
}

function rule({ keyword, params }: Problem, message: string): string {
  if (keyword === 'const') return `it must be ${shortened(member(params, 'allowedValue'))}`
  if (keyword === 'enum')
    return `it must be one of ${list(params, 'allowedValues').map(shortened).join(', ')}`
  return message.startsWith('must ') ? `it ${message}` : message
}

function pathText(names: readonly string[]): string {
  return names.length === 0 ? 'the event' : names.join('.')
}

function valueAt(value: unknown, names: readonly string[]): unknown {
  let at = value
  for (const name of names) at = member(at, name)
  return at
}

function member(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null
    ? (value as Record<string, unknown>)[name]
    : undefined
}

function list(params: unknown, name: string): readonly string[] {
  const found = member(params, name)
  return Array.isArray(found) ? found : []
}

/** A value as JSON, at most 60 characters. */
function shortened(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value)
  return text.length > 60 ? `${text.slice(0, 57)}...` : text
}

/** Of a validator with functions of the user's. */
export function thrown(error: unknown): string {
  return `the validator threw ${error instanceof Error ? error.message : String(error)}`
}

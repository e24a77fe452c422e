import { registerHooks } from 'node:module'
import { fileURLToPath } from 'node:url'
import { MillraceError, reviveError } from '../errors.ts'
import type { PipelineDefinition } from '../pipeline/definition.ts'
import { planOf } from '../plan/index.ts'
import type { Plan } from '../plan/plan.ts'

/**
 * Makes `import 'millrace'` in user modules mean this very package, wherever the file lies: with a copy of its own, or none
 * at all, a pipeline would be built by code other than the code that runs it. Once per thread, before the first load.
 */
export function resolveOwnPackage(): void {
  registerHooks({
    resolve: (specifier, context, next) =>
      specifier === 'millrace' || specifier.startsWith('millrace/')
        ? next(specifier, { ...context, parentURL: import.meta.url })
        : next(specifier, context),
  })
}

/** Imports a user module (in a worker, never on main) and gives its pipeline. Throws MR3090 to MR3094. */
export async function loadPipeline(url: string): Promise<PipelineDefinition> {
  let module: { readonly default?: unknown }
  try {
    module = (await import(url)) as { readonly default?: unknown }
  } catch (error) {
    throw loadError(url, error)
  }
  if (isPipeline(module.default)) return module.default
  const names = Object.keys(module)
  const exported = names.length === 0 ? 'exports nothing' : `exports ${names.join(', ')}`
  const wrong =
    module.default === undefined ? 'no default export' : 'a default export that is no pipeline'
  throw new MillraceError('MR3092', `${fileOf(url)} has ${wrong} (it ${exported}).`)
}

/** A pipeline as a thread loaded it: functions in the definition, names in the plan. */
export interface LoadedPipeline {
  readonly definition: PipelineDefinition
  readonly plan: Plan
}

export async function loadWithPlan(url: string): Promise<LoadedPipeline> {
  const definition = await loadPipeline(url)
  return { definition, plan: planOf(definition) }
}

function isPipeline(value: unknown): value is PipelineDefinition {
  return (
    typeof value === 'object' &&
    value !== null &&
    'millrace' in value &&
    value.millrace === 'pipeline'
  )
}

/** Says which of the user's mistakes an import error is. */
export function loadError(url: string, error: unknown): MillraceError {
  const file = fileOf(url)
  if (error instanceof MillraceError) return inFile(file, error)
  const code = property(error, 'code')
  const text = plainly(error instanceof Error ? error.message : String(error))
  if (code === 'ERR_UNSUPPORTED_TYPESCRIPT_SYNTAX') {
    return new MillraceError('MR3091', `${file}: ${text}.${excerpt(error)}`, { cause: error })
  }
  if (code === 'ERR_MODULE_NOT_FOUND' || code === 'ERR_UNSUPPORTED_DIR_IMPORT') {
    return new MillraceError('MR3093', `${file}: ${text}.`, { cause: error })
  }
  if (code === 'ERR_INVALID_TYPESCRIPT_SYNTAX' || error instanceof SyntaxError) {
    return new MillraceError('MR3090', `${file}: ${text}.${excerpt(error)}`, { cause: error })
  }
  return new MillraceError('MR3094', `${file} threw "${text}".${excerpt(error)}`, { cause: error })
}

/** The functions that pipelines are made with do not know which file calls them. */
function inFile(file: string, error: MillraceError): MillraceError {
  if (error.message.includes(file)) return error
  const message = error.message.replace(/^(MR\d+: )?/, `$1${file}: `)
  return reviveError({ ...error.toJSON(), message })
}

/** Node says who imports a module; for the pipeline file itself that is this one, which tells the user nothing. */
function plainly(text: string): string {
  return text.replace(` imported from ${fileURLToPath(import.meta.url)}`, '')
}

/** Node puts the place of a syntax error, and the first frame of a thrown one, into the head of the stack. */
function excerpt(error: unknown): string {
  const stack = error instanceof Error && typeof error.stack === 'string' ? error.stack : ''
  const lines = stack.split('\n')
  if (error instanceof SyntaxError) {
    const place = lines.slice(0, 3).join('\n').trimEnd()
    return place === '' || place.startsWith('SyntaxError') ? '' : `\n${place}\n`
  }
  const frame = lines.find((line) => line.includes('file://') || /\.[cm]?[jt]s:\d+/.test(line))
  return frame === undefined ? '' : ` It happened ${frame.trim()}.`
}

function property(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null
    ? (value as Record<string, unknown>)[name]
    : undefined
}

export function fileOf(url: string): string {
  return url.startsWith('file:') ? fileURLToPath(url.replace(/[?#].*$/, '')) : url
}

/** Draws a pipeline: any operators in any order, as long as the model can say what must come out. */
import type { SeededRandom } from '../../src/testing/index.ts'
import { poison } from './model.ts'
import { atStream, placesOf } from './shape.ts'
import type { KeyOf, Part, Place, Shape, Step } from './shape.ts'

export interface ShapeBounds {
  /** Late rows are then known from their topic alone: there is one. */
  readonly idle: boolean
  readonly versions: number
}

const mostAggregates = 4
const mostMoves = 3

export function drawShape(random: SeededRandom, bounds: ShapeBounds): Shape {
  const parts: Part[] = []
  const wanted = 2 + random.int(6)
  while (parts.length < wanted) {
    const places = placesOf(parts)
    const from = random.chance(0.7) ? parts.length - 1 : random.int(parts.length + 1) - 1
    const step = drawStep(random, parts, places[from] ?? atStream, bounds)
    if (step !== undefined) parts.push({ name: `p${parts.length}`, from, step, since: 0 })
  }
  // Without a window, no time is kept.
  if (!parts.some((part, i) => part.step.kind === 'aggregate' && stays(parts, i))) {
    const from = random.int(parts.length + 1) - 1
    const first = from >= 0 && stays(parts, from) && placesOf(parts)[from]!.form === 'event'
    const step = drawAggregate(random, bounds)
    parts.push({ name: `p${parts.length}`, from: first ? from : -1, step, since: 0 })
  }
  const places = placesOf(parts)
  const shape = parts.map((part, i) =>
    withFailures(random, withOutlets(random, part, parts, i), places[i]!),
  )
  return bounds.versions > 1 ? withVersions(random, shape, bounds.versions) : shape
}

function drawStep(
  random: SeededRandom,
  parts: readonly Part[],
  place: Place,
  bounds: ShapeBounds,
): Step | undefined {
  if (place.form === 'window') {
    return place.depth < 2 ? { kind: 'again' } : undefined
  }
  const aggregates = parts.filter(({ step }) => step.kind === 'aggregate').length
  const moves = parts.filter(({ step }) => step.kind === 'keyBy' || step.kind === 'enrich').length
  const kind = random.pick([
    'where',
    'filter',
    'filter',
    'map',
    'flatMap',
    'select',
    'derive',
    'keyBy',
    'keyBy',
    'enrich',
    'enrich',
    'aggregate',
    'aggregate',
    'aggregate',
  ] as const)
  // Which of several rows of a window pass is not known: only those that take them all may follow.
  const takesAll = kind === 'select' || kind === 'keyBy' || kind === 'aggregate'
  if (place.unsure && (!takesAll || place.depth > 1)) return undefined
  switch (kind) {
    case 'where':
      return { kind, kinds: random.pick([['view'], ['view'], ['click'], ['view', 'click']]) }
    case 'filter': {
      const multiple = random.pick([2, 5, 7])
      return { kind, multiples: [multiple] }
    }
    case 'flatMap':
      return { kind, modulo: random.pick([2, 3]) }
    case 'derive':
      return { kind, pages: 1 + random.int(4) }
    case 'keyBy': {
      if (moves >= mostMoves) return undefined
      const key = drawKey(random, 'user', 'page', 'value')
      return place.unsure && key.field === 'value' ? undefined : { kind, key }
    }
    case 'enrich': {
      if (moves >= mostMoves) return undefined
      const table = random.pick(['users', 'sections'] as const)
      return { kind, table, key: drawKey(random, table === 'users' ? 'user' : 'page') }
    }
    case 'aggregate':
      return aggregates < mostAggregates ? drawAggregate(random, bounds) : undefined
    default:
      return { kind }
  }
}

function drawKey(random: SeededRandom, ...fields: [KeyOf['field'], ...KeyOf['field'][]]): KeyOf {
  const field = random.pick(fields)
  return { field, by: field === 'value' || random.chance(0.25) ? 'function' : 'path' }
}

function drawAggregate(random: SeededRandom, { idle }: ShapeBounds): Step {
  return {
    kind: 'aggregate',
    sizeMs: random.pick([1_000, 4_000, 10_000, 15_000]),
    latenessMs: random.pick([0, 0, 2_000, 10_000]),
    emit: random.chance(0.6) ? 'close' : 'update',
    of: random.chance(0.7) ? 'path' : 'function',
    late: idle || random.chance(0.7),
  }
}

/** Whether a part works in the first stage. */
function stays(parts: readonly Part[], i: number): boolean {
  const place = placesOf(parts)[i]!
  return !place.moved && place.depth <= (parts[i]!.step.kind === 'aggregate' ? 1 : 0)
}

function withOutlets(random: SeededRandom, part: Part, parts: readonly Part[], i: number): Part {
  const leaf = !parts.some(({ from }) => from === i)
  const drawn = random.chance(leaf ? 1 : 0.2) ? random.pick(['topic', 'sink', 'sink', 'both']) : ''
  // A select has no name of its own, by which what a sink took could be found.
  const outlets = part.step.kind === 'select' && drawn !== '' ? 'topic' : drawn
  const topic = outlets === 'topic' || outlets === 'both' ? random.pick([1, 2, 4]) : undefined
  const sink =
    outlets === 'sink' || outlets === 'both'
      ? random.pick(['transactional', 'at-least-once'] as const)
      : undefined
  return {
    ...part,
    ...(topic === undefined ? {} : { topic }),
    ...(sink === undefined ? {} : { sink }),
  }
}

function withFailures(random: SeededRandom, part: Part, { unsure }: Place): Part {
  const { kind } = part.step
  const calls = ['filter', 'map', 'flatMap', 'derive', 'enrich'].includes(kind)
  if (!calls || unsure || !random.chance(0.7)) return part
  const at = random.chance(0.7) ? poison : random.int(100)
  const onError = random.pick(['deadLetter', 'deadLetter', 'skip', 'fail'] as const)
  return { ...part, fails: { at, onError } }
}

/** Some of what hangs on the first stage comes with a later version, or goes; a filter there changes. */
function withVersions(random: SeededRandom, shape: Shape, versions: number): Shape {
  const changed = [...shape]
  const places = placesOf(shape)
  // A stage keeps time only for what is in it: one window is in it always.
  const windows = shape.map((part, i) => part.step.kind === 'aggregate' && stays(shape, i))
  const always = new Set<number>()
  for (let i = windows.indexOf(true); i >= 0; i = shape[i]!.from) always.add(i)
  for (const [i, part] of shape.entries()) {
    const { from, step } = part
    const before = places[from] ?? atStream
    if (before.moved || before.depth > 0) continue
    const other = 1 + random.int(versions - 1)
    const luck = random.float()
    if (step.kind === 'filter' && luck < 0.3) {
      changed[i] = { ...part, step: { kind: 'filter', multiples: [...step.multiples, 3] } }
    } else if (luck < 0.5 && !always.has(i)) changed[i] = { ...part, since: other }
    else if (luck > 0.7 && !always.has(i) && (isPlain(shape, i) || isLastWindow(shape, i)))
      changed[i] = { ...part, until: other }
  }
  return changed
}

/** Its windows are given up with it, half closed or not. */
function isLastWindow(shape: Shape, i: number): boolean {
  return shape[i]!.step.kind === 'aggregate' && !shape.some(({ from }) => from === i)
}

/** Nothing with state or in another stage follows from it: what is removed leaves nothing behind. */
function isPlain(shape: Shape, root: number): boolean {
  const under = (i: number): boolean => i === root || (i >= 0 && under(shape[i]!.from))
  const stateful = ['keyBy', 'enrich', 'aggregate']
  return !shape.some(({ step }, i) => under(i) && stateful.includes(step.kind))
}

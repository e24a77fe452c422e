// @ts-check
// The live page. Everything that comes from events is set as text, never as markup.

const shownSeconds = 60

/** @type {Map<string, number[]>} */
const history = new Map()
/** @type {Map<string, Set<string>>} */
const seenRows = new Map()

/** @param {string} id */
function byId(id) {
  const element = document.getElementById(id)
  if (element === null) throw new Error(`no #${id}`)
  return element
}

/**
 * @param {string} name
 * @param {string} [className]
 * @param {string} [text]
 */
function make(name, className, text) {
  const element = document.createElement(name)
  if (className !== undefined && className !== '') element.className = className
  if (text !== undefined) element.textContent = text
  return element
}

/** @param {number} value */
function count(value) {
  if (value >= 1e9) return `${(value / 1e9).toFixed(2)} G`
  if (value >= 1e6) return `${(value / 1e6).toFixed(2)} M`
  return Math.round(value).toLocaleString('en-US')
}

/** @param {number} ms */
function duration(ms) {
  const seconds = Math.floor(ms / 1000)
  if (seconds < 120) return `${seconds} s`
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min`
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`
}

/** The engine's clock, as its last message has it. */
let now = 0

/**
 * The time of day, in UTC; of another day with its date.
 * @param {number} ms
 */
function time(ms) {
  const text = new Date(ms).toISOString()
  const today = text.slice(0, 10) === new Date(now).toISOString().slice(0, 10)
  return today ? text.slice(11, 19) : `${text.slice(0, 10)} ${text.slice(11, 19)}`
}

/** @param {string} status */
function tone(status) {
  if (status === 'running' || status === 'ready') return 'good'
  if (status === 'finished') return 'quiet'
  return status === 'failed' || status === 'behind-retention' ? 'bad' : 'warn'
}

/** @param {readonly number[]} values */
function sparkline(values) {
  const space = 'http://www.w3.org/2000/svg'
  const svg = document.createElementNS(space, 'svg')
  svg.setAttribute('viewBox', `0 0 ${shownSeconds - 1} 20`)
  svg.setAttribute('preserveAspectRatio', 'none')
  svg.setAttribute('aria-hidden', 'true')
  const most = Math.max(1, ...values)
  const first = shownSeconds - values.length
  const points = values.map((value, i) => `${first + i},${(20 - (value / most) * 19).toFixed(1)}`)
  const line = document.createElementNS(space, 'polyline')
  line.setAttribute('points', points.join(' '))
  svg.append(line)
  return svg
}

function showTotals(totals) {
  const tiles = [
    ['events in per second', count(totals.inPerSecond), ''],
    ['records processed per second', count(totals.processedPerSecond), ''],
    ['rows delivered per second', count(totals.deliveredPerSecond), ''],
    ['records behind', count(totals.lag), ''],
    ['late', count(totals.late), totals.late > 0 ? 'warn' : ''],
    ...(totals.shed > 0 ? [['shed', count(totals.shed), 'warn']] : []),
    ['dead letters', count(totals.deadLettered), totals.deadLettered > 0 ? 'bad' : ''],
  ]
  byId('tiles').replaceChildren(
    ...tiles.map(([label, value, className]) => {
      const tile = make('div', 'tile')
      tile.append(make('div', `value ${className}`, value), make('div', 'label', label))
      return tile
    }),
  )
}

function showStages(stages) {
  const rows = stages.map((stage) => {
    const before = history.get(stage.id) ?? []
    // The first look has nothing to compare with.
    const values =
      before.length === 0 && stage.perSecond === 0
        ? []
        : [...before, stage.perSecond].slice(-shownSeconds)
    history.set(stage.id, values)
    const row = make('tr')
    const status = make('td', tone(stage.status), stage.status)
    if (stage.error !== undefined) status.title = stage.error
    const graph = make('td', 'graph')
    graph.append(sparkline(values))
    row.append(
      make('td', 'id', stage.id),
      status,
      make('td', 'n', count(stage.perSecond)),
      graph,
      make('td', 'n', count(stage.read)),
      make('td', 'n', count(stage.lag)),
      make('td', 'n', count(stage.late)),
      make('td', `n ${stage.deadLettered > 0 ? 'bad' : ''}`, count(stage.deadLettered)),
      make('td', 'n quiet', stage.watermark === undefined ? '–' : time(stage.watermark)),
    )
    return row
  })
  byId('stages').replaceChildren(...rows)
}

/** @type {Map<string, { panel: HTMLElement, table: HTMLElement, empty: HTMLElement, shown: string }>} */
const panels = new Map()

/** @param {string} topic */
function panelOf(topic) {
  const known = panels.get(topic)
  if (known !== undefined) return known
  const panel = make('div', 'panel')
  const empty = make('p', 'quiet', 'Nothing yet: a window shows when it closes.')
  const scroll = make('div', 'scroll')
  const table = make('table')
  scroll.append(table)
  panel.append(make('h2', '', topic), empty, scroll)
  byId('tables').append(panel)
  const made = { panel, table, empty, shown: '' }
  panels.set(topic, made)
  return made
}

function showTables(tables) {
  for (const { topic, rows } of tables) {
    const panel = panelOf(topic)
    // What did not change stays: a selection, and how far it is scrolled.
    const shown = JSON.stringify(rows)
    if (shown === panel.shown) continue
    panel.shown = shown
    panel.empty.hidden = rows.length > 0
    const columns = [...new Set(rows.flatMap((row) => row.map(([name]) => name)))]
    const head = make('tr')
    head.append(...columns.map((name) => make('th', '', name)))
    const before = seenRows.get(topic)
    const now = new Set()
    const lines = rows.map((row) => {
      const key = JSON.stringify(row)
      now.add(key)
      const line = make('tr', before !== undefined && !before.has(key) ? 'fresh' : '')
      const values = new Map(row)
      line.append(...columns.map((name) => make('td', 'text', values.get(name) ?? '')))
      return line
    })
    seenRows.set(topic, now)
    const thead = make('thead')
    thead.append(head)
    const tbody = make('tbody')
    tbody.append(...lines)
    panel.table.replaceChildren(thead, tbody)
  }
}

function showLetters(letters) {
  if (letters.length === 0) {
    byId('letters').replaceChildren(make('p', 'quiet', 'None.'))
    return
  }
  byId('letters').replaceChildren(
    ...letters.map(({ at, stage, operator, code, message, raw }) => {
      const letter = make('div', 'letter')
      const first = make('div')
      first.append(
        make('span', 'quiet', `${time(at)}  `),
        make('span', 'bad', code),
        make('span', '', `  ${stage}, ${operator}: ${message.replace(`${code}: `, '')}`),
      )
      letter.append(first, make('code', '', raw))
      return letter
    }),
  )
}

function showState(message) {
  const ready = message.state === 'ready' && message.notReady.length === 0
  const state = byId('state')
  // An engine that is up may still have something that does not run.
  state.textContent = ready ? 'running' : message.state === 'ready' ? 'not ready' : message.state
  state.className = `state ${ready ? 'good' : tone(message.state === 'failed' ? 'failed' : 'starting')}`
  byId('up').textContent = `version ${message.version}, up ${duration(message.upMs)}`
  const problem = byId('problem')
  problem.hidden = message.notReady.length === 0
  problem.textContent = message.notReady.join('\n')
}

function show(message) {
  now = message.at
  showState(message)
  showTotals(message.totals)
  showStages(message.stages)
  showTables(message.tables)
  showLetters(message.letters)
}

let wait = 250

function connect() {
  const url = new URL('/live', location.href)
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:'
  const socket = new WebSocket(url)
  socket.addEventListener('message', ({ data }) => {
    wait = 250
    show(JSON.parse(data))
  })
  socket.addEventListener('close', ({ reason }) => {
    const state = byId('state')
    state.textContent = 'disconnected'
    state.className = 'state bad'
    byId('up').textContent = reason === '' ? 'trying again…' : `${reason} Trying again…`
    setTimeout(connect, wait)
    wait = Math.min(wait * 2, 5000)
  })
}

connect()

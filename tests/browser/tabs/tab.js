// tab.js: one tab under test: the package, and a writer whose every commit can be counted.
//
// A commit of a writer puts its number and takes one token away (the first key of its tokens, whichever that is then).
// A commit that is made twice takes two tokens: then there are more tokens gone than numbers there.

import * as varve from '/bindings/js/browser.js'

const { Database } = varve
const tell = (/** @type {any} */ message) => /** @type {any} */ (globalThis).report?.(message)

/** Every worker of this page, to be ended without asking. @type {Worker[]} */
const workers = []
/** The next answer to a commit is lost, and its leader with it: what was made must not be made again. */
let swallow = false
globalThis.Worker = class extends Worker {
  constructor(/** @type {any[]} */ ...args) {
    super(.../** @type {[any, any]} */ (args))
    workers.push(this)
  }

  /** @param {(event: MessageEvent) => void} listener */
  set onmessage(listener) {
    this.addEventListener('message', (event) => {
      if (swallow && event.data.t === 'did' && event.data.results.length > 0) {
        swallow = false
        this.terminate()
      } else listener(event)
    })
  }
}

/** @param {number} n */
const padded = (n) => String(n).padStart(6, '0')

let running = false
/** @type {any} */
let db

/** Opens the database and writes until the tab is gone. @param {{ name: string, tab: string, tokens: number,
 * storage?: string, strict?: boolean }} options */
async function write({ name, tab, tokens, storage, strict }) {
  db = await Database.open(name, { ...(storage && { storage }) })
  globalThis.db = db
  db.watch({ prefix: `n:` }, (/** @type {any[]} */ changes) => watched(changes))
  await db.batch(Array.from({ length: tokens }, (_, i) => ({ type: 'put', key: `t:${tab}:${padded(i)}`, value: 't' })))
  tell({ tab, begun: true })
  running = true
  for (let n = 0; running && n < tokens - 4;) {
    const together = 1 + (n % 3)
    await tell({ tab, issued: n + together })
    const began = performance.now()
    const frozen = frozenMs
    const all = []
    for (let i = 0; i < together; i++) all.push(one(tab, n + i, strict === true))
    try {
      await Promise.all(all)
    } catch (error) {
      return tell({ tab, failed: `${error?.code} ${error?.message}` })
    }
    n += together
    const ended = performance.now()
    tell({ tab, acked: n, leads: db.leads })
    if (n % 20 === 0) await check(tab, n)
    await new Promise((resolve) => setTimeout(resolve, 60 + Math.random() * 60))
    tell({ tab, waited: ended - began - (frozenMs - frozen) }) // by now it is known whether the page stood still
  }
  tell({ tab, ended: true })
}

let frozenMs = 0
let lastBeat = performance.now()
setInterval(() => {
  const now = performance.now()
  if (now - lastBeat > 700) frozenMs += now - lastBeat // the page stood still: the wait is not the database's
  lastBeat = now
}, 50)

/** Both calls are made in one turn: they share a commit. @param {string} tab @param {number} n
 * @param {boolean} strict */
function one(tab, n, strict) {
  const durability = strict ? 'strict' : 'relaxed'
  const taken = db.clear({ prefix: `t:${tab}:`, limit: 1, durability })
  return Promise.all([taken, db.put(`n:${tab}:${padded(n)}`, String(n), { durability })])
}

/** What was acknowledged is there. @param {string} tab @param {number} n */
async function check(tab, n) {
  const count = await db.count({ prefix: `n:${tab}:` })
  if (count !== n) tell({ tab, failed: `it reads ${count} of ${n} acknowledged commits` })
}

/** Numbers that a watcher was told of, in order by tab. @type {Map<string, number>} */
const told = new Map()
let missed = 0
let disorder = 0

/** @param {any[]} changes */
function watched(changes) {
  for (const { type, key } of changes) {
    if (type === 'missed') {
      missed++
      told.clear()
      continue
    }
    const [, tab = '', number] = key.split(':')
    const last = told.get(tab)
    if (last !== undefined && Number(number) !== last + 1) disorder++
    told.set(tab, Number(number))
  }
}

/** Every leader that was heard of. @type {Set<number>} */
const leaders = new Set()

/** @param {string} name */
function listen(name) {
  new BroadcastChannel(`varve:${name}`).onmessage = ({ data }) => {
    if (data.t === 'leader') leaders.add(data.epoch)
  }
}

/** What is in the database, by tab. @param {{ name: string, storage?: string }} options */
async function census({ name, storage }) {
  const reader = await Database.open(name, { ...(storage && { storage }) })
  /** @type {Record<string, { numbers: number, highest: number, tokens: number }>} */
  const found = {}
  const of = (/** @type {string} */ tab) => (found[tab] ??= { numbers: 0, highest: -1, tokens: 0 })
  for await (const key of reader.keys()) {
    const [kind, tab = '', number] = key.split(':')
    if (kind === 't') of(tab).tokens++
    else if (kind === 'n') {
      of(tab).numbers++
      of(tab).highest = Math.max(of(tab).highest, Number(number))
    }
  }
  const report = await reader.verify()
  await reader.close()
  return { found, report }
}

Object.assign(globalThis, {
  varve,
  workers,
  swallow: () => (swallow = true),
  write,
  census,
  stop: () => (running = false),
  watch: () => ({ missed, disorder, tabs: told.size }),
  listen,
  leaders: () => leaders.size,
  ready: true,
})

// key_index.js: which key stands in which row. A sorted store knows no row numbers, so one walk over the keys notes
// every PAGE-th of them; a page's keys are read when they are looked at, and forgotten when others are. Changes that
// watch tells of are put into the page that they fall into, so that rows come and go without another walk.
//
// Invariants: pages are in the order of their first keys; page i holds the keys from its `first` to below that of
// page i + 1; `total` is the sum of their counts; a page whose `keys` are there has exactly `count` of them.

import { compareBytes, hasPrefix, showKey, toBytes } from './bytes_text.js'

/** @typedef {import('./page_store.js').PageStore} PageStore */
/** @typedef {import('./page_store.js').Told} Told */
/** @typedef {{ first: Uint8Array, count: number, keys: Uint8Array[] | null, used: number, loading: boolean,
 *   stale: boolean }} Page */
/** @typedef {{ mode: 'prefix' | 'contains', text: string, prefix: Uint8Array }} Filter */

const PAGE = 256
const PAGES_KEPT = 48
const REBUILD_AFTER = 200
const REBUILD_PAUSE_MS = 700
const REBUILD_PAUSE_MOST_MS = 3000
const TELL_MS = 60
const EMPTY = new Uint8Array(0)

/** @param {Uint8Array} first @param {Uint8Array[] | null} keys @returns {Page} */
const pageOf = (first, keys) => ({ first, count: keys?.length ?? 0, keys, used: 0, loading: false, stale: false })

/** @param {string | Uint8Array} key */
const bytesOf = (key) => (typeof key === 'string' ? toBytes(key) : key)

/** The first place in sorted keys that is not below `key`. @param {Uint8Array[]} keys @param {Uint8Array} key */
function lowerBound(keys, key) {
  let low = 0
  let high = keys.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (compareBytes(/** @type {Uint8Array} */ (keys[middle]), key) < 0) low = middle + 1
    else high = middle
  }
  return low
}

export class KeyIndex {
  /** @type {Page[]} */
  #pages = []
  /** @type {Told[]} */
  #waiting = []
  #building = false
  /** How long the last walk took. */
  #lasted = 0
  #clock = 0
  #walk = new AbortController()
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer
  #onChange

  /** @param {PageStore} store @param {() => void} onChange rows changed @param {(error: unknown) => void} onError */
  constructor(store, onChange, onError) {
    this.store = store
    this.total = 0
    this.walking = false
    this.onError = onError
    this.#onChange = onChange
    /** @type {Filter} */
    this.filter = { mode: 'prefix', text: '', prefix: EMPTY }
  }

  /** Shows other keys. @param {Filter} filter */
  search(filter) {
    this.filter = filter
    return this.rebuild()
  }

  close() {
    this.#walk.abort()
    clearTimeout(this.#timer)
  }

  /** @param {Uint8Array} key */
  matches(key) {
    const { mode, prefix } = this.filter
    return mode === 'prefix' ? hasPrefix(key, prefix) : this.#contained(key)
  }

  /** One walk over all keys. A newer one ends an older one. What is shown stays until the walk is further. */
  async rebuild() {
    this.#walk.abort()
    clearTimeout(this.#timer)
    this.#timer = undefined
    const walk = (this.#walk = new AbortController())
    const since = performance.now()
    this.#waiting = []
    this.#building = true
    this.walking = true
    this.#onChange()
    try {
      await this.#walkKeys(walk.signal)
    } catch (error) {
      if (!walk.signal.aborted) this.onError(error)
    }
    if (walk.signal.aborted) return
    this.#lasted = performance.now() - since
    this.walking = this.#building = false
    const waiting = this.#waiting
    this.#waiting = []
    this.apply(waiting)
    this.#onChange()
  }

  /** @param {AbortSignal} signal */
  async #walkKeys(signal) {
    const { mode, prefix } = this.filter
    /** @type {Page[]} */
    const pages = []
    /** @type {(string | Uint8Array)[]} */
    let keys = []
    let total = 0
    let told = performance.now()
    const closePage = () => {
      const first = pages.length === 0 ? EMPTY : bytesOf(/** @type {string} */ (keys[0]))
      const keep = mode === 'contains' || pages.length < PAGES_KEPT
      pages.push({ ...pageOf(first, keep ? keys.map(bytesOf) : null), count: keys.length })
      total += keys.length
      keys = []
    }
    const show = () => {
      this.#pages = pages
      this.total = total
      this.#onChange()
    }
    const range = mode === 'prefix' && prefix.length > 0 ? { prefix, signal } : { signal }
    for await (const key of this.store.keys(range)) {
      if (signal.aborted) return
      if (mode === 'prefix' || this.#contained(key)) keys.push(key)
      if (keys.length === PAGE) closePage()
      if (performance.now() - told > TELL_MS) {
        if (total >= this.total || total >= PAGE) show()
        await new Promise((resolve) => setTimeout(resolve))
        told = performance.now()
      }
    }
    if (signal.aborted) return
    if (keys.length > 0 || pages.length === 0) closePage()
    show()
  }

  /** @param {string | Uint8Array} key */
  #contained(key) {
    return (typeof key === 'string' ? key : showKey(key).text).toLowerCase().includes(this.filter.text)
  }

  /** The key of a row, or undefined while it is being read. @param {number} row */
  at(row) {
    let rest = row
    for (const page of this.#pages) {
      if (rest < page.count) {
        page.used = ++this.#clock
        if (page.keys === null || page.stale) this.#load(page)
        return page.keys?.[rest]
      }
      rest -= page.count
    }
    return undefined
  }

  /** The row that a key is in, or would be in. @param {Uint8Array} key */
  rowOf(key) {
    const at = this.#pageAt(key)
    const before = this.#pages.slice(0, at).reduce((sum, page) => sum + page.count, 0)
    const keys = this.#pages[at]?.keys
    if (!keys) return { row: before, found: false, known: false }
    const place = lowerBound(keys, key)
    const other = keys[place]
    return { row: before + place, found: other !== undefined && compareBytes(other, key) === 0, known: true }
  }

  /** Reads the page of a key, if need be. @param {Uint8Array} key */
  async locate(key) {
    const page = this.#pages[this.#pageAt(key)]
    if (page !== undefined && page.keys === null) await this.#load(page)
    return this.rowOf(key)
  }

  /** Changes that were made, here or elsewhere. @param {Told[]} changes */
  apply(changes) {
    if (this.#building) {
      this.#waiting.push(...changes)
      return
    }
    if (changes.length === 0) return
    if (changes.length > REBUILD_AFTER || changes.some(({ key }) => key === undefined)) return this.#rebuildSoon()
    for (const { type, key } of changes) {
      if (key !== undefined && this.matches(key)) this.#applyOne(type, key)
    }
    this.#onChange()
  }

  /** @param {Told['type']} type @param {Uint8Array} key */
  #applyOne(type, key) {
    const at = this.#pageAt(key)
    const page = this.#pages[at]
    if (page === undefined) return this.#rebuildSoon()
    if (page.keys === null || page.loading) {
      page.stale = true
      void this.#load(page)
      return
    }
    const place = lowerBound(page.keys, key)
    const other = page.keys[place]
    const there = other !== undefined && compareBytes(other, key) === 0
    if (type === 'put' && !there) page.keys.splice(place, 0, key)
    if (type === 'del' && there) page.keys.splice(place, 1)
    this.#recount(page)
    if (page.count > 2 * PAGE) this.#split(at)
  }

  #rebuildSoon() {
    if (this.#timer !== undefined) return
    const pause = Math.min(REBUILD_PAUSE_MOST_MS, REBUILD_PAUSE_MS + 2 * this.#lasted)
    this.#timer = setTimeout(() => void this.rebuild(), pause)
  }

  /** @param {Page} page */
  #recount(page) {
    const counted = page.keys?.length ?? page.count
    this.total += counted - page.count
    page.count = counted
  }

  /** @param {number} at */
  #split(at) {
    const page = /** @type {Page} */ (this.#pages[at])
    const keys = /** @type {Uint8Array[]} */ (page.keys)
    const behind = keys.splice(PAGE)
    page.count = keys.length
    this.#pages.splice(at + 1, 0, { ...pageOf(/** @type {Uint8Array} */ (behind[0]), behind), used: page.used })
  }

  /** The number of the page that a key falls into. @param {Uint8Array} key */
  #pageAt(key) {
    let low = 0
    let high = this.#pages.length
    while (high - low > 1) {
      const middle = (low + high) >> 1
      if (compareBytes(/** @type {Page} */ (this.#pages[middle]).first, key) <= 0) low = middle
      else high = middle
    }
    return low
  }

  /** @param {Page} page */
  async #load(page) {
    // While the walk goes on nobody knows yet where the last page ends.
    if (page.loading || (this.#building && page === this.#pages.at(-1))) return
    page.loading = true
    const signal = this.#walk.signal
    try {
      do {
        page.stale = false
        const keys = await this.#read(page, signal)
        if (signal.aborted || !this.#pages.includes(page)) return
        page.keys = keys
        this.#recount(page)
      } while (page.stale)
      this.#forget()
      this.#onChange()
    } catch (error) {
      if (!signal.aborted) this.onError(error)
    } finally {
      page.loading = false
    }
  }

  /** @param {Page} page @param {AbortSignal} signal */
  async #read(page, signal) {
    const next = this.#pages[this.#pages.indexOf(page) + 1]
    const { prefix } = this.filter
    /** @type {import('./page_store.js').KeyRange} */
    const range = { gte: page.first, signal }
    if (next !== undefined) range.lt = next.first
    if (prefix.length > 0) range.prefix = prefix
    const keys = []
    for await (const key of this.store.keys(range)) keys.push(bytesOf(key))
    return keys
  }

  /** Lets go of the keys of pages that were not looked at for the longest time. */
  #forget() {
    if (this.filter.mode === 'contains') return // what matches is known from the walk alone
    const kept = this.#pages.filter((page) => page.keys !== null && !page.loading)
    if (kept.length <= PAGES_KEPT) return
    kept.sort((a, b) => a.used - b.used)
    for (const page of kept.slice(0, kept.length - PAGES_KEPT)) page.keys = null
  }
}

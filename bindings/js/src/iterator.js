// iterator.js: rows of a range. Rows are fetched in pages: small at first, for those who only want a few, then
// larger, so that a long walk crosses into the engine once in a thousand rows.

import { asyncDispose, dispose } from './dispose.js'
import { closedError } from './errors.js'
import { platform } from './platform.js'
import { handleOf } from './snapshot.js'

const FIRST_ROWS = 16
const MOST_ROWS = 1000
const PAGE_BYTES = 256 << 10
const PAUSE_AFTER_MS = 8

/** @typedef {'entries' | 'keys' | 'values'} RowKind */

/** The pages of one walk. */
class Pages {
  #engine
  #handles
  #handle
  #ticket
  #keyEncoding
  #valueEncoding
  #rows = FIRST_ROWS
  #left
  #signal
  #reusable
  #last = false
  /** @type {any[] | null} */
  keys
  /** @type {any[] | null} */
  values
  at = 0
  count = 0
  ended = false

  /**
   * @param {import('./store.js').Context} context
   * @param {import('./range.js').Span} span
   * @param {RowKind} kind
   * @param {boolean} reusable seek() may go back from the end, so only close() closes
   */
  constructor(context, span, kind, reusable = false) {
    const { engine, handles } = context
    this.#reusable = reusable
    this.#engine = engine
    this.#handles = handles
    this.#keyEncoding = context.keyEncoding
    this.#valueEncoding = context.valueEncoding
    this.keys = kind === 'values' ? null : []
    this.values = kind === 'keys' ? null : []
    this.#left = span.limit
    this.#signal = span.signal
    const snapshot = span.snapshot === undefined ? 0 : handleOf(context, span.snapshot)
    if (span.empty) {
      this.ended = true
      this.#handle = 0
      this.#ticket = 0
      return
    }
    this.#handle = engine.openIterator(context.keyspace, snapshot, span)
    this.#ticket = handles.add(this, this.#handle, 'iterator', `${kind}()`)
  }

  /** Fetches the next page; false when there are no more rows. */
  fetch() {
    if (this.ended) return false
    this.stopIfAborted()
    if (this.#last || this.#left === 0) return this.end()
    if (!this.#handles.has(this.#ticket)) {
      this.ended = true
      throw closedError('the database')
    }
    const rows = Math.min(this.#rows, this.#left)
    this.#rows = Math.min(2 * this.#rows, MOST_ROWS)
    if (this.keys !== null) this.keys.length = 0
    if (this.values !== null) this.values.length = 0
    const { form: keyForm, decode: decodeKey } = this.#keyEncoding
    const { form: valueForm, decode: decodeValue } = this.#valueEncoding
    try {
      this.#last = this.#engine.readPage(this.#handle, this.keys, this.values, rows, PAGE_BYTES, keyForm, valueForm)
      if (this.keys !== null && decodeKey !== null) decodeAll(this.keys, decodeKey, 'key', null)
      if (this.values !== null && decodeValue !== null) decodeAll(this.values, decodeValue, 'value', this.keys)
    } catch (error) {
      this.end()
      throw error
    }
    this.at = 0
    this.count = (this.keys ?? this.values ?? []).length
    this.#left -= this.count
    return this.count > 0 || this.end()
  }

  stopIfAborted() {
    if (this.#signal === undefined || !this.#signal.aborted) return
    this.end()
    throw this.#signal.reason
  }

  /** @returns {false} */
  end() {
    this.ended = true
    this.count = 0
    this.at = 0
    if (!this.#reusable) this.close()
    return false
  }

  close() {
    this.ended = true
    if (this.#ticket !== 0) this.#handles.close(this.#ticket, this)
  }

  /** @param {string | Uint8Array} key the next row is the first one from here on */
  seek(key) {
    if (this.#ticket === 0) return
    if (!this.#handles.has(this.#ticket)) throw closedError('the database')
    this.ended = false
    this.#engine.seekIterator(this.#handle, key)
    this.#last = false
    this.#left += this.count - this.at
    this.at = 0
    this.count = 0
    this.#rows = FIRST_ROWS
  }

  /** The row at `at`, which there is. */
  row() {
    const at = this.at++
    if (this.values === null) return /** @type {any[]} */ (this.keys)[at]
    return this.keys === null ? this.values[at] : [this.keys[at], this.values[at]]
  }
}

/** @param {any[]} raw @param {(raw: any, what: string, key?: any) => any} decode @param {string} what
 * @param {any[] | null} keys of the values, for messages */
function decodeAll(raw, decode, what, keys) {
  for (let i = 0; i < raw.length; i++) raw[i] = decode(raw[i], what, keys?.[i])
}

/** Rows that are taken in any numbers, and from any key on: what the facade of abstract-level is made of. */
export class Cursor {
  #pages

  /** @param {import('./store.js').Context} context @param {import('./range.js').Span} span @param {RowKind} kind */
  constructor(context, span, kind) {
    this.#pages = new Pages(context, span, kind, true)
  }

  /** The next row, or undefined. */
  next() {
    const pages = this.#pages
    return pages.at < pages.count || pages.fetch() ? pages.row() : undefined
  }

  /** The next rows, fewer than `size` only at the end. @param {number} size @returns {any[]} */
  take(size) {
    const pages = this.#pages
    const rows = []
    while (rows.length < size && (pages.at < pages.count || pages.fetch())) rows.push(pages.row())
    return rows
  }

  /** @param {string | Uint8Array} key */
  seek(key) {
    this.#pages.seek(key)
  }

  close() {
    this.#pages.close()
  }
}

export class SyncRows {
  #pages

  /** @param {import('./store.js').Context} context @param {import('./range.js').Span} span @param {RowKind} kind */
  constructor(context, span, kind) {
    this.#pages = new Pages(context, span, kind)
  }

  [Symbol.iterator]() {
    return this
  }

  /** @returns {IteratorResult<any, undefined>} */
  next() {
    const pages = this.#pages
    pages.stopIfAborted()
    if (pages.at >= pages.count && !pages.fetch()) return { value: undefined, done: true }
    return { value: pages.row(), done: false }
  }

  /** @returns {IteratorResult<any, undefined>} */
  return() {
    this.#pages.end()
    return { value: undefined, done: true }
  }

  [dispose]() {
    this.#pages.end()
  }
}

export class AsyncRows {
  #pages
  #since = 0

  /** @param {import('./store.js').Context} context @param {import('./range.js').Span} span @param {RowKind} kind */
  constructor(context, span, kind) {
    this.#pages = new Pages(context, span, kind)
  }

  [Symbol.asyncIterator]() {
    return this
  }

  /** @returns {Promise<IteratorResult<any, undefined>>} */
  next() {
    const pages = this.#pages
    try {
      pages.stopIfAborted()
    } catch (error) {
      return Promise.reject(error)
    }
    if (pages.at < pages.count) return Promise.resolve({ value: pages.row(), done: false })
    return this.#nextPage()
  }

  /** @returns {Promise<IteratorResult<any, undefined>>} */
  async #nextPage() {
    // Rows that are there at once starve the event loop: let timers and I/O in from time to time.
    const now = performance.now()
    if (this.#since === 0) this.#since = now
    else if (now - this.#since > PAUSE_AFTER_MS) {
      await platform().pause()
      this.#since = performance.now()
    }
    const pages = this.#pages
    if (pages.at >= pages.count && !pages.fetch()) return { value: undefined, done: true }
    return { value: pages.row(), done: false }
  }

  /** @returns {Promise<IteratorResult<any, undefined>>} */
  return() {
    this.#pages.end()
    return Promise.resolve({ value: undefined, done: true })
  }

  async [asyncDispose]() {
    this.#pages.end()
  }
}

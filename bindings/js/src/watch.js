// watch.js: who wants to know of changes. A commit tells every watcher, in the order of commits, what it changed in
// the watcher's range, once it is made; never what failed. One database has one writer, this program, so nothing else
// can change it.
//
// Listeners run in a microtask of their own: a commit may be made in the middle of a read, and a listener that writes
// or reads must not find itself there.

import { ABI_OP_CLEAR, ABI_OP_PUT } from './abi.js'
import { asyncDispose, dispose } from './dispose.js'
import { FORM_BUFFER, FORM_TEXT } from './encodings.js'
import { boundsOf, bytesOf, compare, overlaps } from './range.js'

/** @import { Change } from './changes.js' */
/** @import { Encoding } from './encodings.js' */

/**
 * @typedef {object} Watch
 * @property {number} keyspace
 * @property {{ begin: Uint8Array, end: Uint8Array }} bounds an empty end is none
 * @property {Encoding} keyEncoding
 * @property {Encoding} valueEncoding
 * @property {(changes: any[]) => void} tell
 * @property {() => void} ended the database was closed
 */

const decoder = new TextDecoder('utf-8', { ignoreBOM: true })

/** What a read would give for bytes that were written. @param {Encoding} encoding @param {string | Uint8Array} raw
 * @param {string} what @param {any} [key] */
export function decoded({ form, decode }, raw, what, key) {
  /** @type {any} */
  let value
  if (form === FORM_TEXT) value = typeof raw === 'string' ? raw : decoder.decode(raw)
  else {
    const bytes = bytesOf(raw)
    value = form === FORM_BUFFER && globalThis.Buffer !== undefined ? globalThis.Buffer.from(bytes) : bytes.slice()
  }
  return decode === null ? value : decode(value, what, key)
}

/** The change as a watcher gets it; null when it is outside of its range.
 * @param {Watch} watch @param {Change} change */
function seenBy(watch, change) {
  if (change.keyspace !== watch.keyspace) return null
  if (change.kind === ABI_OP_CLEAR) return clearedFor(watch, change)
  const bytes = bytesOf(change.key)
  const { begin, end } = watch.bounds
  if (compare(bytes, begin) < 0 || (end.length > 0 && compare(bytes, end) >= 0)) return null
  const key = decoded(watch.keyEncoding, change.key, 'key')
  if (change.kind !== ABI_OP_PUT) return { type: 'del', key }
  return { type: 'put', key, value: decoded(watch.valueEncoding, change.value, 'value', key) }
}

/** Bounds need not be whole keys of the encoding, so they are given as bytes. @param {Watch} watch
 * @param {Change} change */
function clearedFor(watch, change) {
  const begin = bytesOf(change.key)
  const end = bytesOf(change.value)
  if (!overlaps(watch.bounds, { begin, end })) return null
  return { type: 'clear', ...(begin.length > 0 && { gte: begin.slice() }), ...(end.length > 0 && { lt: end.slice() }) }
}

/** All that watch one database. */
export class Watchers {
  /** @type {Set<Watch>} */
  #all = new Set()

  /** Whether anybody listens: else changes need not be kept. */
  get any() {
    return this.#all.size > 0
  }

  /** @param {Watch} watch */
  add(watch) {
    this.#all.add(watch)
  }

  /** @param {Watch} watch */
  delete(watch) {
    this.#all.delete(watch)
  }

  /** A commit was made. @param {readonly Change[]} changes nobody changes their bytes any more */
  committed(changes) {
    for (const watch of this.#all) queueMicrotask(() => this.#tell(watch, changes))
  }

  /** Runs code of the application: decoders and the listener.
   * @param {Watch} watch @param {readonly Change[]} changes */
  #tell(watch, changes) {
    if (!this.#all.has(watch)) return
    const seen = changes.map((change) => seenBy(watch, change)).filter((change) => change !== null)
    if (seen.length > 0) watch.tell(seen)
  }

  /** What was committed before is told first. */
  closeAll() {
    queueMicrotask(() => {
      for (const watch of [...this.#all]) watch.ended()
    })
  }
}

/** What db.watch() returns: it is closed, or walked over commit by commit. */
export class Watcher {
  #watchers
  /** @type {Watch} */
  #watch
  /** Commits that nobody took yet. @type {any[][]} */
  #waiting = []
  /** @type {((result: IteratorResult<any, undefined>) => void) | null} */
  #wanted = null
  #closed = false

  /** @param {Watchers} watchers @param {import('./store.js').Context} context @param {import('./range.js').Span} span
   * @param {((changes: any[]) => void) | undefined} listener */
  constructor(watchers, context, span, listener) {
    const { keyspace, keyEncoding, valueEncoding } = context
    this.#watchers = watchers
    this.#watch = {
      keyspace,
      bounds: boundsOf(span) ?? { begin: new Uint8Array(1), end: new Uint8Array(1) },
      keyEncoding,
      valueEncoding,
      tell: listener ?? ((changes) => this.#offer(changes)),
      ended: () => this.close(),
    }
    if (span.signal?.aborted) this.#closed = true
    else watchers.add(this.#watch)
    span.signal?.addEventListener('abort', () => this.close(), { once: true })
  }

  /** @param {any[]} changes */
  #offer(changes) {
    const wanted = this.#wanted
    this.#wanted = null
    if (wanted !== null) wanted({ value: changes, done: false })
    else this.#waiting.push(changes)
  }

  /** Nothing more is told. Closing twice is allowed. */
  close() {
    this.#closed = true
    this.#watchers.delete(this.#watch)
    this.#wanted?.({ value: undefined, done: true })
    this.#wanted = null
  }

  [Symbol.asyncIterator]() {
    return this
  }

  /** The changes of the next commit. @returns {Promise<IteratorResult<any, undefined>>} */
  next() {
    const value = this.#waiting.shift()
    if (value !== undefined) return Promise.resolve({ value, done: false })
    if (this.#closed) return Promise.resolve({ value: undefined, done: true })
    if (this.#wanted !== null) return Promise.reject(new TypeError('next() of a watcher waits already: await it first'))
    return new Promise((resolve) => (this.#wanted = resolve))
  }

  /** @returns {Promise<IteratorResult<any, undefined>>} */
  return() {
    this.close()
    this.#waiting.length = 0
    return Promise.resolve({ value: undefined, done: true })
  }

  [dispose]() {
    this.close()
  }

  async [asyncDispose]() {
    this.close()
  }
}

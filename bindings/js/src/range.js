// range.js: a range as an application writes it ({ gt, gte, lt, lte, prefix, reverse, limit, snapshot }) becomes the
// half-open one that the engine walks: lower <= key < upper, and a prefix. The successor of a key is the key with a
// zero byte behind it, so gt and lte need nothing of their own.

import { refuseLoneSurrogates } from './encodings.js'
import { checkOptions, describe } from './errors.js'

const BOUNDS = ['gt', 'gte', 'lt', 'lte', 'prefix']
const SPAN_OPTIONS = [...BOUNDS, 'reverse', 'limit', 'keyEncoding']
const RANGE_OPTIONS = [...SPAN_OPTIONS, 'snapshot', 'valueEncoding', 'signal']
const WATCH_OPTIONS = [...BOUNDS, 'keyEncoding', 'valueEncoding', 'signal']
const COUNT_OPTIONS = [...BOUNDS, 'snapshot', 'keyEncoding']

const INDEX_OPTIONS = [...BOUNDS, 'eq', 'reverse', 'limit', 'signal']

const OPTIONS = {
  iterate: RANGE_OPTIONS,
  clear: SPAN_OPTIONS,
  count: COUNT_OPTIONS,
  watch: WATCH_OPTIONS,
  index: INDEX_OPTIONS,
}

/**
 * @typedef {object} Span what module.js takes
 * @property {string | Uint8Array} lower '' = none
 * @property {string | Uint8Array} upper '' = none
 * @property {string | Uint8Array} prefix '' = none
 * @property {boolean} empty nothing can be in it
 * @property {boolean} reverse
 * @property {number} limit Infinity = none
 * @property {import('./snapshot.js').Snapshot | undefined} snapshot
 * @property {AbortSignal | undefined} signal
 */

/** @param {string | Uint8Array} key */
export function successor(key) {
  if (typeof key === 'string') return key + '\0'
  const next = new Uint8Array(key.length + 1)
  next.set(key)
  return next
}

/** @param {unknown} limit */
function limitOf(limit) {
  if (limit === undefined || limit === Infinity) return Infinity
  if (typeof limit === 'number' && Number.isInteger(limit) && limit >= 0) return limit
  throw new TypeError(`limit must be a whole number from 0, or Infinity; got ${describe(limit)}`)
}

/** @type {Span} */
const WHOLE = Object.freeze({
  lower: '',
  upper: '',
  prefix: '',
  empty: false,
  reverse: false,
  limit: Infinity,
  snapshot: undefined,
  signal: undefined,
})

/** Refuses what cannot be a range at all. @param {any} range @param {string} where */
export function rangeOf(range, where) {
  if (range === undefined || (range !== null && typeof range === 'object')) return range
  throw new TypeError(`The options of ${where} must be an object; got ${describe(range)}`)
}

/** @param {any} signal */
export function signalOf(signal) {
  if (signal === undefined || (typeof signal === 'object' && typeof signal?.aborted === 'boolean')) return signal
  throw new TypeError(`signal must be an AbortSignal; got ${describe(signal)}`)
}

/**
 * @param {any} range
 * @param {import('./encodings.js').Encoding} encoding of keys
 * @param {keyof typeof OPTIONS} use
 * @param {string} where such as "entries()"
 * @param {(key: string | Uint8Array) => string | Uint8Array} [next] what comes behind a key, and all that belongs to it
 * @returns {Span}
 */
export function spanOf(range, encoding, use, where, next = successor) {
  if (range === undefined) return WHOLE
  checkOptions(range, OPTIONS[use], where)
  for (const bound of BOUNDS) {
    // What was meant as a bound and came out undefined must not become the whole keyspace.
    if (range[bound] === undefined && bound in range) {
      throw new TypeError(`${where} got ${bound}: undefined: leave ${bound} out for no bound, or pass a key`)
    }
  }
  if (range.gt !== undefined && range.gte !== undefined) {
    throw new TypeError(`${where} got both gt and gte: pass one of them`)
  }
  if (range.lt !== undefined && range.lte !== undefined) {
    throw new TypeError(`${where} got both lt and lte: pass one of them`)
  }
  if (range.reverse !== undefined && typeof range.reverse !== 'boolean') {
    throw new TypeError(`reverse must be true or false; got ${describe(range.reverse)}`)
  }
  const { gt, gte, lt, lte, prefix } = range
  /** @type {string | Uint8Array} */
  let lower = ''
  /** @type {string | Uint8Array} */
  let upper = ''
  if (gte !== undefined) lower = encoding.encode(gte, 'key')
  else if (gt !== undefined) lower = next(encoding.encode(gt, 'key'))
  let empty = false
  if (lt !== undefined) {
    upper = encoding.encode(lt, 'key')
    empty = upper.length === 0
  } else if (lte !== undefined) upper = next(encoding.encode(lte, 'key'))
  const limit = limitOf(range.limit)
  return {
    lower,
    upper,
    prefix: prefix === undefined ? '' : encoding.encode(prefix, 'key'),
    empty: empty || limit === 0,
    reverse: range.reverse ?? false,
    limit,
    snapshot: range.snapshot,
    signal: signalOf(range.signal),
  }
}

const utf8 = new TextEncoder()

/** @param {string | Uint8Array} key */
export function bytesOf(key) {
  if (typeof key !== 'string') return key
  refuseLoneSurrogates(key)
  return utf8.encode(key)
}

/** @param {Uint8Array} a @param {Uint8Array} b */
export function compare(a, b) {
  const size = Math.min(a.length, b.length)
  for (let i = 0; i < size; i++) {
    const order = (a[i] ?? 0) - (b[i] ?? 0)
    if (order !== 0) return order
  }
  return a.length - b.length
}

/** The smallest key that is greater than all with the prefix; empty when there is none.
 * @param {Uint8Array} prefix */
function prefixEnd(prefix) {
  let size = prefix.length
  while (size > 0 && prefix[size - 1] === 0xff) size--
  const end = prefix.slice(0, size)
  if (size > 0) end[size - 1] = (end[size - 1] ?? 0) + 1
  return end
}

/** Whether two ranges begin <= key < end share a key; an empty end is none.
 * @param {{ begin: Uint8Array, end: Uint8Array }} a @param {{ begin: Uint8Array, end: Uint8Array }} b */
export function overlaps(a, b) {
  const before = (/** @type {Uint8Array} */ end, /** @type {Uint8Array} */ begin) =>
    end.length > 0 && compare(end, begin) <= 0
  return !before(a.end, b.begin) && !before(b.end, a.begin)
}

/** A span as begin <= key < end alone, for range deletes; an empty end is none. Null when nothing can be in it.
 * @param {Span} span
 * @returns {{ begin: Uint8Array, end: Uint8Array } | null} */
export function boundsOf(span) {
  if (span.empty) return null
  let begin = bytesOf(span.lower)
  let end = bytesOf(span.upper)
  if (span.prefix.length > 0) {
    const prefix = bytesOf(span.prefix)
    if (compare(prefix, begin) > 0) begin = prefix
    const last = prefixEnd(prefix)
    if (end.length === 0 || (last.length > 0 && compare(last, end) < 0)) end = last
  }
  return end.length > 0 && compare(begin, end) >= 0 ? null : { begin, end }
}

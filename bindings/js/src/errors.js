// errors.js: the two kinds of failure. DatabaseError is what the world did (a lock, a full disk, a broken file) and
// has a code; TypeError is what the caller's program did, and its message names the fix.

import { STATUS } from './abi.js'

/** @type {Set<number>} */
const RETRYABLE = new Set([STATUS.CONFLICT, STATUS.LOCKED, STATUS.BUSY, STATUS.LEADER_LOST])

/** @type {Map<number, string>} */
const NAMES = new Map(Object.entries(STATUS).map(([name, status]) => [status, name]))

/** Of failures that need no better sentence. @type {Map<number, string>} */
const TEXTS = new Map([
  [STATUS.ABORTED, "the caller's callback asked to stop"],
  [STATUS.EXISTS, 'there is a database at the path already'],
  [STATUS.READONLY, 'the database is open for reading only'],
])

/** A failure of the database. `code` is 'ERR_DB_' and the name of the status; `retryable` says whether the same call
 * may succeed later without any repair. */
export class DatabaseError extends Error {
  /**
   * @param {string} code
   * @param {string} message
   * @param {{ retryable?: boolean, cause?: unknown }} [options]
   */
  constructor(code, message, options = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.retryable = options.retryable ?? false
  }

  /** @override */
  get name() {
    return 'DatabaseError'
  }
}

/**
 * @param {number} status a negative status, or CONFLICT
 * @param {string} [message] the sentence for it when there is a better one
 * @param {unknown} [cause]
 */
export function statusError(status, message, cause) {
  const name = NAMES.get(status) ?? 'BUG'
  const text = message || (TEXTS.get(status) ?? `the engine returned the status ${status}`)
  return new DatabaseError(`ERR_DB_${name}`, text, { retryable: RETRYABLE.has(status), cause })
}

/** @param {string} what such as "the database" */
export function closedError(what) {
  return statusError(STATUS.CLOSED, `${what} was closed; open it again to use it`)
}

/** How many single-character changes make b of a.
 * @param {string} a
 * @param {string} b */
function distance(a, b) {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const change = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, change))
    }
    row = next
  }
  return row[b.length] ?? 0
}

/** " Did you mean 'x'?" for the known name nearest to `name`, or a list of what there is.
 * @param {string} name
 * @param {readonly string[]} known */
export function suggestion(name, known) {
  let best = ''
  let bestDistance = Infinity
  for (const candidate of known) {
    const d = distance(name.toLowerCase(), candidate.toLowerCase())
    if (d < bestDistance) [best, bestDistance] = [candidate, d]
  }
  if (bestDistance <= (name.length < 4 ? 1 : Math.max(2, Math.floor(name.length / 3))))
    return ` Did you mean '${best}'?`
  return ` It takes ${known.map((k) => `'${k}'`).join(', ')}.`
}

/** @type {Readonly<Record<string, string>>} */
const KNOWN_ELSEWHERE = Object.freeze({ sync: " Did you mean durability: 'strict'?" })

/** Refuses what is no options object, and names that are not known.
 * @param {unknown} options
 * @param {readonly string[]} known
 * @param {string} where such as "get()"
 * @param {string} [what] an option is called here */
export function checkOptions(options, known, where, what = 'option') {
  if (options === undefined) return
  if (options === null || typeof options !== 'object') {
    throw new TypeError(`The options of ${where} must be an object; got ${describe(options)}`)
  }
  for (const name of Object.keys(options)) {
    if (known.includes(name)) continue
    const fix = known.includes('durability') ? KNOWN_ELSEWHERE[name] : undefined
    throw new TypeError(`${where} has no ${what} '${name}'.${fix ?? suggestion(name, known)}`)
  }
}

/** A value for a message: its type, and itself when it is short.
 * @param {unknown} value */
export function describe(value) {
  if (value === null || value === undefined) return String(value)
  if (typeof value === 'string') return `the string '${value.length > 20 ? value.slice(0, 20) + '…' : value}'`
  if (typeof value === 'object') return `an object of class ${value.constructor?.name ?? 'null'}`
  if (typeof value === 'function') return 'a function'
  return `the ${typeof value} ${String(value)}`
}

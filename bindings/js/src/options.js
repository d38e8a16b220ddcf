// options.js: what open() and the long calls are given, checked; and what their reports look like.

import * as abi from './abi.js'
import { encodingOf } from './encodings.js'
import { checkOptions, describe, statusError } from './errors.js'
import { signalOf } from './range.js'
import { durabilityOf } from './store.js'

const OPEN_OPTIONS = [
  ...['readOnly', 'createIfMissing', 'errorIfExists', 'lock', 'durability', 'syncInterval', 'compression'],
  ...['memory', 'memtable', 'tableSize', 'blockSize', 'keyEncoding', 'valueEncoding', 'wasm', 'host'],
]
const LOCK_OPTIONS = ['wait']
const PROGRESS_OPTIONS = ['onProgress', 'signal']
export const LOCK_WAIT = 4 // where db_open finds how long to wait for the lock

/** @typedef {{ path: string, numbers: number[], options: any, waitMs: number }} Plan */

/** @param {any} value @param {string} name @param {string} unit */
function amount(value, name, unit) {
  if (value === undefined) return 0
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value
  throw new TypeError(`${name} must be a whole number of ${unit}; got ${describe(value)}`)
}

/** @param {any} value @param {string} name */
function flag(value, name) {
  if (value !== undefined && typeof value !== 'boolean') {
    throw new TypeError(`${name} must be true or false; got ${describe(value)}`)
  }
  return value
}

/** @param {any} compression */
function compressionOf(compression) {
  if (compression === undefined) return 0
  if (compression === false || compression === 'none') return 1
  if (compression === true || compression === 'lz4') return 2
  throw new TypeError(`compression must be 'lz4' or 'none'; got ${describe(compression)}`)
}

/** @param {any} location @param {string} where */
export function pathOf(location, where) {
  if (location instanceof URL) {
    if (location.protocol !== 'file:') throw new TypeError(`${where} takes a path or a file: URL; got ${location.href}`)
    return decodeURIComponent(location.pathname)
  }
  if (typeof location !== 'string' || location === '') {
    throw new TypeError(`${where} takes a path, or ':memory:'; got ${describe(location)}`)
  }
  if (location.includes('\0')) throw new TypeError(`A path cannot hold a zero byte: ${JSON.stringify(location)}`)
  return location
}

/** Checks what open() was given. @param {any} location @param {any} options @returns {Plan} */
export function planOf(location, options = {}) {
  const path = pathOf(location, 'open()')
  checkOptions(options, OPEN_OPTIONS, 'open()')
  if (options.lock !== undefined && (options.lock === null || typeof options.lock !== 'object')) {
    throw new TypeError(`lock must be { wait: milliseconds }; got ${describe(options.lock)}`)
  }
  checkOptions(options.lock, LOCK_OPTIONS, 'lock')
  const readOnly = flag(options.readOnly, 'readOnly') ?? false
  const create = flag(options.createIfMissing, 'createIfMissing')
  const exclusive = flag(options.errorIfExists, 'errorIfExists') ?? false
  if (readOnly && (create === true || exclusive)) {
    throw new TypeError('A database cannot be created for reading only: leave out createIfMissing and errorIfExists')
  }
  if (exclusive && create === false) {
    throw new TypeError('errorIfExists and createIfMissing: false leave nothing to open: pass one of them')
  }
  const flags =
    (readOnly ? abi.ABI_READ_ONLY : 0) |
    (readOnly || create === false ? abi.ABI_MUST_EXIST : 0) |
    (exclusive ? abi.ABI_MUST_NOT_EXIST : 0)
  const numbers = [
    flags,
    durabilityOf(options.durability),
    compressionOf(options.compression),
    amount(options.syncInterval, 'syncInterval', 'milliseconds'),
    0, // LOCK_WAIT
    amount(options.memory, 'memory', 'bytes'),
    amount(options.memtable, 'memtable', 'bytes'),
    amount(options.tableSize, 'tableSize', 'bytes'),
    amount(options.blockSize, 'blockSize', 'bytes'),
  ]
  encodingOf(options.keyEncoding, 'keyEncoding')
  encodingOf(options.valueEncoding, 'valueEncoding')
  return { path, numbers, options, waitMs: amount(options.lock?.wait, 'lock.wait', 'milliseconds') }
}

/** @param {any} options @param {string} where @returns {((done: number, total: number) => unknown) | undefined} */
export function progressOf(options, where) {
  checkOptions(options, PROGRESS_OPTIONS, where)
  const onProgress = options?.onProgress
  if (onProgress !== undefined && typeof onProgress !== 'function') {
    throw new TypeError(`onProgress must be a function of (done, total); got ${describe(onProgress)}`)
  }
  const signal = signalOf(options?.signal)
  if (signal === undefined) return onProgress
  signal.throwIfAborted()
  return (done, total) => {
    const answer = onProgress?.(done, total)
    signal.throwIfAborted()
    return answer
  }
}

/** disk_bytes becomes diskBytes. @param {any} report @returns {any} */
export function camelCase(report) {
  if (Array.isArray(report)) return report.map(camelCase)
  if (report === null || typeof report !== 'object') return report
  return Object.fromEntries(
    Object.entries(report).map(([name, value]) => [
      name.replace(/_([a-z])/g, (_, c) => c.toUpperCase()),
      camelCase(value),
    ]),
  )
}

/** @param {import('./host/host.js').Host} host @returns {string} */
export function temporaryOf(host) {
  if (host.temporary === undefined) throw statusError(abi.STATUS.UNSUPPORTED, `${host.name} has no temporary files`)
  return host.temporary()
}

// web_errors.js: what a browser's storage said, as a status of the engine; and no call to it that waits for ever.

import { HostError } from './host.js'

/** @type {Readonly<Record<string, keyof typeof import('../abi.js').STATUS>>} */
const STATUS_OF = Object.freeze({
  QuotaExceededError: 'FULL',
  NotFoundError: 'MISSING',
  NoModificationAllowedError: 'LOCKED',
  SecurityError: 'UNSUPPORTED',
  NotAllowedError: 'UNSUPPORTED',
  NotSupportedError: 'UNSUPPORTED',
  TypeMismatchError: 'NOT_DATABASE',
})

/** @type {Readonly<Record<string, string>>} */
const REMEDY_OF = Object.freeze({
  QuotaExceededError: '; remove some data of this site, or free space on the disk, then try again',
  NoModificationAllowedError: '; another tab or worker has it open: close it there, then try again',
  SecurityError:
    '; this window may store nothing: it is a private one, or storage is switched off. Open the page in an ' +
    "ordinary window, or open the database with storage: 'memory'",
})

/** The browser's name for an error; '' for anything else. @param {unknown} error */
export function errorName(error) {
  return error instanceof Error || error instanceof DOMException ? error.name : ''
}

/** @param {unknown} error @param {string} what such as "cannot write notes.varve" */
export function webError(error, what) {
  if (error instanceof HostError) return error
  const name = errorName(error)
  const reason = (error instanceof Error || error instanceof DOMException ? error.message : String(error)) || name
  return new HostError(STATUS_OF[name] ?? 'IO', `${what}: ${reason}${REMEDY_OF[name] ?? ''}`, error)
}

/** The promise, or IO when it takes longer than `ms`: a browser that is out of handles never answers.
 * @template T @param {Promise<T>} promise @param {number} ms @param {string} what such as "opening notes.varve"
 * @param {(late: T) => unknown} [undo] told of a result that comes too late @returns {Promise<T>} */
export function withDeadline(promise, ms, what, undo) {
  return new Promise((resolve, reject) => {
    let over = false
    const timer = setTimeout(() => {
      over = true
      reject(new HostError('IO', `${what}: the browser's storage did not answer within ${ms} ms; reload the page`))
    }, ms)
    promise.then(
      (value) => {
        clearTimeout(timer)
        if (over) undo?.(value)
        else resolve(value)
      },
      (error) => {
        clearTimeout(timer)
        reject(error)
      },
    )
  })
}

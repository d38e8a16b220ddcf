// kept_where.js: where the database of a name is kept: OPFS where the browser has it, else IndexedDB; memory only for
// those who asked for it.

import { statusError, DatabaseError } from '../errors.js'
import { STATUS } from '../abi.js'
import { HostError } from '../host/host.js'
import { MemoryHost } from '../host/memory.js'
import { openOpfsHost, hasOpfs } from '../host/opfs.js'

/** @typedef {'opfs' | 'idb' | 'memory'} Storage */
/** @typedef {import('../host/host.js').Host & { settled?: (durability: 'relaxed' | 'strict') => Promise<void>,
 *   close?: () => Promise<void> }} StoredHost */

/** @param {unknown} error */
function asDatabaseError(error) {
  if (error instanceof DatabaseError || !(error instanceof HostError)) return error
  return statusError(error.status, error.message, error.cause)
}

/** @param {string} name @param {Storage} storage @returns {Promise<StoredHost>} */
async function openStorage(name, storage) {
  if (storage === 'memory') return new MemoryHost()
  if (storage === 'opfs') return /** @type {any} */ (await openOpfsHost(name, { shared: true }))
  return (await import('../host/idb.js')).openIdbHost(name)
}

/** @param {string} name @param {{ storage?: Storage, allowMemory?: boolean }} options
 * @returns {Promise<{ host: StoredHost, storage: Storage }>} */
export async function storageOf(name, { storage, allowMemory }) {
  /** @type {Storage[]} */
  const choice = storage === undefined ? [...(hasOpfs() ? /** @type {const} */ (['opfs']) : []), 'idb'] : [storage]
  if (allowMemory === true && storage === undefined) choice.push('memory')
  /** @type {unknown} */
  let failure
  for (const one of choice) {
    try {
      return { host: await openStorage(name, one), storage: one }
    } catch (error) {
      failure = asDatabaseError(error)
      // Only a browser that has no such storage is a reason to take another one.
      if (!(failure instanceof DatabaseError) || failure.code !== 'ERR_DB_UNSUPPORTED') break
    }
  }
  if (failure instanceof DatabaseError && failure.code === 'ERR_DB_UNSUPPORTED' && storage === undefined) {
    const fix = 'open it with allowMemory: true to work in memory in such windows'
    throw statusError(STATUS.UNSUPPORTED, `${failure.message}; ${fix}`, failure)
  }
  throw failure
}

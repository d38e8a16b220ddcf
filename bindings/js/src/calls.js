// calls.js: the exports of the engine behind one rule: a trap is turned into an error by whoever owns the instance. A
// database that was closed, or that stopped, has a table whose every function throws, so that no call needs to ask
// first.

import { DatabaseError } from './errors.js'

/** The exports that are called for every key and catch traps where they are called. */
const BARE = new Set(['db_get'])

/**
 * @param {Record<string, any>} exports
 * @param {(error: unknown) => unknown} stop what to throw for a trap
 */
export function callTable(exports, stop) {
  /** @param {unknown} error */
  const caught = (error) => (error instanceof DatabaseError ? error : stop(error))
  /** @type {Record<string, (...numbers: number[]) => any>} */
  const table = {}
  for (const [name, f] of Object.entries(exports)) {
    if (typeof f !== 'function') continue
    if (BARE.has(name)) {
      table[name] = f
      continue
    }
    table[name] = (...numbers) => {
      try {
        return f(...numbers)
      } catch (error) {
        throw caught(error)
      }
    }
  }
  return table
}

/** A table whose every function throws, but for those that are kept. @param {Error} error
 * @param {Record<string, any>} [kept] @returns {any} */
export function deadTable(error, kept = {}) {
  const refuse = () => {
    throw error
  }
  return new Proxy(kept, { get: (_, name) => (Object.hasOwn(kept, name) ? kept[String(name)] : refuse) })
}

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

/** A table whose every function throws. @param {Error} error */
export function deadTable(error) {
  /** @type {Record<string, () => never>} */
  const table = {}
  for (const name of NAMES) {
    table[name] = () => {
      throw error
    }
  }
  return table
}

const NAMES = [
  ...['db_open', 'db_close', 'db_get', 'db_release', 'db_has', 'db_get_many', 'db_write', 'db_sync', 'db_work'],
  ...['db_stats', 'db_compact', 'db_flush', 'db_verify', 'db_backup', 'restore', 'db_count', 'stage', 'unstage'],
  ...['iter_open', 'iter_close', 'iter_seek', 'iter_page', 'snapshot_open', 'snapshot_close'],
  ...['keyspace_open', 'keyspace_clients', 'keyspace_drop', 'keyspace_list', 'repair', 'errmsg'],
  ...['txn_begin', 'txn_get_for_update', 'txn_write', 'txn_savepoint', 'txn_rollback_to', 'txn_release'],
  ...['txn_commit', 'txn_close', 'txn_conflict', 'txn_changes'],
  ...['index_open', 'index_drop', 'index_list', 'index_info', 'index_insert', 'index_remove', 'index_get'],
  ...['index_iter_open', 'index_rebuild', 'index_verify'],
  ...['put_open', 'put_add', 'put_commit', 'put_close', 'value_open', 'value_close'],
]

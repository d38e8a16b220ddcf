// engine_index.js: the calls of indexes; as those of engine.js, which are of rows.

import * as abi from './abi.js'

/** @typedef {import('./engine.js').Engine} Engine */
/** @typedef {import('./module.js').Bytes} Bytes */

/** The handle of an index; undefined when there is none and it is not to be created. @param {Engine} engine
 * @param {string} name
 * @param {{ kind: number, unique: boolean, keyspace: number, extract: import('./module.js').Extract | null }} how
 * @param {boolean} create @returns {number | undefined} */
export function openIndex({ module, db, base }, name, { kind, unique, keyspace, extract }, create) {
  let id = 0
  if (extract !== null) {
    id = base.extractors.get(name) ?? base.extractors.size + 1
    base.extractors.set(name, id)
    module.extractors.set(id, extract)
  }
  const size = module.putKey(name)
  const status = module.call.index_open(db, size, keyspace, kind, unique ? 1 : 0, id, create ? 1 : 0)
  if (status === abi.ABI_ABSENT) return undefined
  module.check(status)
  return module.result(0)
}

/** @param {Engine} engine @param {string} name */
export function dropIndex({ module, db }, name) {
  return module.check(module.call.index_drop(db, module.putKey(name))) === 1
}

/** @param {Engine} engine */
export function listIndexes({ module, db }) {
  module.check(module.call.index_list(db))
  return module.takeNames()
}

/** @param {Engine} engine @param {number} index */
export function indexInfo({ module }, index) {
  module.check(module.call.index_info(index))
  return module.takeJson()
}

/** @param {Engine} engine @param {number} index @param {Bytes} key @param {Bytes} primary */
export function insertPosting(engine, index, key, primary) {
  const { module, txn } = engine
  const sizes = engine.stageAll(key, primary)
  module.check(module.call.index_insert(index, txn, ...sizes))
}

/** @param {Engine} engine @param {number} index @param {Bytes} key @param {Bytes} primary */
export function removePosting(engine, index, key, primary) {
  const { module, txn } = engine
  const sizes = engine.stageAll(key, primary)
  return module.check(module.call.index_remove(index, txn, ...sizes)) === 1
}

/** The lowest primary key. @param {Engine} engine @param {number} index @param {Bytes} key @param {number} form */
export function getPrimary(engine, index, key, form) {
  const { module, txn } = engine
  const sizes = engine.stageAll(key)
  const size = module.call.index_get(index, txn, ...sizes)
  if (size === abi.ABI_ABSENT) return undefined
  module.check(size)
  const primary = module.takeValue(size, form)
  if (size > abi.ABI_SMALL) module.call.db_release()
  return primary
}

/** An iterator over postings. @param {Engine} engine @param {number} index @param {number} mode 0 = one key, 1 = from
 * first to second, 2 = a prefix @param {Bytes} first @param {Bytes} second @param {boolean} reverse */
export function openPostings(engine, index, mode, first, second, reverse) {
  const { module, txn } = engine
  const sizes = engine.stageAll(first, second)
  module.check(module.call.index_iter_open(index, txn, mode, ...sizes, reverse ? 1 : 0))
  return module.result(0)
}

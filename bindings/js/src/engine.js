// engine.js: the calls of one database, over one instance of the module. One database has one instance, so that
// closing it gives all its memory back and a fault stops nobody else.

import * as abi from './abi.js'
import { STATUS } from './abi.js'
import { deadTable } from './calls.js'
import { DatabaseError, closedError, statusError } from './errors.js'
import { Module } from './module.js'
import { decoded } from './watch.js'

/** @typedef {import('./module.js').Bytes} Bytes */
/** @typedef {import('./module.js').Progress} Progress */
/** @import { Encoding } from './encodings.js' */

const PAGE_BUDGET = 1 << 20
const encoder = new TextEncoder()

export class Engine {
  #module
  #db = 0
  #path = ''
  /** The transaction that is read and written, 0 = the database itself. */
  #txn = 0
  /** @type {Map<number, string>} */
  #names = new Map([[0, '']])
  /** Of functions that tell index keys, by the names of the indexes. @type {Map<string, number>} */
  extractors = new Map()
  /** The engine of the database, of which this one may be a view. @type {Engine} */
  base = this
  /** A transaction met a conflict; the last one is that another transaction has a lock. */
  conflicted = false
  locked = false
  /** The encodings of keys that a transaction has met, by keyspace. @type {Map<number, Encoding>} */
  encodings = new Map()

  /**
   * @param {WebAssembly.Module | Module} compiled
   * @param {import('./host/host.js').Host} host
   */
  constructor(compiled, host) {
    this.#module = compiled instanceof Module ? compiled : new Module(compiled, host)
  }

  /** Bytes of changes that are not committed yet. */
  get staged() {
    return this.#module.used
  }

  get host() {
    return this.#module.bridge.host
  }

  // ---- Open, close, care

  /**
   * @param {string} path
   * @param {number[]} options in the order of db_open
   */
  open(path, options) {
    this.#path = path
    const size = this.#module.putKey(path)
    this.#module.putNumbers(options)
    this.#module.check(this.#module.call.db_open(size))
    this.#db = this.#module.result(0)
  }

  close() {
    this.#module.check(this.#module.call.db_close(this.#db))
    this.#module.call = deadTable(closedError('the database'))
    this.#module.bridge.releaseAll()
  }

  /** Gives the files and the lock back without asking the engine. */
  abandon() {
    this.#module.call = deadTable(closedError('the database'))
    this.#module.bridge.releaseAll()
  }

  /** Runs a long call. Meanwhile the engine is in the middle of something: other calls are refused.
   * @param {Progress | undefined} progress @param {(call: any, on: number) => number} run */
  long(progress, run) {
    const call = this.#module.call
    const busy = statusError(
      STATUS.BUSY,
      'the database cannot be used from inside onProgress: wait for the call to end',
    )
    this.#module.progress = progress ?? null
    this.#module.call = deadTable(busy, { errmsg: call.errmsg })
    try {
      const status = run(call, progress === undefined ? 0 : 1)
      this.#module.call = call
      return status
    } catch (error) {
      if (this.#module.call.errmsg === call.errmsg) this.#module.call = call
      throw error
    } finally {
      this.#module.progress = null
    }
  }

  stats() {
    this.#module.check(this.#module.call.db_stats(this.#db))
    return this.#module.takeJson()
  }

  /** @param {Progress} [progress] */
  compact(progress) {
    this.#module.check(this.long(progress, (call, on) => call.db_compact(this.#db, on)))
  }

  flush() {
    this.#module.check(this.#module.call.db_flush(this.#db))
  }

  /** What was read and found right; `error` when something was not. @param {Progress} [progress] */
  verify(progress) {
    return this.reported(this.long(progress, (call, on) => call.db_verify(this.#db, on)))
  }

  /** @param {string} path @param {string} target @param {string} message */
  #refuseSame(path, target, message) {
    if (this.#module.bridge.host.same?.(path, target)) throw statusError(STATUS.INVALID, `${target}: ${message}`)
  }

  /** @param {string} target @param {Progress} [progress] */
  backup(target, progress) {
    this.#refuseSame(this.#path, target, 'the target of the backup is the database itself: give another directory')
    const size = this.#module.putKey(target)
    this.#module.check(this.long(progress, (call, on) => call.db_backup(this.#db, size, on)))
    return this.#module.takeJson()
  }

  /** Both paths, one behind the other in io.key. @param {string} from @param {string} to @param {string} same what to
   * say when they are one place @param {Progress | undefined} progress
   * @param {(call: any, first: number, second: number, on: number) => number} run */
  #fromTo(from, to, same, progress, run) {
    this.#refuseSame(from, to, same)
    const both = this.#module.putKey(`${from}\0${to}`)
    const first = encoder.encode(from).length
    this.#module.check(this.long(progress, (call, on) => run(call, first, both - first - 1, on)))
  }

  /** @param {string} backup @param {string} target @param {Progress} [progress] */
  restore(backup, target, progress) {
    const same = 'the target is the backup itself: give another directory'
    this.#fromTo(backup, target, same, progress, (call, from, to, on) => call.restore(from, to, on))
  }

  /** @param {string} source @param {string} target @param {Progress} [progress] */
  repair(source, target, progress) {
    const same = 'the target is the damaged database itself: give another directory'
    this.#fromTo(source, target, same, progress, (call, from, to, on) => call.repair(from, to, on))
    return this.#module.takeJson()
  }

  sync() {
    this.#module.check(this.#module.call.db_sync(this.#db))
  }

  /** Background work for about `budget` bytes. True when there is more. @param {number} budget */
  work(budget) {
    return this.#module.check(this.#module.call.db_work(this.#db, budget)) === 1
  }

  // ---- Reading

  /** @param {number} keyspace @param {number} snapshot @param {Bytes} key @param {number} form */
  get(keyspace, snapshot, key, form) {
    const keySize = this.#module.putKey(key)
    let size
    try {
      size = this.#module.call.db_get(this.#db, this.#txn, keyspace, snapshot, keySize)
    } catch (error) {
      throw error instanceof DatabaseError ? error : this.#module.stop(error)
    }
    if (size < 0) {
      if (size === abi.ABI_ABSENT) return undefined
      throw this.#module.failure(size)
    }
    const value = this.#module.takeValue(size, form)
    if (size > abi.ABI_SMALL) this.#module.call.db_release()
    return value
  }

  /** @param {number} keyspace @param {number} snapshot @param {Bytes} key */
  has(keyspace, snapshot, key) {
    return (
      this.#module.check(
        this.#module.call.db_has(this.#db, this.#txn, keyspace, snapshot, this.#module.putKey(key)),
      ) === 1
    )
  }

  /** The values of many keys, in one crossing a megabyte.
   * @param {number} keyspace @param {number} snapshot @param {readonly Bytes[]} keys @param {number} form */
  getMany(keyspace, snapshot, keys, form) {
    this.#borrowStage()
    try {
      for (const key of keys) this.#module.stageKey(key)
      const end = this.#module.used
      /** @type {any[]} */
      const values = []
      for (let at = 0; at < end; at = this.#module.result(3)) {
        const { call } = this.#module
        this.#module.check(call.db_get_many(this.#db, this.#txn, keyspace, snapshot, at, end, PAGE_BUDGET))
        this.#module.takeMany(values, this.#module.result(2), form)
      }
      return values
    } finally {
      this.#module.discard()
    }
  }

  // ---- Writing: changes are staged, then committed

  /** @param {import('./changes.js').Change} change */
  stage({ kind, keyspace, key, value }) {
    this.#module.stageChange(kind, keyspace, key, value)
  }

  /** Keys and bounds borrow the stage, which must hold no changes: they would be lost. */
  #borrowStage() {
    const { used } = this.#module
    if (used !== 0) throw statusError(STATUS.BUG, `${used} bytes of changes are staged and a read wants their place`)
  }

  /** Forgets what was staged after `mark`. @param {number} mark */
  rewind(mark) {
    this.#module.used = mark
  }

  /** Commits the staged changes [begin, end) as one batch; they stay staged. In a transaction they become part of it.
   * @param {number} durability @param {number} begin @param {number} end */
  commit(durability, begin, end) {
    const { call } = this.#module
    this.#module.check(
      this.#txn === 0 ? call.db_write(this.#db, begin, end, durability) : call.txn_write(this.#txn, begin, end),
    )
  }

  /** Forgets all that is staged. */
  discard() {
    this.#module.discard()
  }

  // ---- Transactions: views of the database, which read and write in one

  /** @param {number} isolation @param {boolean} readOnly @param {number} durability */
  beginTransaction(isolation, readOnly, durability) {
    const module = this.#module
    module.check(module.call.txn_begin(this.#db, isolation, readOnly ? 1 : 0, durability))
    return module.result(0)
  }

  /** @param {number} handle */
  closeTransaction(handle) {
    this.#module.call.txn_close(handle)
  }

  /** The database as the transaction sees it. @param {number} handle */
  inside(handle) {
    const view = new Engine(this.#module, this.host)
    view.#db = this.#db
    view.#txn = handle
    view.base = this
    return view
  }

  get isInside() {
    return this.#txn !== 0
  }

  /** Ends the view: whatever is asked of it fails. @param {Error} error */
  leave(error) {
    this.#module = /** @type {any} */ (
      new Proxy(this, {
        get() {
          throw error
        },
      })
    )
  }

  /** What a call in the transaction returned, unless it was a failure. @param {number} status */
  #checkInside(status) {
    if (status !== abi.ABI_CONFLICT) return this.#module.check(status)
    const module = this.#module
    this.conflicted = true
    const error = /** @type {any} */ (module.failure(STATUS.CONFLICT))
    module.check(module.call.txn_conflict(this.#db, this.#txn))
    const [keyspace = 0, own] = [module.result(0), module.result(1)]
    this.locked = module.result(4) === 1
    const key = module.copy(module.result(2), module.result(3))
    const encoding = own === 0 ? this.encodings.get(keyspace) : undefined
    error.key = encoding === undefined ? key : decoded(encoding, key, 'key')
    error.keyspace = own === 0 ? this.base.#names.get(keyspace) : undefined
    throw error
  }

  /** @param {number} keyspace @param {Bytes} key @param {number} form */
  getForUpdate(keyspace, key, form) {
    const size = this.#module.call.txn_get_for_update(this.#txn, keyspace, this.#module.putKey(key))
    if (size === abi.ABI_ABSENT) return undefined
    this.#checkInside(size)
    const value = this.#module.takeValue(size, form)
    if (size > abi.ABI_SMALL) this.#module.call.db_release()
    return value
  }

  /** The number of a new savepoint. */
  savepoint() {
    return this.#module.check(this.#module.call.txn_savepoint(this.#txn))
  }

  /** @param {number} savepoint */
  rollbackTo(savepoint) {
    this.#module.check(this.#module.call.txn_rollback_to(this.#txn, savepoint))
  }

  /** @param {number} savepoint */
  release(savepoint) {
    this.#module.check(this.#module.call.txn_release(this.#txn, savepoint))
  }

  /** What the transaction is about to commit. */
  changes() {
    this.#module.check(this.#module.call.txn_changes(this.#db, this.#txn))
    return this.#module.takeChanges()
  }

  commitTransaction() {
    this.#checkInside(this.#module.call.txn_commit(this.#txn))
  }

  // ---- For the calls of indexes, in engine_index.js

  get module() {
    return this.#module
  }

  get db() {
    return this.#db
  }

  get txn() {
    return this.#txn
  }

  /** Stages keys one behind the other; their sizes. @param {Bytes[]} all */
  stageAll(...all) {
    this.#borrowStage()
    try {
      return all.map((bytes) => this.#module.stageBound(bytes))
    } finally {
      this.#module.used = 0
    }
  }

  /** A report, and what was wrong, if anything. @param {number} status */
  reported(status) {
    if (status < 0 && status !== STATUS.CORRUPT) throw this.#module.failure(status)
    const error = status < 0 ? /** @type {Error} */ (this.#module.failure(status)) : null
    return { report: this.#module.takeJson(), error }
  }

  // ---- Large values, in pieces

  /** A value in the making. @param {number} keyspace @param {Bytes} key @param {number} size < 0 = not known yet */
  openPut(keyspace, key, size) {
    this.#module.check(this.#module.call.put_open(keyspace, this.#module.putKey(key), size))
    return this.#module.result(0)
  }

  /** @param {number} handle @param {Uint8Array} bytes */
  addToPut(handle, bytes) {
    this.#module.check(this.#module.call.put_add(handle, bytes.length))
    this.#module.write(this.#module.result(0), bytes)
  }

  /** Commits the value; a copy of it when it is wanted. @param {number} handle @param {number} durability
   * @param {number} size @param {boolean} wanted */
  commitPut(handle, durability, size, wanted) {
    this.#module.check(this.#module.call.put_commit(this.#db, handle, durability))
    return wanted ? this.#module.copy(this.#module.result(0), size) : null
  }

  /** @param {number} handle */
  closePut(handle) {
    this.#module.call.put_close(handle)
  }

  /** Pins a value where it is. @param {number} keyspace @param {number} snapshot @param {Bytes} key */
  openValue(keyspace, snapshot, key) {
    const size = this.#module.call.value_open(this.#db, keyspace, snapshot, this.#module.putKey(key))
    if (size === abi.ABI_ABSENT) return undefined
    this.#module.check(size)
    return { handle: this.#module.result(0), at: this.#module.result(1), size }
  }

  /** @param {number} at in a value that is pinned @param {Uint8Array} target that is filled */
  readValue(at, target) {
    this.#module.copyTo(at, target)
  }

  /** @param {number} handle */
  closeValue(handle) {
    this.#module.call.value_close(handle)
  }

  // ---- Iterators

  /** @param {number} keyspace @param {number} snapshot @param {import('./range.js').Span} span */
  openIterator(keyspace, snapshot, span) {
    const [lower, upper, prefix] = this.stageAll(span.lower, span.upper, span.prefix)
    const reverse = span.reverse ? 1 : 0
    const { call } = this.#module
    this.#module.check(call.iter_open(this.#db, this.#txn, keyspace, snapshot, lower, upper, prefix, reverse))
    return this.#module.result(0)
  }

  /** @param {number} iterator */
  closeIterator(iterator) {
    this.#module.call.iter_close(iterator)
  }

  /** @param {number} iterator @param {Bytes} key */
  seekIterator(iterator, key) {
    this.#module.check(this.#module.call.iter_seek(iterator, this.#module.putKey(key)))
  }

  /** The next rows: keys and values are appended to the arrays that are not null. True when there are no more.
   * @param {number} iterator @param {any[] | null} keys @param {any[] | null} values @param {number} rows
   * @param {number} bytes @param {number} keyForm @param {number} valueForm */
  readPage(iterator, keys, values, rows, bytes, keyForm, valueForm) {
    const mode = (keys === null ? 0 : abi.ABI_KEYS) | (values === null ? 0 : abi.ABI_VALUES)
    const count = this.#module.check(this.#module.call.iter_page(iterator, mode, rows, bytes))
    const done = this.#module.result(2) === 1
    this.#module.takeRows(count, keys, values, keyForm, valueForm)
    return done
  }

  /** @param {number} keyspace @param {number} snapshot @param {import('./range.js').Span} span */
  count(keyspace, snapshot, span) {
    const [lower, upper, prefix] = this.stageAll(span.lower, span.upper, span.prefix)
    const { call } = this.#module
    this.#module.check(call.db_count(this.#db, this.#txn, keyspace, snapshot, lower, upper, prefix))
    return this.#module.result(1) * 2 ** 32 + this.#module.result(0)
  }

  // ---- Snapshots and keyspaces

  openSnapshot() {
    this.#module.check(this.#module.call.snapshot_open(this.#db))
    return { handle: this.#module.result(0), sequence: this.#module.result(3) * 2 ** 32 + this.#module.result(2) }
  }

  /** @param {number} snapshot */
  closeSnapshot(snapshot) {
    this.#module.call.snapshot_close(snapshot)
  }

  /** @param {string} name */
  openKeyspace(name) {
    this.#module.check(this.#module.call.keyspace_open(this.#db, this.#module.putKey(name)))
    const handle = this.#module.result(0)
    this.base.#names.set(handle, name)
    return handle
  }

  /** The hidden keyspace of the numbers of clients' last commits. */
  clientsKeyspace() {
    this.#module.check(this.#module.call.keyspace_clients(this.#db))
    return this.#module.result(0)
  }

  /** @param {string} name */
  dropKeyspace(name) {
    return this.#module.check(this.#module.call.keyspace_drop(this.#db, this.#module.putKey(name))) === 1
  }

  keyspaces() {
    this.#module.check(this.#module.call.keyspace_list(this.#db))
    return this.#module.takeNames()
  }
}

// transaction.js: transactions. What reads and writes is the Store of the database over another view of the engine and
// another queue: its changes go into the transaction at once, and become the database's at the commit.
//
// A nested transaction is a savepoint of the same transaction of the engine. While it runs, it alone may write.

import { asyncDispose, dispose } from './dispose.js'
import { DatabaseError, checkOptions, describe } from './errors.js'
import { manualInside } from './indexes.js'
import { Keyspace, openKeyspace } from './keyspace.js'
import { Running } from './running.js'
import { Store, contextOf, durabilityOf, withEncodings } from './store.js'

/** @import { Change } from './changes.js' */
/** @import { NameChange } from './queue.js' */
/** @import { Begin } from './running.js' */
/** @import { Context } from './store.js' */

export const BEGIN_OPTIONS = ['isolation', 'readOnly', 'durability', 'lockWait']
const LOCK_OPTIONS = ['keyEncoding', 'valueEncoding']
const ISOLATION = ['read-committed', 'snapshot', 'serializable'] // the engine counts from 1
const LOCK_WAIT_MS = 1000
const INSPECT = Symbol.for('nodejs.util.inspect.custom')

/** @param {any} options @param {readonly string[]} known @param {string} where @returns {Begin} */
export function beginOf(options, known, where) {
  checkOptions(options, known, where)
  const { isolation = 'snapshot', readOnly = false, durability, lockWait = LOCK_WAIT_MS } = options ?? {}
  const level = ISOLATION.indexOf(isolation)
  if (level < 0) {
    const names = ISOLATION.map((name) => `'${name}'`).join(', ')
    throw new TypeError(`isolation must be one of ${names}; got ${describe(isolation)}`)
  }
  if (typeof readOnly !== 'boolean') throw new TypeError(`readOnly must be true or false; got ${describe(readOnly)}`)
  if (typeof lockWait !== 'number' || !(lockWait >= 0)) {
    throw new TypeError(`lockWait must be a number of milliseconds from 0; got ${describe(lockWait)}`)
  }
  return { isolation: level + 1, readOnly, durability: durabilityOf(durability), lockWait }
}

/** Whether a transaction that failed is to be run again. @param {unknown} error */
export const isConflict = (error) => error instanceof DatabaseError && error.code === 'ERR_DB_CONFLICT'

/** What stands for the commit queue in a transaction: changes are made at once. */
export class TransactionQueue {
  running
  /** Why nothing may be changed through it just now. */
  blocked = ''

  /** @param {Running} running */
  constructor(running) {
    this.running = running
  }

  flush() {
    this.running.base.queue.flush()
  }

  /** @param {string} what is to be done */
  check(what) {
    if (this.blocked !== '') throw new TypeError(`${what} ${this.blocked}`)
  }

  /** @param {number} durability @param {readonly Change[]} changes @param {NameChange} [at] */
  now(durability, changes, at) {
    if (durability !== 0) {
      throw new TypeError('durability is of the whole transaction: pass it to transaction() or begin()')
    }
    this.check('A change')
    this.running.write(changes, at)
  }

  /** @param {number} durability @param {readonly Change[]} changes @param {NameChange} [at] */
  async add(durability, changes, at) {
    this.now(durability, changes, at)
  }
}

/** @param {Context} context @param {any} key @param {any} options */
function getForUpdateSync(context, key, options) {
  checkOptions(options, LOCK_OPTIONS, 'getForUpdate()')
  const { engine, queue, keyspace, keyEncoding, valueEncoding } = withEncodings(context, options)
  const bytes = keyEncoding.encode(key, 'key')
  queue.flush()
  const raw = engine.getForUpdate(keyspace, bytes, valueEncoding.form)
  return raw === undefined || valueEncoding.decode === null ? raw : valueEncoding.decode(raw, 'value', key)
}

/** The engine has one thread and does not wait: a lock is tried again when a transaction has ended.
 * @param {Context} context @param {any} key @param {any} options */
async function getForUpdate(context, key, options) {
  const { running } = /** @type {TransactionQueue} */ (context.queue)
  const deadline = performance.now() + running.lockWait
  for (;;) {
    try {
      return getForUpdateSync(context, key, options)
    } catch (error) {
      const left = deadline - performance.now()
      if (!isConflict(error) || !context.engine.locked || left <= 0) throw error
      await running.otherEnds(left)
    }
  }
}

/** A keyspace in a transaction. */
class TransactionKeyspace extends Keyspace {
  #context

  /** @param {string} name @param {Context} context */
  constructor(name, context) {
    super(name, context)
    this.#context = context
    context.engine.encodings.set(context.keyspace, context.keyEncoding)
  }

  /** @param {any} key @param {any} [options] */
  getForUpdateSync(key, options) {
    return getForUpdateSync(this.#context, key, options)
  }

  /** @param {any} key @param {any} [options] */
  getForUpdate(key, options) {
    return getForUpdate(this.#context, key, options)
  }
}

/** A mark in a transaction, to which it can be taken back. */
class Savepoint {
  #queue
  #name

  /** @param {TransactionQueue} queue */
  constructor(queue) {
    queue.check('A savepoint')
    this.#queue = queue
    this.#name = queue.running.savepoint()
  }

  /** Undoes what was changed since; the savepoint stays. */
  rollback() {
    this.#queue.check('rollback()')
    this.#queue.running.rollbackTo(this.#name)
  }

  /** Forgets the savepoint and keeps the changes. */
  release() {
    this.#queue.check('release()')
    this.#queue.running.release(this.#name)
  }
}

/** A transaction in a transaction, from its beginning to its end. */
class Nested {
  #outer
  #savepoint
  transaction

  /** @param {TransactionQueue} outer */
  constructor(outer) {
    this.#savepoint = new Savepoint(outer)
    this.#outer = outer
    this.transaction = new Transaction(outer.running, true)
    outer.blocked = 'has to wait for the nested transaction: use that one, or await it first'
  }

  get #inner() {
    return /** @type {TransactionQueue} */ (contextOf(this.transaction).queue)
  }

  #over() {
    this.#inner.blocked = 'comes too late: the nested transaction has ended'
    this.#outer.blocked = ''
    return this.#outer.running.status !== 'open'
  }

  /** @template T @param {T} result */
  keep(result) {
    this.#inner.check('The end of a transaction')
    if (!this.#over()) this.#savepoint.release()
    return result
  }

  undo() {
    if (this.#over()) return
    this.#savepoint.rollback()
    this.#savepoint.release()
  }
}

export class Transaction extends Store {
  #queue
  #context
  #isNested

  /** Use db.transaction() or db.begin(). @param {Running} running @param {boolean} nested */
  constructor(running, nested) {
    if (!(running instanceof Running)) throw new TypeError('Begin a transaction with db.transaction() or db.begin()')
    const queue = new TransactionQueue(running)
    const context = { ...running.base, engine: running.engine, queue }
    super(context)
    this.#queue = queue
    this.#context = context
    this.#isNested = nested
    running.engine.encodings.set(0, context.keyEncoding)
  }

  /** 'open', 'committed' or 'rolled back'. */
  get status() {
    return this.#queue.running.status
  }

  /** What console.log() shows. */
  [INSPECT]() {
    return `Transaction { status: '${this.status}' }`
  }

  /** @param {any} key @param {any} [options] */
  getForUpdateSync(key, options) {
    return getForUpdateSync(this.#context, key, options)
  }

  /** @param {any} key @param {any} [options] */
  getForUpdate(key, options) {
    return getForUpdate(this.#context, key, options)
  }

  /** A keyspace in this transaction: by its name, or that of a Keyspace with its encodings. @param {any} keyspace
   * @param {any} [options] */
  keyspace(keyspace, options) {
    if (!(keyspace instanceof Keyspace)) return openKeyspace(this.#context, keyspace, options, TransactionKeyspace)
    const context = contextOf(keyspace)
    if (context.engine !== this.#context.engine.base) {
      throw new TypeError(
        'The keyspace belongs to another Database, or to a transaction: pass one of db.keyspace(name)',
      )
    }
    checkOptions(options, [], 'keyspace() of a Keyspace')
    const { engine, queue } = this.#context
    return new TransactionKeyspace(keyspace.name, { ...context, engine, queue })
  }

  /** An index of db.index(), in this transaction. @param {any} index */
  index(index) {
    return manualInside(this.#context, index)
  }

  savepoint() {
    return new Savepoint(this.#queue)
  }

  /** A transaction in this one: its changes are undone when `run` fails. @param {any} run */
  async transaction(run) {
    checkRun(run, 'transaction()')
    const nested = new Nested(this.#queue)
    try {
      return nested.keep(await run(nested.transaction))
    } catch (error) {
      nested.undo()
      throw error
    }
  }

  /** @param {any} run */
  transactionSync(run) {
    checkSyncRun(run)
    const nested = new Nested(this.#queue)
    try {
      return nested.keep(checkResult(run(nested.transaction)))
    } catch (error) {
      nested.undo()
      throw error
    }
  }

  /** Makes the changes the database's, or fails and makes none. */
  commitSync() {
    if (this.#isNested) throw new TypeError('A nested transaction is committed when its function has ended')
    this.#queue.check('commit()')
    this.#queue.running.commit()
  }

  async commit() {
    this.commitSync()
  }

  /** Forgets the changes. Allowed when it is over already. */
  rollbackSync() {
    if (this.#isNested) throw new TypeError('A nested transaction is rolled back when its function throws')
    this.#queue.running.end()
  }

  async rollback() {
    this.rollbackSync()
  }

  [dispose]() {
    this.rollbackSync()
  }

  async [asyncDispose]() {
    this.rollbackSync()
  }
}

/** @param {any} run @param {string} where */
export function checkRun(run, where) {
  if (typeof run !== 'function')
    throw new TypeError(`${where} takes a function of the transaction; got ${describe(run)}`)
}

const SYNC_FIX = 'it would be committed before the promise is settled: use await db.transaction(async (tx) => …)'
const AsyncFunction = (async () => {}).constructor

/** @param {any} run */
function checkSyncRun(run) {
  checkRun(run, 'transactionSync()')
  if (run instanceof AsyncFunction) {
    throw new TypeError(`transactionSync() takes a function that is not async; ${SYNC_FIX}`)
  }
}

/** @template T @param {T} result of a function that must not be a promise */
function checkResult(result) {
  const then = /** @type {any} */ (result)?.then
  if (typeof then !== 'function') return result
  then.call(result, undefined, () => {}) // it fails, as its transaction is over
  throw new TypeError(`The function of transactionSync() returned a promise; ${SYNC_FIX}`)
}

/** @param {Context} context of the database @param {any} options */
export function begin(context, options) {
  return new Transaction(new Running(context, beginOf(options, BEGIN_OPTIONS, 'begin()'), 'begin()'), false)
}

/** @param {Context} context of the database @param {any} run @param {any} options */
export function runSync(context, run, options) {
  checkSyncRun(run)
  const running = new Running(context, beginOf(options, BEGIN_OPTIONS, 'transactionSync()'), 'transactionSync()')
  try {
    const result = checkResult(run(new Transaction(running, false)))
    if (running.status === 'open') running.commit()
    return result
  } finally {
    running.end()
  }
}

// database.js: a database and all that belongs to it.

import * as abi from './abi.js'
import { Background } from './background.js'
import { asyncDispose, dispose } from './dispose.js'
import { encodingOf } from './encodings.js'
import { DatabaseError, describe, statusError } from './errors.js'
import { Events } from './events.js'
import { Handles } from './handles.js'
import { NESTED, openKeyspace } from './keyspace.js'
import { Engine } from './engine.js'
import { dropIndex, listIndexes } from './engine_index.js'
import { openManual } from './indexes.js'
import { platform } from './platform.js'
import { LOCK_WAIT, camelCase, pathOf, planOf, progressOf, temporaryOf } from './options.js'
import { CommitQueue } from './queue.js'
import { Snapshot } from './snapshot.js'
import { Store } from './store.js'
import { begin, runSync } from './transaction.js'
import { compiled, compiledSync } from './wasm.js'
import { Watchers } from './watch.js'

/** @import { Plan } from './options.js' */

/** @type {typeof import('./transaction_run.js').runRetried | undefined} */
let runner
const SYNC_INTERVAL_MS = 100
const LOCK_PAUSE_MS = 20
const INSPECT = Symbol.for('nodejs.util.inspect.custom')

/**
 * Opens the engine with a lock that waits no longer than `waitMs`.
 * @param {Plan} plan
 * @param {WebAssembly.Module} module
 * @param {number} waitMs
 */
function openEngine(plan, module, waitMs) {
  const engine = new Engine(module, plan.options.host ?? platform().host())
  const numbers = [...plan.numbers]
  numbers[LOCK_WAIT] = waitMs
  try {
    engine.open(plan.path, numbers)
  } catch (error) {
    engine.abandon()
    throw error
  }
  return engine
}

export class Database extends Store {
  #engine
  #queue
  #handles
  #background
  #path
  #context
  #events
  #status = 'open'

  /** Use Database.open() or Database.openSync(). @param {Plan} plan @param {Engine} engine */
  constructor(plan, engine) {
    if (!(engine instanceof Engine)) throw new TypeError('Open a database with await Database.open(path), not with new')
    const { options, path } = plan
    const events = new Events()
    const interval = options.syncInterval || SYNC_INTERVAL_MS
    const background = new Background(engine, interval, (error) => events.tell('error', error))
    const watchers = new Watchers()
    const queue = new CommitQueue(engine, (bytes) => background.committed(bytes), watchers)
    const context = {
      engine,
      queue,
      watchers,
      handles: new Handles(engine, (message) => events.warn(`${path}: ${message}`)),
      keyspace: 0,
      keyEncoding: encodingOf(options.keyEncoding, 'keyEncoding'),
      valueEncoding: encodingOf(options.valueEncoding, 'valueEncoding'),
    }
    super(context)
    this.#context = context
    this.#events = events
    this.#engine = engine
    this.#queue = queue
    this.#handles = context.handles
    this.#background = background
    this.#path = path
  }

  /** @param {any} location @param {any} [options] */
  static async open(location, options) {
    const plan = planOf(location, options)
    const module = await compiled(plan.options.wasm)
    const deadline = Date.now() + plan.waitMs
    for (;;) {
      try {
        return new Database(plan, openEngine(plan, module, 0))
      } catch (error) {
        const locked = error instanceof DatabaseError && error.code === 'ERR_DB_LOCKED'
        if (!locked || Date.now() >= deadline) throw error
      }
      await new Promise((resolve) => setTimeout(resolve, LOCK_PAUSE_MS))
    }
  }

  /** @param {any} location @param {any} [options] */
  static openSync(location, options) {
    const plan = planOf(location, options)
    return new Database(plan, openEngine(plan, compiledSync(plan.options.wasm), plan.waitMs))
  }

  /** Makes a new database at `target` of a backup. @param {any} backup @param {any} target @param {any} [options]
   * @returns {Promise<void>} */
  static async restore(backup, target, options) {
    return (await import('./care.js')).restore(backup, target, options)
  }

  /** Makes a new database at `target` of what is whole at `path`. @param {any} path @param {any} target
   * @param {any} [options] @returns {Promise<any>} */
  static async repair(path, target, options) {
    return (await import('./care.js')).repair(path, target, options)
  }

  /** Where the database is, as it was opened. */
  get path() {
    return this.#path
  }

  /** 'open' or 'closed'. */
  get status() {
    return this.#status
  }

  /** What console.log() shows. */
  [INSPECT]() {
    return `Database { path: ${JSON.stringify(this.#path)}, status: '${this.#status}' }`
  }

  /** The version of the engine. */
  static get version() {
    return abi.VERSION
  }

  // ---- Keyspaces and snapshots

  /** @param {any} name @param {any} [options] */
  keyspace(name, options) {
    return openKeyspace(this.#context, name, options)
  }

  /** The names of the keyspaces, in order. */
  keyspaces() {
    return this.#engine.keyspaces()
  }

  /** Removes a keyspace and all that is in it, nested ones too. False when there was none. @param {any} name */
  async dropKeyspace(name) {
    if (typeof name !== 'string') throw new TypeError(`dropKeyspace() takes a name; got ${describe(name)}`)
    this.#queue.flush()
    for (const nested of this.#engine.keyspaces()) {
      if (nested.startsWith(name + NESTED)) this.#engine.dropKeyspace(nested)
    }
    return this.#engine.dropKeyspace(name)
  }

  /** An index whose postings the program keeps. @param {any} name @param {any} [options] */
  index(name, options) {
    return openManual(this.#context, name, options)
  }

  /** The names of the indexes, in order. */
  indexes() {
    return listIndexes(this.#engine)
  }

  /** Removes an index by its name; false when there is none. @param {any} name */
  async dropIndex(name) {
    if (typeof name !== 'string') throw new TypeError(`dropIndex() takes a name; got ${describe(name)}`)
    this.#queue.flush()
    return dropIndex(this.#engine, name)
  }

  /** The state of the database now. Close it, or let `using` do it. */
  snapshot() {
    this.#queue.flush()
    const { handle, sequence } = this.#engine.openSnapshot()
    return new Snapshot(this.#handles, handle, sequence)
  }

  // ---- Transactions

  /** Runs a function in a transaction, again when it conflicts with another one. @param {any} run
   * @param {any} [options] */
  async transaction(run, options) {
    runner ??= (await import('./transaction_run.js')).runRetried
    return runner(this.#context, run, options)
  }

  /** @param {any} run @param {any} [options] */
  transactionSync(run, options) {
    return runSync(this.#context, run, options)
  }

  /** A transaction that the caller ends. @param {any} [options] */
  begin(options) {
    return begin(this.#context, options)
  }

  // ---- Care

  /** Returns when all that was written is on stable storage. */
  syncSync() {
    this.#queue.flush()
    this.#engine.sync()
  }

  async sync() {
    this.syncSync()
  }

  /** @param {any} [options] */
  async compact(options) {
    const progress = progressOf(options, 'compact()')
    this.#queue.flush()
    this.#engine.compact(progress)
  }

  /** Writes what is in memory to tables. */
  async flush() {
    this.#queue.flush()
    this.#engine.flush()
  }

  /** @param {any} [options] */
  async verify(options) {
    const progress = progressOf(options, 'verify()')
    this.#queue.flush()
    const { report, error } = this.#engine.verify(progress)
    if (error !== null) throw Object.assign(error, { report: camelCase(report) })
    return camelCase(report)
  }

  /** @param {any} target @param {any} [options] */
  async backup(target, options) {
    const progress = progressOf(options, 'backup()')
    this.#queue.flush()
    if (typeof target?.getWriter === 'function') return this.#backupTo(target, progress)
    return camelCase(this.#engine.backup(pathOf(target, 'backup()'), progress))
  }

  /** The copy is made now, and sent afterwards. @param {any} writable
   * @param {((done: number, total: number) => unknown) | undefined} progress */
  async #backupTo(writable, progress) {
    const { host } = this.#engine
    const path = temporaryOf(host)
    let report
    /** @type {unknown[]} */
    const failed = []
    try {
      report = camelCase(this.#engine.backup(path, progress))
    } catch (error) {
      failed.push(error)
    }
    await (await import('./streams.js')).sendBackup(host, path, writable, progress, failed)
    return report
  }

  stats() {
    this.#queue.flush()
    return camelCase(this.#engine.stats())
  }

  // ---- Events

  /** @param {any} event @param {any} listener */
  on(event, listener) {
    this.#events.add(event, listener, false)
    return this
  }

  /** @param {any} event @param {any} listener */
  once(event, listener) {
    this.#events.add(event, listener, true)
    return this
  }

  /** @param {any} event @param {any} listener */
  off(event, listener) {
    this.#events.remove(event, listener)
    return this
  }

  // ---- Close

  /** Closes the database, its iterators and its snapshots. Closing twice is allowed. */
  closeSync() {
    if (this.#status === 'closed') return
    this.#queue.flush()
    this.#status = 'closed'
    this.#background.close()
    this.#handles.closeAll()
    this.#context.watchers.closeAll()
    this.#events.tell('closed')
    try {
      this.#engine.close()
    } catch (error) {
      this.#engine.abandon()
      if (error instanceof DatabaseError) throw error
      throw statusError(abi.STATUS.BUG, 'the database could not be closed', error)
    }
  }

  async close() {
    this.closeSync()
  }

  [dispose]() {
    this.closeSync()
  }

  async [asyncDispose]() {
    this.closeSync()
  }
}

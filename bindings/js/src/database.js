// database.js: a database and all that belongs to it.

import * as abi from './abi.js'
import { Background } from './background.js'
import { asyncDispose, dispose } from './dispose.js'
import { encodingOf } from './encodings.js'
import { DatabaseError, checkOptions, describe, statusError } from './errors.js'
import { Handles } from './handles.js'
import { NESTED, openKeyspace } from './keyspace.js'
import { Engine } from './engine.js'
import { platform } from './platform.js'
import { signalOf } from './range.js'
import { CommitQueue } from './queue.js'
import { Snapshot } from './snapshot.js'
import { Store, durabilityOf } from './store.js'
import { compiled, compiledSync } from './wasm.js'
import { Watchers } from './watch.js'

const OPEN_OPTIONS = [
  ...['readOnly', 'createIfMissing', 'errorIfExists', 'lock', 'durability', 'syncInterval', 'compression'],
  ...['memory', 'memtable', 'tableSize', 'blockSize', 'keyEncoding', 'valueEncoding', 'wasm', 'host'],
]
const LOCK_OPTIONS = ['wait']
const PROGRESS_OPTIONS = ['onProgress', 'signal']
const SYNC_INTERVAL_MS = 100
const LOCK_PAUSE_MS = 20
const LOCK_WAIT = 4 // where db_open finds how long to wait for the lock
const INSPECT = Symbol.for('nodejs.util.inspect.custom')

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
function pathOf(location, where) {
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
function planOf(location, options = {}) {
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
function progressOf(options, where) {
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

/** The keys of a loss are hex on their way here. @param {any} loss */
function lossOf(loss) {
  const bytes = (/** @type {string | undefined} */ hex) =>
    hex === undefined ? undefined : Uint8Array.from(hex.match(/../g) ?? [], (byte) => parseInt(byte, 16))
  return { ...loss, harmless: loss.harmless === 1, after: bytes(loss.after), before: bytes(loss.before) }
}

/** disk_bytes becomes diskBytes. @param {any} report @returns {any} */
function camelCase(report) {
  if (Array.isArray(report)) return report.map(camelCase)
  if (report === null || typeof report !== 'object') return report
  return Object.fromEntries(
    Object.entries(report).map(([name, value]) => [
      name.replace(/_([a-z])/g, (_, c) => c.toUpperCase()),
      camelCase(value),
    ]),
  )
}

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
  #status = 'open'

  /** Use Database.open() or Database.openSync(). @param {Plan} plan @param {Engine} engine */
  constructor(plan, engine) {
    if (!(engine instanceof Engine)) throw new TypeError('Open a database with await Database.open(path), not with new')
    const { options, path } = plan
    const background = new Background(engine, options.syncInterval || SYNC_INTERVAL_MS)
    const watchers = new Watchers()
    const queue = new CommitQueue(engine, (bytes) => background.committed(bytes), watchers)
    const context = {
      engine,
      queue,
      watchers,
      handles: new Handles(engine),
      keyspace: 0,
      keyEncoding: encodingOf(options.keyEncoding, 'keyEncoding'),
      valueEncoding: encodingOf(options.valueEncoding, 'valueEncoding'),
    }
    super(context)
    this.#context = context
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

  /** Makes a new database at `target` of a backup. @param {any} backup @param {any} target @param {any} [options] */
  static async restore(backup, target, options = {}) {
    const { wasm, host, ...rest } = options
    const progress = progressOf(rest, 'restore()')
    const engine = new Engine(await compiled(wasm), host ?? platform().host())
    try {
      engine.restore(pathOf(backup, 'restore()'), pathOf(target, 'restore()'), progress)
    } finally {
      engine.abandon()
    }
  }

  /** Makes a new database at `target` of what is whole at `path`. @param {any} path @param {any} target
   * @param {any} [options] */
  static async repair(path, target, options = {}) {
    const { wasm, host, onLoss, ...rest } = options
    if (onLoss !== undefined && typeof onLoss !== 'function') {
      throw new TypeError(`onLoss must be a function of a loss; got ${describe(onLoss)}`)
    }
    const progress = progressOf(rest, 'repair()')
    const engine = new Engine(await compiled(wasm), host ?? platform().host())
    let text
    try {
      text = engine.repair(pathOf(path, 'repair()'), pathOf(target, 'repair()'), progress)
    } finally {
      engine.abandon()
    }
    const { told, ...report } = camelCase(text)
    for (const loss of told) onLoss?.(lossOf(loss))
    return { ...report, listLost: report.listLost === 1 }
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

  /** The state of the database now. Close it, or let `using` do it. */
  snapshot() {
    this.#queue.flush()
    const { handle, sequence } = this.#engine.openSnapshot()
    return new Snapshot(this.#handles, handle, sequence)
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
    return camelCase(this.#engine.backup(pathOf(target, 'backup()'), progress))
  }

  stats() {
    this.#queue.flush()
    return camelCase(this.#engine.stats())
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

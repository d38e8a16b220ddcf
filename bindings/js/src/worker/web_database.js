// web_database.js: Database for pages and workers. What open() gives is one of
//   - a database whose engine is in a worker, shared with all tabs (a name);
//   - in a worker of the application, the engine itself, when nobody else has it: with the Sync methods, and serving
//     other tabs;
//   - a database in this thread's memory (':memory:', or a host that the caller passes).

import * as abi from '../abi.js'
import { Database as LocalDatabase } from '../database.js'
import { asyncDispose, dispose } from '../dispose.js'
import { encodingOf } from '../encodings.js'
import { checkOptions, describe, statusError } from '../errors.js'
import { Events } from '../events.js'
import { Handles } from '../handles.js'
import { NESTED, Keyspace } from '../keyspace.js'
import { hasOpfs } from '../host/opfs.js'
import { nameOfLocation } from '../host/web_names.js'
import { camelCase, planOf, progressOf } from '../options.js'
import { contextOf, durabilityOf, withEncodings } from '../store.js'
import { compiled } from '../wasm.js'
import { Link } from './link.js'
import { OwnWorker, noWorker } from './page_worker.js'
import { RemoteQueue, RemoteSnapshot, RemoteStore, RemoteWatchers, orAborted } from './remote.js'
import * as p from './protocol.js'

const BROWSER_OPTIONS = ['storage', 'allowMemory', 'worker', 'timeout', 'sync']
const STORAGES = ['opfs', 'idb', 'memory']
const TIMEOUT_MS = 10_000
const INSPECT = Symbol.for('nodejs.util.inspect.custom')

/** @param {any} options what is for browsers alone, checked */
function browserOptions(options = {}) {
  const { storage, allowMemory, worker, timeout = TIMEOUT_MS, sync } = options
  if (storage !== undefined && !STORAGES.includes(storage)) {
    throw new TypeError(`storage must be 'opfs', 'idb' or 'memory'; got ${describe(storage)}`)
  }
  for (const [name, value] of Object.entries({ allowMemory, sync })) {
    if (value !== undefined && typeof value !== 'boolean') {
      throw new TypeError(`${name} must be true or false; got ${describe(value)}`)
    }
  }
  if (typeof timeout !== 'number' || !(timeout > 0)) {
    throw new TypeError(`timeout must be a number of milliseconds; got ${describe(timeout)}`)
  }
  return { storage, allowMemory, worker, timeout, sync }
}

/** @param {any} options those that the engine takes */
function engineOptions(options = {}) {
  if (options === null || typeof options !== 'object') checkOptions(options, [], 'open()')
  return Object.fromEntries(Object.entries(options).filter(([name]) => !BROWSER_OPTIONS.includes(name)))
}

/** A keyspace of a database whose engine is elsewhere. */
class RemoteKeyspace extends RemoteStore {
  #name

  /** @param {string} name @param {any} context */
  constructor(name, context) {
    super(context)
    this.#name = name
  }

  get name() {
    return this.#name
  }

  /** @param {any} name @param {any} [options] */
  keyspace(name, options) {
    return openRemote(contextOf(this), name, options, this.#name + NESTED)
  }

  [INSPECT]() {
    return `Keyspace { name: ${JSON.stringify(this.#name)} }`
  }
}
Object.defineProperty(Keyspace, Symbol.hasInstance, {
  value(/** @type {any} */ object) {
    return this === Keyspace && object instanceof RemoteKeyspace
      ? true
      : Function.prototype[Symbol.hasInstance].call(this, object)
  },
})

/** @param {any} context @param {any} name @param {any} options @param {string} around */
function openRemote(context, name, options, around) {
  if (typeof name !== 'string' || name === '') {
    throw new TypeError(`keyspace() takes a name, a string that is not empty; got ${describe(name)}`)
  }
  checkOptions(options, ['keyEncoding', 'valueEncoding'], 'keyspace()')
  const inside = withEncodings(context, options)
  return new RemoteKeyspace(around + name, { ...inside, keyspace: context.engine.openKeyspace(around + name) })
}

export class Database extends RemoteStore {
  #name
  #link
  #context
  #events
  #status = 'open'

  /** Use Database.open(). @param {string} name @param {Link} link @param {any} options @param {Events} events */
  constructor(name, link, options, events) {
    if (!(link instanceof Link)) throw new TypeError('Open a database with await Database.open(name), not with new')
    const context = {
      engine: link,
      queue: new RemoteQueue(link, durabilityOf(options.durability) || 1),
      watchers: new RemoteWatchers(link),
      handles: new Handles(/** @type {any} */ (link), (message) => events.warn(`${name}: ${message}`)),
      keyspace: 0,
      keyEncoding: encodingOf(options.keyEncoding, 'keyEncoding'),
      valueEncoding: encodingOf(options.valueEncoding, 'valueEncoding'),
    }
    super(/** @type {any} */ (context))
    this.#name = name
    this.#link = link
    this.#context = context
    this.#events = events
  }

  /** @override @param {any} object */
  static [Symbol.hasInstance](object) {
    if (Function.prototype[Symbol.hasInstance].call(this, object)) return true
    return this === Database && object instanceof LocalDatabase
  }

  /** @param {any} location @param {any} [options] @returns {Promise<any>} */
  static async open(location, options = {}) {
    const rest = engineOptions(options)
    const plan = planOf(location, rest)
    if (location === ':memory:' || rest['host'] !== undefined) return LocalDatabase.open(location, rest)
    const its = browserOptions(options)
    const name = nameOfLocation(plan.path)
    if (its.storage === 'memory') return openRemoteDatabase(`${name}?${p.randomId()}`, rest, its, plan, name)
    const inFiles = its.storage === 'opfs' || (its.storage === undefined && hasOpfs())
    if (its.sync === true && !inFiles) {
      const message = 'sync: true needs a private file system: IndexedDB can only be awaited, so leave it out'
      throw statusError(abi.STATUS.UNSUPPORTED, message)
    }
    if (isOwnWorker() && inFiles) {
      const { openHere } = await import('./here.js')
      const local = await openHere(name, rest, its, plan.waitMs)
      if (local !== null) return local
      if (its.sync === true) {
        const message = `another tab or worker has '${name}' open; with sync: true nobody else can`
        throw statusError(abi.STATUS.LOCKED, message)
      }
    } else if (its.sync === true) {
      // A page.
      throw new TypeError('sync: true needs a worker: open the database in one, or leave it out and await the methods')
    }
    return openRemoteDatabase(name, rest, its, plan, name)
  }

  /** @param {any} location @param {any} [options] @returns {any} */
  static openSync(location, options = {}) {
    const rest = engineOptions(options)
    if (location !== ':memory:' && rest['host'] === undefined) {
      throw new TypeError(
        "openSync() opens ':memory:' alone in a browser, whose storage can only be opened by await Database.open(name)",
      )
    }
    return LocalDatabase.openSync(location, rest)
  }

  /** @param {any} backup @param {any} target @param {any} [options] */
  static restore(backup, target, options) {
    return LocalDatabase.restore(backup, target, options)
  }

  /** @param {any} path @param {any} target @param {any} [options] */
  static repair(path, target, options) {
    return LocalDatabase.repair(path, target, options)
  }

  static get version() {
    return abi.VERSION
  }

  /** The name, as it was opened. */
  get path() {
    return this.#name
  }

  /** 'open' or 'closed'. */
  get status() {
    return this.#status
  }

  /** Where the database is kept: 'opfs', 'idb' or 'memory'. @returns {'opfs' | 'idb' | 'memory'} */
  get storage() {
    return this.#link.info.storage
  }

  /** Whether the engine runs in this page's worker now, and serves the other tabs. */
  get leads() {
    return this.#link.leads
  }

  /** How often another tab took over. */
  get failovers() {
    return this.#link.changes
  }

  [INSPECT]() {
    return `Database { path: ${JSON.stringify(this.#name)}, status: '${this.#status}' }`
  }

  // ---- Keyspaces and snapshots

  /** @param {any} name @param {any} [options] */
  keyspace(name, options) {
    return openRemote(this.#context, name, options, '')
  }

  /** @returns {Promise<string[]>} */
  keyspaces() {
    return this.#link.request(p.OP_CARE, 'keyspaces')
  }

  /** @param {any} name @returns {Promise<boolean>} */
  async dropKeyspace(name) {
    if (typeof name !== 'string') throw new TypeError(`dropKeyspace() takes a name; got ${describe(name)}`)
    const dropped = this.#link.request(p.OP_CARE, 'dropKeyspace', { name })
    this.#link.forgetKeyspace(name)
    return dropped
  }

  snapshot() {
    const id = this.#link.newId()
    return new RemoteSnapshot(this.#context.handles, id, this.#link.request(p.OP_SNAPSHOT, id))
  }

  // ---- Care

  /** @returns {Promise<void>} */
  sync() {
    return this.#link.request(p.OP_CARE, 'sync')
  }

  /** @returns {Promise<void>} */
  flush() {
    return this.#link.request(p.OP_CARE, 'flush')
  }

  /** @param {any} [options] @returns {Promise<void>} */
  async compact(options) {
    await this.#long('compact', options)
  }

  /** @param {any} [options] */
  async verify(options) {
    return camelCase(await this.#long('verify', options))
  }

  /** @param {string} what @param {any} options */
  async #long(what, options) {
    const progress = progressOf(options, `${what}()`)
    const call = this.#link.longRequest(progress, p.OP_CARE, what, { progress: progress !== undefined })
    return options?.signal === undefined ? call : orAborted(call, options.signal)
  }

  /** @returns {Promise<any>} */
  async stats() {
    const stats = camelCase(await this.#link.request(p.OP_CARE, 'stats'))
    const { usage, quota } = (await globalThis.navigator?.storage?.estimate?.()) ?? {}
    return { ...stats, storage: this.storage, usage, quota }
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

  async close() {
    if (this.#status === 'closed') return
    this.#status = 'closed'
    const closed = this.#link.close()
    this.#context.watchers.closeAll()
    await closed
    this.#context.handles.closeAll()
    this.#events.tell('closed')
  }

  [dispose]() {
    void this.close()
  }

  async [asyncDispose]() {
    await this.close()
  }
}

for (const name of ['backup', 'transaction', 'transactionSync', 'begin', 'index', 'indexes']) {
  if (name in Database.prototype) continue
  Object.defineProperty(Database.prototype, name, {
    value: () => {
      const fix = 'open the database in a worker of your own with { sync: true }, and call it there'
      throw statusError(abi.STATUS.UNSUPPORTED, `${name}() needs the engine in its own thread: ${fix}`)
    },
    writable: true,
    configurable: true,
  })
}

for (const [name, fix] of Object.entries({ syncSync: 'sync', closeSync: 'close' })) {
  Object.defineProperty(Database.prototype, name, {
    value: () => {
      throw new TypeError(
        `${name}() needs the engine in its own thread, and here it is in a worker: use await ${fix}()`,
      )
    },
    writable: true,
    configurable: true,
  })
}

function isOwnWorker() {
  const scope = /** @type {any} */ (globalThis).DedicatedWorkerGlobalScope
  return scope !== undefined && globalThis instanceof scope
}

/** @param {string} name of locks and channels @param {any} rest @param {ReturnType<typeof browserOptions>} its
 * @param {import('../options.js').Plan} plan @param {string} shown */
async function openRemoteDatabase(name, rest, its, plan, shown) {
  if (globalThis.navigator?.locks === undefined || globalThis.BroadcastChannel === undefined) {
    throw statusError(
      abi.STATUS.UNSUPPORTED,
      'a stored database needs a browser with Web Locks, and a secure page (https, or localhost); ' +
        "':memory:' needs neither",
    )
  }
  const { keyEncoding: _k, valueEncoding: _v, wasm, lock: _l, readOnly, ...options } = rest
  const start = { name, storage: its.storage, allowMemory: its.allowMemory, options }
  if (readOnly === true) start.options = { ...options, createIfMissing: false }
  const begin = { t: 'start', start, wasm: wasm === undefined ? undefined : await compiled(wasm) }
  const timeout = plan.waitMs > its.timeout ? plan.waitMs : its.timeout
  const made = { own: /** @type {OwnWorker | null} */ (null) }
  const link = new Link(
    name,
    { readOnly: readOnly === true, timeout, exclusive: rest['errorIfExists'] === true },
    (it) => {
      if (globalThis.Worker === undefined) return noWorker()
      return (made.own = new OwnWorker(it, its.worker, begin))
    },
  )
  await link.open()
  const { errorIfExists: _e, ...later } = start.options
  made.own?.opened({ ...later, createIfMissing: false })
  return new Database(shown, link, rest, new Events())
}

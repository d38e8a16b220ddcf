// level.js: 'varve/level': the interface of abstract-level, for programs that are written for `level`. The base class
// has encodings, sublevels, hooks, events and chained batches; here is what touches the store.
//
//     import { VarveLevel } from 'varve/level'
//     const db = new VarveLevel('./my_database', { valueEncoding: 'json' })

import {
  AbstractIterator,
  AbstractKeyIterator,
  AbstractLevel,
  AbstractSnapshot,
  AbstractValueIterator,
} from 'abstract-level'

import { Database, DatabaseError, MemoryHost } from 'varve'
import { Cursor } from './src/iterator.js'
import { spanOf } from './src/range.js'
import { Store, contextOf, withEncodings } from './src/store.js'

/** @import { Context } from './src/store.js' */
/** @import { RowKind } from './src/iterator.js' */

/** What the base class calls an encoding is the form that its own encodings end in. */
const FORMATS = Object.freeze({ utf8: true, buffer: true, view: true })
const OWN_OPTIONS = ['createIfMissing', 'errorIfExists', 'readOnly', 'durability', 'syncInterval', 'compression']
const MORE_OPTIONS = ['memory', 'memtable', 'tableSize', 'blockSize', 'lock', 'wasm', 'host']
const BOUNDS = ['gt', 'gte', 'lt', 'lte']

/** The options that are ours. @param {any} options @param {readonly string[]} names */
function pick(options, names) {
  return Object.fromEntries(names.filter((name) => options[name] !== undefined).map((name) => [name, options[name]]))
}

/** A range of the base class: of two bounds on one side the inclusive one counts. @param {any} options */
function rangeOf(options) {
  const range = pick(options, BOUNDS)
  if (range['gte'] !== undefined) delete range['gt']
  if (range['lte'] !== undefined) delete range['lt']
  return { ...range, reverse: options.reverse, limit: options.limit < 0 ? Infinity : options.limit }
}

/** The two failures that programs for level tell by their words. @param {unknown} error @param {string | URL} where */
function openError(error, where) {
  if (!(error instanceof DatabaseError)) return error
  const words = { ERR_DB_MISSING: 'does not exist', ERR_DB_EXISTS: 'exists already' }
  const reason = words[/** @type {keyof typeof words} */ (error.code)]
  return reason === undefined ? error : new DatabaseError(error.code, `${where} ${reason}: ${error.message}`)
}

/** @param {any} options @param {any} data */
function snapshotOf(options, data) {
  return options.snapshot === undefined || options.snapshot === null
    ? data
    : { ...data, snapshot: options.snapshot.own }
}

/** As abstract-level's own, which it does not export. */
class AbortError extends Error {
  code = 'LEVEL_ABORTED'

  constructor() {
    super('Operation has been aborted')
  }

  /** @override */
  get name() {
    return 'AbortError'
  }
}

class VarveSnapshot extends /** @type {new (options: any) => AbstractSnapshot} */ (AbstractSnapshot) {
  /** @param {any} options @param {import('./src/snapshot.js').Snapshot} own */
  constructor(options, own) {
    super(options)
    this.own = own
  }

  closed = false

  async _close() {
    this.closed = true
    this.own.close()
  }
}

/** The three kinds of iterators differ in the base class and in what a row is.
 * @template {abstract new (...args: any[]) => any} T @param {T} Base @param {RowKind} kind */
function iteratorClass(Base, kind) {
  return class extends /** @type {any} */ (Base) {
    /** @type {Cursor | null} */
    #cursor = null
    #encode
    /** @type {AbortSignal | undefined} */
    #signal

    /** @param {VarveLevel} db @param {Context} context @param {any} options */
    constructor(db, context, options) {
      super(db, options)
      this.#encode = context.keyEncoding.encode
      this.#signal = options.signal ?? undefined
      if (options.snapshot?.closed) return // the base class refuses every read
      const span = spanOf(snapshotOf(options, rangeOf(options)), context.keyEncoding, 'iterate', 'iterator()')
      this.#cursor = new Cursor(context, span, kind)
    }

    /** Rows are there at once; who aborts after asking for them, in the same turn, gets none all the same.
     * @template T @param {() => T} read @returns {T | Promise<T>} */
    #unlessAborted(read) {
      const signal = this.#signal
      if (signal === undefined) return read()
      return Promise.resolve().then(() => {
        if (signal.aborted) throw new AbortError()
        return read()
      })
    }

    async _next() {
      return this.#unlessAborted(() => this.#cursor?.next())
    }

    /** @param {number} size */
    async _nextv(size) {
      return this.#unlessAborted(() => this.#cursor?.take(size))
    }

    async _all() {
      return this.#unlessAborted(() => this.#cursor?.take(Infinity))
    }

    /** @param {any} target */
    _seek(target) {
      this.#cursor?.seek(this.#encode(target, 'key'))
    }

    async _close() {
      this.#cursor?.close()
    }
  }
}

const VarveIterator = iteratorClass(AbstractIterator, 'entries')
const VarveKeyIterator = iteratorClass(AbstractKeyIterator, 'keys')
const VarveValueIterator = iteratorClass(AbstractValueIterator, 'values')

/** @extends {AbstractLevel<any, any, any>} */
export class VarveLevel extends AbstractLevel {
  #location
  /** @type {any} a Database, while it is open */
  #database = null
  /** What ':memory:' keeps while it is closed. @type {MemoryHost | undefined} */
  #memory
  /** One store for each pair of formats that was asked for. @type {Map<string, Store>} */
  #stores = new Map()

  /** @param {string | URL} location @param {any} [options] */
  constructor(location, options) {
    const permanence = location !== ':memory:'
    const powers = { seek: true, has: true, getSync: true, explicitSnapshots: true, implicitSnapshots: true }
    const manifest = { ...powers, encodings: FORMATS, createIfMissing: true, errorIfExists: true, permanence }
    const more = { signals: { iterators: true }, additionalMethods: { compact: true, backup: true } }
    super({ ...manifest, ...more }, options)
    this.#location = location
    if (!permanence) this.#memory = new MemoryHost()
  }

  /** Where the database is. */
  get location() {
    return this.#location
  }

  /** The database below. */
  get database() {
    if (this.#database === null) throw new TypeError('The database is not open: await db.open() first')
    return this.#database
  }

  /** @param {any} options @returns {Store} */
  #store({ keyEncoding = 'utf8', valueEncoding = 'utf8' }) {
    const name = `${keyEncoding} ${valueEncoding}`
    let store = this.#stores.get(name)
    if (store === undefined) {
      store = new Store(withEncodings(contextOf(this.database), { keyEncoding, valueEncoding }))
      this.#stores.set(name, store)
    }
    return store
  }

  /** @param {any} options */
  async _open(options) {
    const own = pick(options, [...OWN_OPTIONS, ...MORE_OPTIONS])
    if (own['errorIfExists'] || own['readOnly']) delete own['createIfMissing']
    if (own['errorIfExists'] === false) delete own['errorIfExists']
    try {
      this.#database = await (this.#memory === undefined
        ? Database.open(this.#location, own)
        : Database.open('memory', { host: this.#memory, ...own }))
    } catch (error) {
      throw openError(error, this.#location)
    }
  }

  async _close() {
    await this.#database?.close()
    this.#database = null
    this.#stores.clear()
  }

  /** @param {any} key @param {any} options */
  _getSync(key, options) {
    return this.#store(options).getSync(key, snapshotOf(options, undefined))
  }

  /** @param {any} key @param {any} options */
  async _get(key, options) {
    return this._getSync(key, options)
  }

  /** @param {any[]} keys @param {any} options */
  async _getMany(keys, options) {
    return this.#store(options).getManySync(keys, snapshotOf(options, undefined))
  }

  /** @param {any} key @param {any} options */
  async _has(key, options) {
    return this.#store(options).hasSync(key, snapshotOf(options, undefined))
  }

  /** @param {any[]} keys @param {any} options */
  async _hasMany(keys, options) {
    const store = this.#store(options)
    const at = snapshotOf(options, undefined)
    return keys.map((key) => store.hasSync(key, at))
  }

  /** @param {any} key @param {any} value @param {any} options */
  _put(key, value, options) {
    return this.#store(options).put(key, value, pick(options, ['durability']))
  }

  /** @param {any} key @param {any} options */
  _del(key, options) {
    return this.#store(options).del(key, pick(options, ['durability']))
  }

  /** @param {any[]} operations @param {any} options */
  _batch(operations, options) {
    const changes = operations.map(({ type, key, value, keyEncoding, valueEncoding }) =>
      type === 'put' ? { type, key, value, keyEncoding, valueEncoding } : { type, key, keyEncoding },
    )
    return this.#store({}).batch(changes, pick(options, ['durability']))
  }

  /** @param {any} options */
  async _clear(options) {
    const store = this.#store(options)
    if (options.snapshot === undefined || options.snapshot === null) return store.clear(rangeOf(options))
    // What a snapshot sees is cleared, and nothing that came later.
    const keys = Array.from(store.keysSync(snapshotOf(options, rangeOf(options))))
    return store.batch(keys.map((key) => ({ type: 'del', key })))
  }

  /** @param {any} options */
  _iterator(options) {
    return new VarveIterator(this, contextOf(this.#store(options)), options)
  }

  /** @param {any} options */
  _keys(options) {
    return new VarveKeyIterator(this, contextOf(this.#store(options)), options)
  }

  /** @param {any} options */
  _values(options) {
    return new VarveValueIterator(this, contextOf(this.#store(options)), options)
  }

  /** @param {any} options */
  _snapshot(options) {
    return new VarveSnapshot(options, this.database.snapshot())
  }

  /** Merges everything until nothing deleted or superseded is left. @param {any} [options] */
  async compact(options) {
    await this.database.compact(options)
  }

  /** Writes a consistent copy. @param {any} target @param {any} [options] */
  async backup(target, options) {
    return this.database.backup(target, options)
  }
}

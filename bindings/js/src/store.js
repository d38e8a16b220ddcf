// store.js: what a Database and a Keyspace have in common: reading, writing and walking keys of one keyspace.

import { ABI_OP_DEL } from './abi.js'
import { atChange, batchOf, clearOf, delOf, putOf } from './changes.js'
import { FORM_VIEW } from './encodings.js'
import { checkOptions, describe } from './errors.js'
import { spanOf } from './range.js'
import { AsyncRows, SyncRows } from './iterator.js'
import { Snapshot } from './snapshot.js'

/** What a store needs of its database.
 * @typedef {object} Context
 * @property {import('./engine.js').Engine} engine
 * @property {import('./handles.js').Handles} handles
 * @property {import('./queue.js').CommitQueue} queue
 * @property {number} keyspace
 * @property {import('./encodings.js').Encoding} keyEncoding
 * @property {import('./encodings.js').Encoding} valueEncoding
 */

const READ_OPTIONS = ['snapshot']
const WRITE_OPTIONS = ['durability']
const CLEAR_OPTIONS = ['gt', 'gte', 'lt', 'lte', 'prefix', 'reverse', 'limit', 'durability']

/** @type {Readonly<Record<string, number>>} */
const DURABILITY = Object.freeze({ relaxed: 1, strict: 2 })

/** @param {unknown} durability @returns {number} */
export function durabilityOf(durability) {
  if (durability === undefined) return 0
  const known = typeof durability === 'string' ? DURABILITY[durability] : undefined
  if (known === undefined) throw new TypeError(`durability must be 'relaxed' or 'strict'; got ${describe(durability)}`)
  return known
}

/** @param {any} options @param {string} where */
function writeDurability(options, where) {
  if (options === undefined) return 0
  checkOptions(options, WRITE_OPTIONS, where)
  return durabilityOf(options.durability)
}

export class Store {
  /** @type {Context} */
  #context

  /** @param {Context} context */
  constructor(context) {
    this.#context = context
  }

  // ---- Reading

  /** @param {any} options @param {string} where */
  #snapshotOf(options, where) {
    if (options === undefined) return 0
    checkOptions(options, READ_OPTIONS, where)
    if (options.snapshot === undefined) return 0
    if (!(options.snapshot instanceof Snapshot)) {
      throw new TypeError(`snapshot must come from db.snapshot(); got ${describe(options.snapshot)}`)
    }
    return options.snapshot.handleFor(this.#context.handles)
  }

  /** @param {any} key @param {any} [options] */
  getSync(key, options) {
    const { engine, queue, keyspace, keyEncoding, valueEncoding } = this.#context
    const bytes = keyEncoding.encode(key, 'key')
    const snapshot = options === undefined ? 0 : this.#snapshotOf(options, 'get()')
    queue.flush()
    const raw = engine.get(keyspace, snapshot, bytes, valueEncoding.form)
    return raw === undefined || valueEncoding.decode === null ? raw : valueEncoding.decode(raw, 'value', key)
  }

  /** @param {any} key @param {any} [options] */
  get(key, options) {
    try {
      return Promise.resolve(this.getSync(key, options))
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /** @param {any} key @param {any} [options] */
  hasSync(key, options) {
    const { engine, queue, keyspace, keyEncoding } = this.#context
    const bytes = keyEncoding.encode(key, 'key')
    const snapshot = this.#snapshotOf(options, 'has()')
    queue.flush()
    return engine.has(keyspace, snapshot, bytes)
  }

  /** @param {any} key @param {any} [options] */
  async has(key, options) {
    return this.hasSync(key, options)
  }

  /** @param {any} keys @param {any} [options] @returns {any[]} */
  getManySync(keys, options) {
    const { engine, queue, keyspace, keyEncoding, valueEncoding } = this.#context
    if (!Array.isArray(keys)) throw new TypeError(`getMany() takes an array of keys; got ${describe(keys)}`)
    const snapshot = this.#snapshotOf(options, 'getMany()')
    const bytes = keys.map((key) => keyEncoding.encode(key, 'key'))
    queue.flush()
    const raw = engine.getMany(keyspace, snapshot, bytes, valueEncoding.form)
    const { decode } = valueEncoding
    return decode === null
      ? raw
      : raw.map((value, i) => (value === undefined ? undefined : decode(value, 'value', keys[i])))
  }

  /** @param {any} keys @param {any} [options] */
  async getMany(keys, options) {
    return this.getManySync(keys, options)
  }

  /** @param {any} [range] */
  countSync(range) {
    const { engine, queue, keyspace, keyEncoding } = this.#context
    const span = spanOf(range, keyEncoding, 'count', 'count()')
    const snapshot = this.#snapshotOf(range === undefined ? undefined : { snapshot: range.snapshot }, 'count()')
    queue.flush()
    return span.empty ? 0 : engine.count(keyspace, snapshot, span)
  }

  /** @param {any} [range] */
  async count(range) {
    return this.countSync(range)
  }

  // ---- Writing: changes are encoded before anything is staged (see changes.js)

  /** @param {any} key @param {any} value @param {any} [options] @returns {Promise<void>} */
  put(key, value, options) {
    const context = this.#context
    try {
      const durability = writeDurability(options, 'put()')
      return context.queue.add(durability, [putOf(context, key, value)])
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /** @param {any} key @param {any} value @param {any} [options] */
  putSync(key, value, options) {
    const durability = writeDurability(options, 'put()')
    this.#context.queue.now(durability, [putOf(this.#context, key, value)])
  }

  /** @param {any} key @param {any} [options] @returns {Promise<void>} */
  del(key, options) {
    const context = this.#context
    try {
      const durability = writeDurability(options, 'del()')
      return context.queue.add(durability, [delOf(context, key)])
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /** @param {any} key @param {any} [options] */
  delSync(key, options) {
    const durability = writeDurability(options, 'del()')
    this.#context.queue.now(durability, [delOf(this.#context, key)])
  }

  /** @param {any} ops @param {any} [options] @returns {Promise<void>} */
  batch(ops, options) {
    try {
      const durability = writeDurability(options, 'batch()')
      return this.#context.queue.add(durability, this.#batchOf(ops), atChange)
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /** @param {any} ops @param {any} [options] */
  batchSync(ops, options) {
    const durability = writeDurability(options, 'batch()')
    this.#context.queue.now(durability, this.#batchOf(ops), atChange)
  }

  /** @param {any} ops */
  #batchOf(ops) {
    return batchOf(ops, (keyspace) => (keyspace === undefined ? this.#context : this.#spaceOf(keyspace)))
  }

  /** @param {any} keyspace @returns {Context} */
  #spaceOf(keyspace) {
    if (!(keyspace instanceof Store)) {
      throw new TypeError(`keyspace must come from db.keyspace(name); got ${describe(keyspace)}`)
    }
    const context = keyspace.#context
    if (context.engine !== this.#context.engine) {
      throw new TypeError('its keyspace belongs to another Database: one batch changes one database')
    }
    return context
  }

  /** @param {any} range */
  #clearOf(range) {
    const { keyspace, keyEncoding, queue } = this.#context
    const { durability: _, ...rest } = range ?? {}
    const span = spanOf(rest, keyEncoding, 'clear', 'clear()')
    if (span.limit === Infinity) return clearOf(keyspace, span)
    queue.flush()
    const raw = { name: 'raw', form: FORM_VIEW, encode: keyEncoding.encode, decode: null }
    const found = new SyncRows({ ...this.#context, keyEncoding: raw }, span, 'keys')
    return Array.from(found, (key) => ({ kind: ABI_OP_DEL, keyspace, key, value: '' }))
  }

  /** @param {any} [range] @returns {Promise<void>} */
  clear(range) {
    try {
      const durability = this.#clearDurability(range)
      return this.#context.queue.add(durability, this.#clearOf(range))
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /** @param {any} [range] */
  clearSync(range) {
    const durability = this.#clearDurability(range)
    this.#context.queue.now(durability, this.#clearOf(range))
  }

  /** @param {any} range */
  #clearDurability(range) {
    checkOptions(range, CLEAR_OPTIONS, 'clear()')
    return durabilityOf(range?.durability)
  }

  // ---- Walking

  /** @param {any} range @param {string} where */
  #span(range, where) {
    const span = spanOf(range, this.#context.keyEncoding, 'iterate', where)
    if (span.snapshot !== undefined && !(span.snapshot instanceof Snapshot)) {
      throw new TypeError(`snapshot must come from db.snapshot(); got ${describe(span.snapshot)}`)
    }
    this.#context.queue.flush()
    return span
  }

  /** @param {any} [range] */
  entries(range) {
    return new AsyncRows(this.#context, this.#span(range, 'entries()'), 'entries')
  }
  /** @param {any} [range] */
  keys(range) {
    return new AsyncRows(this.#context, this.#span(range, 'keys()'), 'keys')
  }
  /** @param {any} [range] */
  values(range) {
    return new AsyncRows(this.#context, this.#span(range, 'values()'), 'values')
  }
  /** @param {any} [range] */
  entriesSync(range) {
    return new SyncRows(this.#context, this.#span(range, 'entries()'), 'entries')
  }
  /** @param {any} [range] */
  keysSync(range) {
    return new SyncRows(this.#context, this.#span(range, 'keys()'), 'keys')
  }
  /** @param {any} [range] */
  valuesSync(range) {
    return new SyncRows(this.#context, this.#span(range, 'values()'), 'values')
  }
}

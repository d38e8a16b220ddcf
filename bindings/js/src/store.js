// store.js: what a Database and a Keyspace have in common: reading, writing and walking keys of one keyspace.

import { checkOptions, describe } from './errors.js'
import { boundsOf, spanOf } from './range.js'
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
const OP_FIELDS = ['type', 'key', 'value', 'keyspace']

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
    return raw === undefined || valueEncoding.decode === null ? raw : valueEncoding.decode(raw)
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
    return decode === null ? raw : raw.map((value) => (value === undefined ? undefined : decode(value)))
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

  // ---- Writing

  /** @param {any} key @param {any} value @param {any} [options] @returns {Promise<void>} */
  put(key, value, options) {
    const { engine, queue, keyspace, keyEncoding, valueEncoding } = this.#context
    const begin = engine.staged
    try {
      const durability = writeDurability(options, 'put()')
      engine.stagePut(keyspace, keyEncoding.encode(key, 'key'), valueEncoding.encode(value, 'value'))
      return queue.joined(begin, durability)
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /** @param {any} key @param {any} value @param {any} [options] */
  putSync(key, value, options) {
    const { queue, keyspace, keyEncoding, valueEncoding } = this.#context
    const durability = writeDurability(options, 'put()')
    const keyBytes = keyEncoding.encode(key, 'key')
    const valueBytes = valueEncoding.encode(value, 'value')
    queue.now(durability, (engine) => engine.stagePut(keyspace, keyBytes, valueBytes))
  }

  /** @param {any} key @param {any} [options] @returns {Promise<void>} */
  del(key, options) {
    const { engine, queue, keyspace, keyEncoding } = this.#context
    const begin = engine.staged
    try {
      const durability = writeDurability(options, 'del()')
      engine.stageDel(keyspace, keyEncoding.encode(key, 'key'))
      return queue.joined(begin, durability)
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /** @param {any} key @param {any} [options] */
  delSync(key, options) {
    const { queue, keyspace, keyEncoding } = this.#context
    const durability = writeDurability(options, 'del()')
    const bytes = keyEncoding.encode(key, 'key')
    queue.now(durability, (engine) => engine.stageDel(keyspace, bytes))
  }

  /** @param {any} ops @param {any} [options] @returns {Promise<void>} */
  batch(ops, options) {
    try {
      const durability = writeDurability(options, 'batch()')
      return this.#context.queue.add(durability, () => this.#stageBatch(ops))
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /** @param {any} ops @param {any} [options] */
  batchSync(ops, options) {
    const durability = writeDurability(options, 'batch()')
    this.#context.queue.now(durability, () => this.#stageBatch(ops))
  }

  /** @param {any} ops */
  #stageBatch(ops) {
    if (!Array.isArray(ops)) throw new TypeError(`batch() takes an array of changes; got ${describe(ops)}`)
    const { engine } = this.#context
    for (let i = 0; i < ops.length; i++) {
      const op = ops[i]
      if (op === null || typeof op !== 'object') {
        throw new TypeError(`Change ${i} of batch() must be { type: 'put', key, value } or { type: 'del', key }`)
      }
      const { keyspace, keyEncoding, valueEncoding } = op.keyspace === undefined ? this.#context : this.#spaceOf(op)
      if (op.type === 'put') {
        engine.stagePut(keyspace, keyEncoding.encode(op.key, 'key'), valueEncoding.encode(op.value, 'value'))
      } else if (op.type === 'del') engine.stageDel(keyspace, keyEncoding.encode(op.key, 'key'))
      else throw new TypeError(`Change ${i} of batch() has the type ${describe(op.type)}: it must be 'put' or 'del'`)
      // A misspelt keyspace would write to the wrong place: count first, which is cheap.
      const fields = (op.type === 'put' ? 3 : 2) + (op.keyspace === undefined ? 0 : 1)
      if (Object.keys(op).length !== fields) checkOptions(op, OP_FIELDS, 'A change of batch()')
    }
  }

  /** @param {any} op @returns {Context} */
  #spaceOf(op) {
    if (!(op.keyspace instanceof Store)) {
      throw new TypeError(`keyspace must come from db.keyspace(name); got ${describe(op.keyspace)}`)
    }
    const context = op.keyspace.#context
    if (context.engine !== this.#context.engine) {
      throw new TypeError('The keyspace of a change belongs to another Database: one batch changes one database')
    }
    return context
  }

  /** @param {any} range @param {string} where */
  #stageClear(range, where) {
    const { engine, keyspace, keyEncoding } = this.#context
    const { durability: _, ...rest } = range ?? {}
    const span = spanOf(rest, keyEncoding, 'clear', where)
    if (span.empty) return
    if (span.limit === Infinity) {
      const bounds = boundsOf(span)
      if (bounds !== null) engine.stageClear(keyspace, bounds.begin, bounds.end)
      return
    }
    for (const key of this.#keysToClear(span)) engine.stageDel(keyspace, key)
  }

  /** The keys that a clear with a limit removes. @param {import('./range.js').Span} span */
  #keysToClear(span) {
    const raw = { name: 'raw', form: 2, encode: this.#context.keyEncoding.encode, decode: null }
    return [...new SyncRows({ ...this.#context, keyEncoding: raw }, span, 'keys')]
  }

  /** @param {any} [range] @returns {Promise<void>} */
  clear(range) {
    try {
      const durability = this.#clearDurability(range)
      if (range?.limit !== undefined) this.#context.queue.flush()
      return this.#context.queue.add(durability, () => this.#stageClear(range, 'clear()'))
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /** @param {any} [range] */
  clearSync(range) {
    const durability = this.#clearDurability(range)
    this.#context.queue.now(durability, () => this.#stageClear(range, 'clear()'))
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

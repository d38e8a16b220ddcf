// store.js: what a Database and a Keyspace have in common: reading, writing and walking keys of one keyspace.

import { ABI_OP_DEL, VALUE_SIZE_MAX } from './abi.js'
import { atChange, batchOf, clearOf, delOf, putOf } from './changes.js'
import { FORM_VIEW, encodingOf } from './encodings.js'
import { checkOptions, describe } from './errors.js'
import { rangeOf, signalOf, spanOf } from './range.js'
import { AsyncRows, SyncRows } from './iterator.js'
import { Snapshot, handleOf } from './snapshot.js'
import { Watcher } from './watch.js'

/** What a store needs of its database.
 * @typedef {object} Context
 * @property {import('./engine.js').Engine} engine
 * @property {import('./handles.js').Handles} handles
 * @property {import('./queue.js').CommitQueue | import('./transaction.js').TransactionQueue} queue
 * @property {import('./watch.js').Watchers} watchers
 * @property {number} keyspace
 * @property {import('./encodings.js').Encoding} keyEncoding
 * @property {import('./encodings.js').Encoding} valueEncoding
 * @property {Map<string, import('./indexes.js').Opened>} [indexes] of the keyspace
 */

const READ_OPTIONS = ['snapshot', 'keyEncoding', 'valueEncoding']
const WRITE_OPTIONS = ['durability', 'keyEncoding', 'valueEncoding']
const GET_STREAM_OPTIONS = ['snapshot', 'signal', 'chunkSize', 'keyEncoding']
const PUT_STREAM_OPTIONS = ['size', 'signal', 'durability', 'keyEncoding']
const CLEAR_OPTIONS = ['gt', 'gte', 'lt', 'lte', 'prefix', 'reverse', 'limit', 'durability', 'keyEncoding']

/** @type {Readonly<Record<string, number>>} */
const DURABILITY = Object.freeze({ relaxed: 1, strict: 2 })

/** @param {unknown} durability @returns {number} */
export function durabilityOf(durability) {
  if (durability === undefined) return 0
  const known = typeof durability === 'string' ? DURABILITY[durability] : undefined
  if (known === undefined) throw new TypeError(`durability must be 'relaxed' or 'strict'; got ${describe(durability)}`)
  return known
}

const CHUNK_SIZE = 64 << 10

/** @param {unknown} size @param {string} name @param {number} least */
function sizeOf(size, name, least) {
  if (typeof size === 'number' && Number.isInteger(size) && size >= least && size <= VALUE_SIZE_MAX) return size
  throw new TypeError(`${name} must be a whole number of bytes from ${least} to 1 GiB; got ${describe(size)}`)
}

/** @param {any} options @param {string} where */
function writeDurability(options, where) {
  if (options === undefined) return 0
  checkOptions(options, WRITE_OPTIONS, where)
  return durabilityOf(options.durability)
}

/** The context with the encodings that one call, or one change of a batch, names.
 * @param {Context} context @param {any} options @returns {Context} */
export function withEncodings(context, options) {
  if (options === undefined) return context
  const { keyEncoding, valueEncoding } = options
  if (keyEncoding === undefined && valueEncoding === undefined) return context
  return {
    ...context,
    keyEncoding: keyEncoding === undefined ? context.keyEncoding : encodingOf(keyEncoding, 'keyEncoding'),
    valueEncoding: valueEncoding === undefined ? context.valueEncoding : encodingOf(valueEncoding, 'valueEncoding'),
  }
}

/** What a store works with, for other files of the package. @type {(store: Store) => Context} */
export let contextOf

/** @typedef {import('./range.js').Span} Span */
/** @typedef {import('./iterator.js').RowKind} RowKind */

export class Store {
  /** @type {Context} */
  #context

  static {
    contextOf = (store) => store.#context
  }

  /** @param {Context} context */
  constructor(context) {
    this.#context = context
  }

  // ---- Reading

  /** @param {any} options @param {string} where */
  #snapshotOf(options, where, known = READ_OPTIONS) {
    if (options === undefined) return 0
    checkOptions(options, known, where)
    if (options.snapshot === undefined) return 0
    if (!(options.snapshot instanceof Snapshot)) {
      throw new TypeError(`snapshot must come from db.snapshot(); got ${describe(options.snapshot)}`)
    }
    return handleOf(this.#context, options.snapshot)
  }

  /** @param {any} key @param {any} [options] */
  getSync(key, options) {
    const snapshot = options === undefined ? 0 : this.#snapshotOf(options, 'get()')
    const { engine, queue, keyspace, keyEncoding, valueEncoding } = withEncodings(this.#context, options)
    const bytes = keyEncoding.encode(key, 'key')
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
    const snapshot = this.#snapshotOf(options, 'has()')
    const { engine, queue, keyspace, keyEncoding } = withEncodings(this.#context, options)
    const bytes = keyEncoding.encode(key, 'key')
    queue.flush()
    return engine.has(keyspace, snapshot, bytes)
  }

  /** @param {any} key @param {any} [options] */
  async has(key, options) {
    return this.hasSync(key, options)
  }

  /** @param {any} keys @param {any} [options] @returns {any[]} */
  getManySync(keys, options) {
    if (!Array.isArray(keys)) throw new TypeError(`getMany() takes an array of keys; got ${describe(keys)}`)
    const snapshot = this.#snapshotOf(options, 'getMany()')
    const { engine, queue, keyspace, keyEncoding, valueEncoding } = withEncodings(this.#context, options)
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
    const { engine, queue, keyspace, keyEncoding } = withEncodings(this.#context, rangeOf(range, 'count()'))
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
    try {
      const durability = writeDurability(options, 'put()')
      const context = withEncodings(this.#context, options)
      return context.queue.add(durability, [putOf(context, key, value)])
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /** @param {any} key @param {any} value @param {any} [options] */
  putSync(key, value, options) {
    const durability = writeDurability(options, 'put()')
    this.#context.queue.now(durability, [putOf(withEncodings(this.#context, options), key, value)])
  }

  /** @param {any} key @param {any} [options] @returns {Promise<void>} */
  del(key, options) {
    try {
      const durability = writeDurability(options, 'del()')
      const context = withEncodings(this.#context, options)
      return context.queue.add(durability, [delOf(context, key)])
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /** @param {any} key @param {any} [options] */
  delSync(key, options) {
    const durability = writeDurability(options, 'del()')
    this.#context.queue.now(durability, [delOf(withEncodings(this.#context, options), key)])
  }

  /** @param {any} ops @param {any} [options] @returns {Promise<void>} */
  batch(ops, options) {
    try {
      const durability = writeDurability(options, 'batch()')
      return this.#context.queue.add(durability, this.#batchOf(ops, options), atChange)
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /** @param {any} ops @param {any} [options] */
  batchSync(ops, options) {
    const durability = writeDurability(options, 'batch()')
    this.#context.queue.now(durability, this.#batchOf(ops, options), atChange)
  }

  /** @param {any} ops @param {any} options */
  #batchOf(ops, options) {
    const context = withEncodings(this.#context, options)
    return batchOf(ops, (op) => withEncodings(op.keyspace === undefined ? context : this.#spaceOf(op.keyspace), op))
  }

  /** @param {any} keyspace @returns {Context} */
  #spaceOf(keyspace) {
    if (!(keyspace instanceof Store)) {
      throw new TypeError(`keyspace must come from db.keyspace(name); got ${describe(keyspace)}`)
    }
    const context = keyspace.#context
    const { engine } = this.#context
    if (context.engine.base !== engine.base) {
      throw new TypeError('its keyspace belongs to another Database: one batch changes one database')
    }
    if (context.engine !== engine.base && context.engine !== engine) {
      throw new TypeError('its keyspace belongs to a transaction: write it through that one')
    }
    if (engine.isInside) engine.encodings.set(context.keyspace, context.keyEncoding)
    return context
  }

  /** @param {any} range */
  #clearOf(range) {
    const { keyspace, keyEncoding, queue } = withEncodings(this.#context, range)
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

  // ---- Large values

  /** @param {string} what */
  #refuseInside(what) {
    if (this.#context.engine.isInside) throw new TypeError(`${what} is of the database: a transaction has none`)
  }

  /** A value as a stream of bytes, pinned from now on. @param {any} key @param {any} [options] */
  async getStream(key, options) {
    this.#refuseInside('getStream()')
    const snapshot = this.#snapshotOf(options, 'getStream()', GET_STREAM_OPTIONS)
    const context = withEncodings(this.#context, options)
    const chunkSize = sizeOf(options?.chunkSize ?? CHUNK_SIZE, 'chunkSize', 1)
    const signal = signalOf(options?.signal)
    signal?.throwIfAborted()
    const bytes = context.keyEncoding.encode(key, 'key')
    context.queue.flush()
    const found = context.engine.openValue(context.keyspace, snapshot, bytes)
    if (found === undefined) return undefined
    const pinned = { ...found, ticket: 0 }
    pinned.ticket = context.handles.add(pinned, found.handle, 'value', 'getStream()')
    try {
      const { streamOf } = await import('./get_stream.js')
      return streamOf(context, pinned, chunkSize, signal)
    } catch (error) {
      context.handles.close(pinned.ticket, pinned)
      throw error
    }
  }

  /** Stores what a stream gives, once it has ended. @param {any} key @param {any} source @param {any} [options] */
  async putStream(key, source, options) {
    this.#refuseInside('putStream()')
    checkOptions(options, PUT_STREAM_OPTIONS, 'putStream()')
    const durability = durabilityOf(options?.durability)
    const size = options?.size === undefined ? undefined : sizeOf(options.size, 'size', 0)
    const signal = signalOf(options?.signal)
    const context = withEncodings(this.#context, options)
    const bytes = context.keyEncoding.encode(key, 'key')
    const own = typeof bytes === 'string' ? bytes : bytes.slice()
    const { putStream } = await import('./put_stream.js')
    await putStream(context, own, source, { size, signal, durability })
  }

  // ---- Watching

  /** Tells of the changes to a range, commit by commit. @param {any} [range] @param {any} [listener] without one the
   * result is walked over */
  watch(range, listener) {
    this.#refuseInside('watch()')
    if (listener !== undefined && typeof listener !== 'function') {
      throw new TypeError(`watch() takes a range and a function of (changes); got ${describe(listener)}`)
    }
    const context = withEncodings(this.#context, rangeOf(range, 'watch()'))
    const span = spanOf(range, context.keyEncoding, 'watch', 'watch()')
    context.queue.flush() // what was written before is not told
    return new Watcher(context.watchers, context, span, listener)
  }

  // ---- Walking

  /** The rows of a range. @template T @param {any} range @param {RowKind} kind
   * @param {new (context: Context, span: Span, kind: RowKind) => T} Rows */
  #rows(range, kind, Rows) {
    const where = `${kind}()`
    const context = withEncodings(this.#context, rangeOf(range, where))
    const span = spanOf(range, context.keyEncoding, 'iterate', where)
    if (span.snapshot !== undefined && !(span.snapshot instanceof Snapshot)) {
      throw new TypeError(`snapshot must come from db.snapshot(); got ${describe(span.snapshot)}`)
    }
    context.queue.flush()
    return new Rows(context, span, kind)
  }

  /** @param {any} [range] */
  entries(range) {
    return this.#rows(range, 'entries', AsyncRows)
  }
  /** @param {any} [range] */
  keys(range) {
    return this.#rows(range, 'keys', AsyncRows)
  }
  /** @param {any} [range] */
  values(range) {
    return this.#rows(range, 'values', AsyncRows)
  }
  /** @param {any} [range] */
  entriesSync(range) {
    return this.#rows(range, 'entries', SyncRows)
  }
  /** @param {any} [range] */
  keysSync(range) {
    return this.#rows(range, 'keys', SyncRows)
  }
  /** @param {any} [range] */
  valuesSync(range) {
    return this.#rows(range, 'values', SyncRows)
  }
}

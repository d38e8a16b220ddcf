// indexes.js: finding rows by something else than their key. The engine keeps the postings (index key, primary key) in
// the commits of the rows; here is what tells it the index keys of a row, and what looks them up.
//
// Index keys are tuples: a value that is no array is a tuple of one.

import { FORM_VIEW, encodingOf } from './encodings.js'
import {
  dropIndex,
  getPrimary,
  indexInfo,
  insertPosting,
  openIndex,
  openPostings,
  removePosting,
} from './engine_index.js'
import { checkOptions, describe } from './errors.js'
import { AsyncRows, SyncRows } from './iterator.js'
import { rangeOf, spanOf, successor } from './range.js'
import { Running } from './running.js'
import { decodeTuple, encodeTuple } from './tuple.js'
import { decoded } from './watch.js'

/** @import { Context } from './store.js' */
/** @import { Encoding } from './encodings.js' */
/** @import { Extract } from './module.js' */
/** @import { RowKind } from './iterator.js' */

/** What is known of an index that was opened.
 * @typedef {object} Opened
 * @property {string} name
 * @property {number} handle
 * @property {Encoding} keys of index keys
 * @property {boolean} tuples they are tuples
 */

/** @typedef {new (context: Context, span: import('./range.js').Span, kind: RowKind) => any} Rows */

const INDEX_OPTIONS = ['kind', 'unique', 'key', 'multi']
const MANUAL_OPTIONS = ['kind', 'unique', 'keyEncoding', 'valueEncoding']
const BOUNDS = new Set(['eq', 'prefix', 'gt', 'gte', 'lt', 'lte'])
const KINDS = ['btree', 'hash'] // the engine counts from 1
const PAGE_ROWS = 1000
const PAGE_BYTES = 1 << 20

/** @type {Encoding} */
const INDEX_KEY = {
  name: 'index key',
  form: FORM_VIEW,
  encode: (key) => encodeTuple(Array.isArray(key) ? key : [key]),
  decode: (raw) => {
    const tuple = decodeTuple(raw)
    return tuple.length === 1 ? tuple[0] : tuple
  },
}

/** @param {any} options @param {readonly string[]} known @param {string} where */
function shapeOf(options, known, where) {
  checkOptions(options, known, where)
  const { kind = 'btree', unique = false } = options
  if (!KINDS.includes(kind)) throw new TypeError(`kind must be 'btree' or 'hash'; got ${describe(kind)}`)
  if (typeof unique !== 'boolean') throw new TypeError(`unique must be true or false; got ${describe(unique)}`)
  return { kind: KINDS.indexOf(kind) + 1, unique }
}

/** @param {import('./engine.js').Engine} engine @param {string} name
 * @param {{ kind: number, unique: boolean, keyspace: number, extract: Extract | null }} how */
function openOrCreate(engine, name, how) {
  return /** @type {number} */ (openIndex(engine, name, how, false) ?? openIndex(engine, name, how, true))
}

/** The fields that a name stands for: 'age,address.city'. @param {string} name
 * @returns {(row: any) => any} */
function fieldsOf(name) {
  const paths = name.split(',').map((path) => path.trim().split('.'))
  const values = (/** @type {any} */ row) => paths.map((path) => path.reduce((at, field) => at?.[field], row))
  return paths.length === 1 ? (row) => values(row)[0] : values
}

/** @param {any} part */
const isNothing = (part) => part === undefined || part === null

/** What tells the engine the index keys of a row. @param {string} name @param {any} definition @param {Context} context
 * @returns {Extract} */
function extractOf(name, { key: keyOf, multi = false }, { keyEncoding, valueEncoding }) {
  const what = `the index '${name}'`
  if (keyOf !== undefined && typeof keyOf !== 'function') {
    throw new TypeError(`key of ${what} must be a function of (value, key); got ${describe(keyOf)}`)
  }
  if (typeof multi !== 'boolean') throw new TypeError(`multi of ${what} must be true or false; got ${describe(multi)}`)
  const fields = keyOf === undefined ? fieldsOf(name) : undefined
  const read = (
    /** @type {Encoding} */ { form, decode },
    /** @type {(form: number) => any} */ take,
    /** @type {string} */ of,
  ) => (decode === null ? take(form) : decode(take(form), of))
  return (key, value) => {
    try {
      const row = read(valueEncoding, value, 'value')
      const found = fields === undefined ? keyOf(row, read(keyEncoding, key, 'key')) : fields(row)
      const all = !multi ? [found] : isNothing(found) ? [] : [...found]
      return all
        .filter((one) => !(Array.isArray(one) ? one.some(isNothing) : isNothing(one)))
        .map((one) => /** @type {Uint8Array} */ (INDEX_KEY.encode(one, 'key')))
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error)
      throw new TypeError(`The keys of a row for ${what} could not be made: ${reason}`, { cause: error })
    }
  }
}

/** Opens the indexes of a keyspace, and makes those that are not there. @param {any} indexes @param {string} keyspace
 * its name @param {Context} context @returns {Map<string, Opened>} */
export function openIndexes(indexes, keyspace, context) {
  if (indexes === null || typeof indexes !== 'object') {
    throw new TypeError(`indexes must be an object like { email: { unique: true } }; got ${describe(indexes)}`)
  }
  if (context.engine.isInside) throw new TypeError('Indexes are opened with db.keyspace(), not in a transaction')
  const opened = new Map()
  for (const [field, definition] of Object.entries(indexes)) {
    const shape = shapeOf(definition ?? {}, INDEX_OPTIONS, `the index '${field}'`)
    const name = `${keyspace}.by.${field}`
    const how = { ...shape, keyspace: context.keyspace, extract: extractOf(field, definition ?? {}, context) }
    const handle = openOrCreate(context.engine, name, how)
    opened.set(field, { name, handle, keys: INDEX_KEY, tuples: true })
  }
  return opened
}

/** Behind all tuples that begin with this one. @param {string | Uint8Array} bytes */
function behindAll(bytes) {
  const next = /** @type {Uint8Array} */ (successor(bytes))
  next[next.length - 1] = 0xff
  return next
}

/** @param {any} range @param {Opened} index @param {string} where */
function postingsOf(range, { keys, tuples }, where) {
  const span = spanOf(rangeOf(range, where), keys, 'index', where, tuples ? behindAll : successor)
  const { eq, prefix } = range ?? {}
  const alone = eq !== undefined ? 'eq' : prefix !== undefined ? 'prefix' : ''
  if (alone !== '' && Object.keys(range).some((name) => BOUNDS.has(name) && name !== alone)) {
    throw new TypeError(`${where} got both ${alone} and another bound: pass one of them`)
  }
  if (alone === 'eq') return { ...span, mode: 0, first: keys.encode(eq, 'key'), second: '' }
  return alone === ''
    ? { ...span, mode: 1, first: span.lower, second: span.upper }
    : { ...span, mode: 2, first: span.prefix, second: '' }
}

/** What indexes have in common. */
class Index {
  context
  opened

  /** @param {Context} context @param {Opened} opened */
  constructor(context, opened) {
    this.context = context
    this.opened = opened
  }

  get name() {
    return this.opened.name
  }

  /** @param {any} key */
  #primaryOf(key) {
    const { engine, queue } = this.context
    const bytes = this.opened.keys.encode(key, 'key')
    queue.flush()
    return getPrimary(engine, this.opened.handle, bytes, FORM_VIEW)
  }

  /** The primary key, as bytes. @protected @param {any} key */
  primaryOf(key) {
    return this.#primaryOf(key)
  }

  /** The primary key of an index key; the first one of several. @param {any} key */
  getKeySync(key) {
    const primary = this.#primaryOf(key)
    return primary === undefined ? undefined : decoded(this.context.keyEncoding, primary, 'key')
  }

  /** @param {any} key */
  async getKey(key) {
    return this.getKeySync(key)
  }

  /** @param {any} key */
  hasSync(key) {
    return this.#primaryOf(key) !== undefined
  }

  /** @param {any} key */
  async has(key) {
    return this.hasSync(key)
  }

  /** @param {any} [range] */
  countSync(range) {
    const { engine, queue } = this.context
    const { handle } = this.opened
    const { mode, first, second, reverse, limit, empty } = postingsOf(range, this.opened, 'count()')
    queue.flush()
    if (empty) return 0
    const postings = openPostings(engine, handle, mode, first, second, reverse)
    let count = 0
    try {
      for (let done = false; !done && count < limit;) {
        /** @type {any[]} */
        const keys = []
        done = engine.readPage(
          postings,
          keys,
          null,
          Math.min(PAGE_ROWS, limit - count),
          PAGE_BYTES,
          FORM_VIEW,
          FORM_VIEW,
        )
        count += keys.length
      }
    } finally {
      engine.base.closeIterator(postings)
    }
    return count
  }

  /** @param {any} [range] */
  async count(range) {
    return this.countSync(range)
  }

  /** Rows of postings, which are pages of the engine, or what `source` makes of them. @protected @param {any} range
   * @param {string} where @param {RowKind} kind @param {Rows} Rows @param {Partial<Context>} own */
  postingRows(range, where, kind, Rows, own) {
    const { context, opened } = this
    const { mode, first, second, ...span } = postingsOf(range, opened, where)
    const view = own.engine ?? context.engine
    const engine = {
      openIterator: () => openPostings(view, opened.handle, mode, first, second, span.reverse),
      readPage: (/** @type {[any, any, any, any, any, any, any]} */ ...page) => this.readPage(view, ...page),
    }
    return new Rows(/** @type {any} */ ({ ...context, ...own, engine }), span, kind)
  }

  /** @protected @param {import('./engine.js').Engine} view @param {[any, any, any, any, any, any, any]} page */
  readPage(view, ...page) {
    return view.readPage(...page)
  }

  get #pairs() {
    return { keyEncoding: this.opened.keys, valueEncoding: this.context.keyEncoding }
  }

  /** @param {any} range @param {Rows} Rows */
  #postings(range, Rows) {
    this.context.queue.flush()
    const pairs = new Index(this.context, this.opened) // its pages are not rows of a keyspace
    return pairs.postingRows(range, 'postings()', 'entries', Rows, this.#pairs)
  }

  /** Index keys and primary keys. @param {any} [range] */
  postings(range) {
    return this.#postings(range, AsyncRows)
  }

  /** @param {any} [range] */
  postingsSync(range) {
    return this.#postings(range, SyncRows)
  }

  /** The first posting, or undefined. */
  async min() {
    return [...this.postingsSync({ limit: 1 })][0]
  }

  /** The last posting, or undefined. */
  async max() {
    return [...this.postingsSync({ limit: 1, reverse: true })][0]
  }

  info() {
    this.context.queue.flush()
    const { kind, unique, maintained, entries } = indexInfo(this.context.engine, this.opened.handle)
    return { name: this.name, kind: KINDS[kind - 1], unique: unique === 1, maintained: maintained === 1, entries }
  }

  /** @param {any} [options] */
  async verify(options) {
    return (await import('./index_care.js')).verifyIndex(this.context, this.opened.handle, options)
  }

  /** @param {any} [options] */
  async rebuild(options) {
    return (await import('./index_care.js')).rebuildIndex(this.context, this.opened.handle, options)
  }

  /** Removes the index and its postings; false when it is gone already. */
  async drop() {
    this.context.queue.flush()
    return dropIndex(this.context.engine, this.name)
  }
}

/** An index of a keyspace, which maintains itself. */
export class KeyspaceIndex extends Index {
  /** The row with an index key; the first one of several. @param {any} key */
  getSync(key) {
    const { engine, keyspace, valueEncoding } = this.context
    const primary = this.primaryOf(key)
    if (primary === undefined) return undefined
    const raw = engine.get(keyspace, 0, primary, valueEncoding.form)
    return raw === undefined || valueEncoding.decode === null ? raw : valueEncoding.decode(raw, 'value', primary)
  }

  /** @param {any} key */
  async get(key) {
    return this.getSync(key)
  }

  /** @param {any} keys */
  async getMany(keys) {
    if (!Array.isArray(keys)) throw new TypeError(`getMany() takes an array of index keys; got ${describe(keys)}`)
    return keys.map((key) => this.getSync(key))
  }

  /** Primary keys instead of index keys, and the rows. @protected @override @param {import('./engine.js').Engine} view
   * @param {[any, any, any, any, any, any, any]} page */
  readPage(view, ...page) {
    const [iterator, keys, values, rows, bytes, form, valueForm] = page
    /** @type {any[]} */
    const primaries = []
    const done = view.readPage(iterator, null, primaries, rows, bytes, FORM_VIEW, FORM_VIEW)
    const take = /** @type {any} */ ({ form, decode: null })
    if (keys !== null) keys.push(...primaries.map((primary) => decoded(take, primary, 'key')))
    if (values !== null) values.push(...view.getMany(this.context.keyspace, 0, primaries, valueForm))
    return done
  }

  /** Rows in the order of the index, of one state. @param {any} range @param {RowKind} kind @param {Rows} Rows */
  #rows(range, kind, Rows) {
    const { context, opened } = this
    const where = `${kind}()`
    context.queue.flush()
    if (context.engine.isInside) return this.postingRows(range, where, kind, Rows, {})
    // Postings and rows are read in a transaction of their own, which ends with the walk.
    const how = { isolation: 2, readOnly: true, durability: 0, lockWait: 0 }
    const running = new Running(context, how, `${opened.name} ${where}`)
    const { handles } = context
    const own = /** @type {any} */ ({
      add: handles.add.bind(handles),
      has: handles.has.bind(handles),
      close: (/** @type {number} */ ticket, /** @type {object} */ object) => {
        handles.close(ticket, object)
        running.end()
      },
    })
    try {
      const made = this.postingRows(range, where, kind, Rows, { engine: running.engine, handles: own })
      if (range?.limit === 0) running.end()
      return made
    } catch (error) {
      running.end()
      throw error
    }
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

/** An index whose postings the program inserts and removes. */
export class ManualIndex extends Index {
  /** @param {any} key @param {any} primary */
  #posting(key, primary) {
    const { keyEncoding, queue } = this.context
    const both = /** @type {const} */ ([this.opened.keys.encode(key, 'key'), keyEncoding.encode(primary, 'key')])
    queue.flush()
    return both
  }

  /** @param {any} key @param {any} primary */
  insertSync(key, primary) {
    insertPosting(this.context.engine, this.opened.handle, ...this.#posting(key, primary))
  }

  /** @param {any} key @param {any} primary */
  async insert(key, primary) {
    this.insertSync(key, primary)
  }

  /** False when there was no such posting. @param {any} key @param {any} primary */
  removeSync(key, primary) {
    return removePosting(this.context.engine, this.opened.handle, ...this.#posting(key, primary))
  }

  /** @param {any} key @param {any} primary */
  async remove(key, primary) {
    return this.removeSync(key, primary)
  }
}

/** @param {Context} context of the database @param {any} name @param {any} options */
export function openManual(context, name, options = {}) {
  if (typeof name !== 'string' || name === '') {
    throw new TypeError(`index() takes a name, a string that is not empty; got ${describe(name)}`)
  }
  const shape = shapeOf(options, MANUAL_OPTIONS, 'index()')
  const keys = encodingOf(options.keyEncoding, 'keyEncoding')
  const keyEncoding = encodingOf(options.valueEncoding, 'valueEncoding')
  context.queue.flush()
  const handle = openOrCreate(context.engine, name, { ...shape, keyspace: 0, extract: null })
  return new ManualIndex({ ...context, keyEncoding }, { name, handle, keys, tuples: keys.name === 'tuple' })
}

/** The same index in a transaction. @param {Context} context of the transaction @param {any} index */
export function manualInside(context, index) {
  if (!(index instanceof ManualIndex) || index.context.engine !== context.engine.base) {
    throw new TypeError(`index() of a transaction takes what db.index(name) returned; got ${describe(index)}`)
  }
  const { engine, queue } = context
  return new ManualIndex({ ...index.context, engine, queue }, index.opened)
}

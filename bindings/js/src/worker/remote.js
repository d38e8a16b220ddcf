// remote.js: what a page works with: the methods of Store over a Link. Encoding and decoding happen here, in the page.

import { clearOf } from '../changes.js'
import { FORM_BUFFER, FORM_VIEW } from '../encodings.js'
import { STATUS } from '../abi.js'
import { checkOptions, closedError, describe, statusError } from '../errors.js'
import { asyncDispose } from '../dispose.js'
import { rangeOf, spanOf } from '../range.js'
import { Snapshot } from '../snapshot.js'
import { Store, contextOf, durabilityOf, withEncodings } from '../store.js'
import * as p from './protocol.js'

/** @import { Link } from './link.js' */
/** @import { RowKind } from '../iterator.js' */

const READ_OPTIONS = ['snapshot', 'keyEncoding', 'valueEncoding']
const CLEAR_OPTIONS = ['gt', 'gte', 'lt', 'lte', 'prefix', 'reverse', 'limit', 'durability', 'keyEncoding']
const FIRST_ROWS = 16
const MOST_ROWS = 1000

/** @param {string} name of the method @returns {never} */
function noSync(name) {
  throw new TypeError(
    `${name}() needs the engine in its own thread, and here it is in a worker: ` +
      `use await ${name.replace(/Sync$/, '')}(), ` +
      'or open the database in a worker of your own with { sync: true }',
  )
}

/** What queue.js is for a database of this thread. */
export class RemoteQueue {
  #link
  #durability

  /** @param {Link} link @param {number} durability where a write says nothing */
  constructor(link, durability) {
    this.#link = link
    this.#durability = durability
  }

  /** @param {number} durability @param {readonly import('../changes.js').Change[]} changes
   * @param {(error: unknown, index: number) => unknown} [at] */
  add(durability, changes, at) {
    return this.#link.commit(durability || this.#durability, changes, at)
  }

  flush() {} // calls are made in their order

  now() {
    noSync('putSync')
  }
}

/** @param {import('../encodings.js').Encoding} encoding */
const formOf = ({ form }) => (form === FORM_BUFFER ? FORM_VIEW : form)

/** @param {any} raw @param {import('../encodings.js').Encoding} encoding @param {string} what @param {any} [key] */
function decoded(raw, { decode }, what, key) {
  return raw === undefined || decode === null ? raw : decode(raw, what, key)
}

/** What watch.js is for a database of this thread. */
export class RemoteWatchers {
  #link
  /** @type {Map<any, number>} */
  #ids = new Map()
  any = false // queue.js asks; changes are kept by the leader

  /** @param {Link} link */
  constructor(link) {
    this.#link = link
  }

  /** @param {import('../watch.js').Watch} watch */
  add(watch) {
    const { keyspace: space, bounds, keyEncoding, valueEncoding, tell } = watch
    const id = this.#link.newId()
    this.#ids.set(watch, id)
    const forms = { keyForm: formOf(keyEncoding), valueForm: formOf(valueEncoding) }
    const seen = (/** @type {any} */ change) => {
      if (change.type === 'clear') return change
      const key = decoded(change.key, keyEncoding, 'key')
      if (change.type === 'del') return { type: 'del', key }
      return { type: 'put', key, value: decoded(change.value, valueEncoding, 'value', key) }
    }
    this.#link.watch(
      { id, space, begin: bounds.begin, end: bounds.end, ...forms },
      (changes) => queueMicrotask(() => this.#ids.has(watch) && tell(changes.map(seen))),
      () => queueMicrotask(() => this.#ids.has(watch) && tell([{ type: 'missed' }])),
    )
  }

  /** @param {import('../watch.js').Watch} watch */
  delete(watch) {
    const id = this.#ids.get(watch)
    if (id === undefined) return
    this.#ids.delete(watch)
    this.#link.unwatch(id)
  }

  closeAll() {
    queueMicrotask(() => {
      for (const watch of [...this.#ids.keys()]) watch.ended()
    })
  }
}

/** The state of the database when the leader comes to the call. */
export class RemoteSnapshot extends Snapshot {
  #sequence = 0

  /** @param {any} handles @param {number} id @param {Promise<number>} opened */
  constructor(handles, id, opened) {
    super(handles, id, 0)
    opened.then(
      (sequence) => (this.#sequence = sequence),
      () => {}, // told by the reads that use it
    )
  }

  /** The number of the last commit that it sees; 0 until the leader has answered. @override */
  get sequence() {
    return this.#sequence
  }
}

export class RemoteStore extends Store {
  /** @param {any} options @param {string} where @param {readonly string[]} [known] */
  #snapshotOf(options, where, known = READ_OPTIONS) {
    if (options === undefined) return 0
    checkOptions(options, known, where)
    if (options.snapshot === undefined) return 0
    if (!(options.snapshot instanceof Snapshot)) {
      throw new TypeError(`snapshot must come from db.snapshot(); got ${describe(options.snapshot)}`)
    }
    return options.snapshot.handleFor(contextOf(this).handles)
  }

  /** @param {any} options @returns {any} */
  #context(options) {
    return withEncodings(contextOf(this), options)
  }

  /** @override @param {any} key @param {any} [options] */
  async get(key, options) {
    const snapshot = this.#snapshotOf(options, 'get()')
    const { engine, keyspace, keyEncoding, valueEncoding } = this.#context(options)
    const bytes = keyEncoding.encode(key, 'key')
    const raw = await engine.request(p.OP_GET, keyspace, snapshot, bytes, formOf(valueEncoding))
    return decoded(raw, valueEncoding, 'value', key)
  }

  /** @override @param {any} key @param {any} [options] @returns {Promise<boolean>} */
  async has(key, options) {
    const snapshot = this.#snapshotOf(options, 'has()')
    const { engine, keyspace, keyEncoding } = this.#context(options)
    return engine.request(p.OP_HAS, keyspace, snapshot, keyEncoding.encode(key, 'key'))
  }

  /** @override @param {any} keys @param {any} [options] @returns {Promise<any[]>} */
  async getMany(keys, options) {
    if (!Array.isArray(keys)) throw new TypeError(`getMany() takes an array of keys; got ${describe(keys)}`)
    const snapshot = this.#snapshotOf(options, 'getMany()')
    const { engine, keyspace, keyEncoding, valueEncoding } = this.#context(options)
    const bytes = keys.map((key) => keyEncoding.encode(key, 'key'))
    const own = [...keys]
    const raw = await engine.request(p.OP_GET_MANY, keyspace, snapshot, bytes, formOf(valueEncoding))
    return raw.map((/** @type {any} */ value, /** @type {number} */ i) =>
      decoded(value, valueEncoding, 'value', own[i]),
    )
  }

  /** @override @param {any} [range] @returns {Promise<number>} */
  async count(range) {
    const { engine, keyspace, keyEncoding } = this.#context(rangeOf(range, 'count()'))
    const span = spanOf(range, keyEncoding, 'count', 'count()')
    const snapshot = this.#snapshotOf(range === undefined ? undefined : { snapshot: range.snapshot }, 'count()')
    return span.empty ? 0 : engine.request(p.OP_COUNT, keyspace, snapshot, plain(span))
  }

  /** @override @param {any} [range] @returns {Promise<void>} */
  async clear(range) {
    checkOptions(range, CLEAR_OPTIONS, 'clear()')
    const { durability, ...rest } = range ?? {}
    const { keyspace, keyEncoding, queue } = this.#context(rangeOf(range, 'clear()'))
    const span = spanOf(rest, keyEncoding, 'clear', 'clear()')
    const changes =
      span.limit === Infinity
        ? clearOf(keyspace, span)
        : span.empty
          ? []
          : [{ kind: p.CLEAR_SPAN, keyspace, key: /** @type {any} */ (plain(span)), value: '' }]
    return queue.add(durabilityOf(durability), changes)
  }

  /** @param {any} range @param {RowKind} kind */
  #rows(range, kind) {
    const where = `${kind}()`
    const context = this.#context(rangeOf(range, where))
    const span = spanOf(range, context.keyEncoding, 'iterate', where)
    return new RemoteRows(context, span, kind, this.#snapshotOf({ snapshot: span.snapshot }, where))
  }

  /** @override @param {any} [range] @returns {any} */
  entries(range) {
    return this.#rows(range, 'entries')
  }
  /** @override @param {any} [range] @returns {any} */
  keys(range) {
    return this.#rows(range, 'keys')
  }
  /** @override @param {any} [range] @returns {any} */
  values(range) {
    return this.#rows(range, 'values')
  }
}

for (const name of ['get', 'has', 'getMany', 'count', 'put', 'del', 'batch', 'clear', 'entries', 'keys', 'values']) {
  const sync = `${name}Sync`
  Object.defineProperty(RemoteStore.prototype, sync, {
    value: () => noSync(sync),
    writable: true,
    configurable: true,
  })
}

for (const name of ['getStream', 'putStream']) {
  Object.defineProperty(RemoteStore.prototype, name, {
    value: async () => {
      const fix = 'open the database in a worker of your own with { sync: true }, or use get() and put()'
      throw statusError(STATUS.UNSUPPORTED, `${name}() needs the engine in its own thread: ${fix}`)
    },
    writable: true,
    configurable: true,
  })
}

/** The parts of a span that the engine takes. @param {import('../range.js').Span} span */
function plain({ lower, upper, prefix, empty, reverse, limit }) {
  return { lower, upper, prefix, empty, reverse, limit }
}

/** Rows by pages; the next page is asked for when the first row of one is taken. */
export class RemoteRows {
  #context
  #span
  #kind
  #snapshot
  #id = 0
  #ticket = 0
  #rows = FIRST_ROWS
  #left
  /** @type {any[] | null} */
  #keys = null
  /** @type {any[] | null} */
  #values = null
  #at = 0
  #count = 0
  #last = false
  #ended = false
  /** @type {Promise<any> | null} */
  #coming = null

  /** @param {any} context @param {import('../range.js').Span} span @param {RowKind} kind @param {number} snapshot */
  constructor(context, span, kind, snapshot) {
    this.#context = context
    this.#span = span
    this.#kind = kind
    this.#snapshot = snapshot
    this.#left = span.limit
    if (span.empty || span.signal?.aborted) this.#last = true
    else this.#ask()
  }

  [Symbol.asyncIterator]() {
    return this
  }

  #ask() {
    const { engine, keyspace, keyEncoding, valueEncoding, handles } = this.#context
    const rows = Math.min(this.#rows, this.#left)
    this.#rows = Math.min(4 * this.#rows, MOST_ROWS)
    if (this.#id === 0) {
      this.#id = engine.newId()
      this.#ticket = handles.add(this, this.#id, 'iterator', `${this.#kind}()`)
      const want = [this.#kind !== 'values', this.#kind !== 'keys', formOf(keyEncoding), formOf(valueEncoding)]
      this.#coming = engine.request(p.OP_ROWS, this.#id, keyspace, this.#snapshot, plain(this.#span), ...want, rows)
    } else this.#coming = engine.request(p.OP_MORE, this.#id, rows)
    this.#coming?.catch(() => {}) // told by next()
  }

  /** @returns {Promise<IteratorResult<any, undefined>>} */
  next() {
    if (this.#span.signal?.aborted && !this.#ended) {
      this.#end()
      return Promise.reject(this.#span.signal.reason)
    }
    if (this.#at < this.#count) return Promise.resolve({ value: this.#row(), done: false })
    return this.#nextPage()
  }

  #row() {
    const at = this.#at++
    if (this.#values === null) return this.#keys?.[at]
    return this.#keys === null ? this.#values[at] : [this.#keys[at], this.#values[at]]
  }

  /** @type {Promise<any>} one page at a time, also for those who do not await next() */
  #turn = Promise.resolve()

  /** @returns {Promise<IteratorResult<any, undefined>>} */
  #nextPage() {
    const result = this.#turn.then(() => this.#take())
    this.#turn = result.catch(() => {})
    return result
  }

  /** @returns {Promise<IteratorResult<any, undefined>>} */
  async #take() {
    while (this.#at >= this.#count) {
      const coming = this.#coming
      if (this.#ended || coming === null) {
        this.#end()
        return { value: undefined, done: true }
      }
      try {
        await this.#page(coming)
      } catch (error) {
        this.#end()
        throw error
      }
    }
    return { value: this.#row(), done: false }
  }

  /** @param {Promise<any>} coming */
  async #page(coming) {
    const { signal } = this.#span
    const [keys, values, done] = await (signal === undefined ? coming : orAborted(coming, signal))
    this.#coming = null
    if (this.#ended) return
    if (!this.#context.handles.has(this.#ticket)) throw closedError('the database')
    const { keyEncoding, valueEncoding } = this.#context
    if (keys !== null && keyEncoding.decode !== null) {
      for (let i = 0; i < keys.length; i++) keys[i] = keyEncoding.decode(keys[i], 'key')
    }
    if (values !== null && valueEncoding.decode !== null) {
      for (let i = 0; i < values.length; i++) values[i] = valueEncoding.decode(values[i], 'value', keys?.[i])
    }
    this.#keys = keys
    this.#values = values
    this.#at = 0
    this.#count = (keys ?? values).length
    this.#left -= this.#count
    this.#last = done || this.#left === 0
    if (this.#last) this.#let(done)
    else this.#ask()
  }

  /** @param {boolean} done the leader has closed it already */
  #let(done) {
    if (this.#ticket === 0) return
    if (done) this.#context.handles.forget(this.#ticket, this)
    else this.#context.handles.close(this.#ticket, this)
    this.#ticket = 0
  }

  #end() {
    this.#ended = true
    this.#count = 0
    this.#at = 0
    this.#let(false)
  }

  /** @returns {Promise<IteratorResult<any, undefined>>} */
  return() {
    this.#end()
    return Promise.resolve({ value: undefined, done: true })
  }

  async [asyncDispose]() {
    this.#end()
  }
}

/** @template T @param {Promise<T>} promise @param {AbortSignal} signal @returns {Promise<T>} */
export function orAborted(promise, signal) {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason)
    if (signal.aborted) return abort()
    signal.addEventListener('abort', abort, { once: true })
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort))
  })
}

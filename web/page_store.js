// page_store.js: the one module of the page that talks to the database. Keys and values are bytes here: what the page
// shows must not depend on how somebody encoded them.

import { Database, DatabaseError, HostError } from '../bindings/js/browser.js'
import { statusError } from '../bindings/js/src/errors.js'
import {
  deleteDatabase,
  estimate,
  exportDatabase,
  importDatabase,
  listDatabases,
  persist,
} from '../bindings/js/src/storage.js'
import { toBytes } from './bytes_text.js'

const TEXT = { keyEncoding: 'utf8', valueEncoding: 'utf8' }
/** Bounds are bytes, and what comes is text. */
const TEXT_KEYS = { format: 'utf8', encode: (/** @type {Uint8Array} */ key) => key, decode: String }
const BYTES = /** @type {const} */ ({ keyEncoding: 'view', valueEncoding: 'view' })

/** @typedef {'relaxed' | 'strict'} Durability */
/** @typedef {{ type: 'put' | 'del' | 'clear' | 'missed', key?: Uint8Array, name?: string, text?: string }} Told
 *   a change, as watch has it: `key` is left out where it is not one, or not known exactly; `name` is the key and
 *   `text` the value, for people to look at */
/** @typedef {{ gte?: Uint8Array, gt?: Uint8Array, lt?: Uint8Array, prefix?: Uint8Array,
 *   signal?: AbortSignal }} KeyRange */

/** What to tell the user of an error: a sentence that says what to do. @param {unknown} error */
export function explain(error) {
  const message = error instanceof Error ? error.message : String(error)
  if (!(error instanceof DatabaseError)) return message
  const help = HELP[/** @type {string} */ (error.code)]
  return help === undefined ? message : `${help} (${message})`
}

/** @type {Record<string, string>} */
const HELP = {
  ERR_DB_FULL:
    'There is no room left for this in the browser’s storage. Nothing was changed and reading still works; delete ' +
    'something, or free space on the disk, and try again.',
  ERR_DB_NOT_DATABASE: 'This is not a Varve database. A .varve file comes from Export here, or from “varve backup”.',
  ERR_DB_CORRUPT: 'The database is damaged. “varve repair” on the command line saves what is whole.',
  ERR_DB_NEWER_FORMAT: 'A newer version of Varve wrote this. Use that version to open it.',
  ERR_DB_UNSUPPORTED: 'This browser, or a private window of it, cannot do that.',
  ERR_DB_LEADER_LOST: 'The tab that had the database open was closed meanwhile. Try again.',
  ERR_DB_LOCKED: 'Somebody else has this database open. Close it there and try again.',
}

/** A failure of the storage as one of a database. @template T @param {Promise<T>} work @returns {Promise<T>} */
async function explained(work) {
  try {
    return await work
  } catch (error) {
    throw error instanceof HostError ? statusError(error.status, error.message, error) : error
  }
}

export class PageStore {
  /** @param {string} name @param {any} db */
  constructor(name, db) {
    this.name = name
    this.db = db
    /** The keyspace that is looked at: the database itself is the one without a name. */
    this.rows = db
    this.space = ''
    /** @type {Durability} */
    this.durability = 'relaxed'
  }

  /** Whether it outlives the page; not so in private windows of some browsers. */
  get persistent() {
    return this.db.storage !== 'memory'
  }

  /** Which tab's worker runs the engine, and how often that changed since this one opened the database. */
  get led() {
    return { here: this.db.leads === true, changes: Number(this.db.failovers ?? 0) }
  }

  /** @param {string} name */
  static async open(name) {
    return new PageStore(name, await Database.open(name, { ...BYTES, allowMemory: true }))
  }

  /** The engine's version. */
  static get version() {
    return Database.version
  }

  /** The databases that this browser keeps. @returns {Promise<{ name: string, size: number }[]>} */
  static list() {
    return listDatabases()
  }

  /** @param {string} name @returns {Promise<void>} */
  static async delete(name) {
    await explained(deleteDatabase(name))
  }

  /** A database of strings, for the benchmark. @param {string} name @returns {Promise<any>} */
  static openPlain(name) {
    return Database.open(name)
  }

  /** Makes a database of a file; it must not exist yet. @param {Blob} file @param {string} name
   * @param {(done: number, total: number) => void} onProgress */
  static async importFile(file, name, onProgress) {
    await explained(importDatabase(name, file, { onProgress }))
  }

  /** A database that nobody has open, as the bytes of one file. @param {string} name
   * @param {(done: number, total: number) => void} onProgress @returns {Promise<Blob>} */
  static async exportFile(name, onProgress) {
    return new Response(await explained(exportDatabase(name, { onProgress }))).blob()
  }

  /** @returns {Promise<string[]>} */
  async spaces() {
    return await this.db.keyspaces()
  }

  /** @param {string} name '' is the default keyspace */
  use(name) {
    this.space = name
    this.rows = name === '' ? this.db : this.db.keyspace(name, BYTES)
  }

  /** Keys come as text, as changes do (see watch), until one is no text: from there on as bytes.
   * @param {KeyRange} range @returns {AsyncIterable<string | Uint8Array>} */
  async *keys(range) {
    let last
    for await (const text of this.rows.keys({ ...range, keyEncoding: TEXT_KEYS })) {
      if (text.includes('\ufffd')) {
        const { gte: _, ...rest } = range
        yield* this.rows.keys(last === undefined ? range : { ...rest, gt: toBytes(last) })
        return
      }
      last = text
      yield text
    }
  }

  /** @param {Uint8Array} key @returns {Promise<Uint8Array | undefined>} */
  get(key) {
    return this.rows.get(key)
  }

  /** @param {Uint8Array} key @returns {Promise<boolean>} */
  has(key) {
    return this.rows.has(key)
  }

  /** @param {Uint8Array} key @param {Uint8Array} value @returns {Promise<void>} */
  put(key, value) {
    return this.rows.put(key, value, { durability: this.durability })
  }

  /** @param {Uint8Array} key @returns {Promise<void>} */
  del(key) {
    return this.rows.del(key, { durability: this.durability })
  }

  /** Changes whose keys and values are text. @param {{ type: 'put', key: string, value: string }[]} changes
   * @returns {Promise<void>} */
  batchText(changes) {
    return this.rows.batch(changes, { ...TEXT, durability: this.durability })
  }

  /** @param {{ prefix?: Uint8Array }} range @returns {Promise<void>} */
  clear(range) {
    return this.rows.clear({ ...range, durability: this.durability })
  }

  /** Changes come as text, which goes between threads several times as fast as small arrays of bytes. A key that is no
   * text is then not known exactly.
   * @param {(changes: Told[]) => void} listener @returns {{ close(): void }} */
  watch(listener) {
    /** @param {{ type: Told['type'], key?: string, value?: string }} change @returns {Told} */
    const toldOf = ({ type, key, value }) => {
      if (key === undefined) return { type }
      return key.includes('\ufffd')
        ? { type, name: key, text: value }
        : { type, key: toBytes(key), name: key, text: value }
    }
    return this.rows.watch(TEXT, (/** @type {any[]} */ changes) => listener(changes.map(toldOf)))
  }

  /** @returns {Promise<import('../bindings/js/index.js').Stats>} */
  async stats() {
    return await this.db.stats()
  }

  /** What this site takes of what the browser gives it; null where that is not about this database.
   * @returns {Promise<{ usage: number, quota: number, persisted: boolean } | null>} */
  async estimate() {
    return this.persistent ? await estimate() : null
  }

  /** Asks the browser not to delete this site's data by itself. */
  persist() {
    return persist()
  }

  /** @returns {Promise<void>} */
  flush() {
    return this.db.flush()
  }

  /** @param {(done: number, total: number) => void} onProgress @returns {Promise<void>} */
  compact(onProgress) {
    return this.db.compact({ onProgress })
  }

  /** @param {(done: number, total: number) => void} onProgress
   * @returns {Promise<import('../bindings/js/index.js').VerifyReport>} */
  verify(onProgress) {
    return this.db.verify({ onProgress })
  }

  /** @returns {Promise<void>} */
  close() {
    return this.db.close()
  }
}

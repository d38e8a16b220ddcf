// page_store.js: the one module of the page that talks to the database. Keys and values are bytes here: what the page
// shows must not depend on how somebody encoded them.

import { Database, DatabaseError } from '../bindings/js/browser.js'

const BYTES = { keyEncoding: 'view', valueEncoding: 'view' }

/** @typedef {'relaxed' | 'strict'} Durability */
/** @typedef {{ type: 'put' | 'del' | 'clear', key?: Uint8Array, value?: Uint8Array }} Told a change, as watch has it */
/** @typedef {{ gte?: Uint8Array, gt?: Uint8Array, lt?: Uint8Array, prefix?: Uint8Array, reverse?: boolean,
 *   limit?: number, signal?: AbortSignal }} KeyRange */
/** @typedef {{ type: 'put', key: Uint8Array, value: Uint8Array } | { type: 'del', key: Uint8Array }} Write */

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
  ERR_DB_LOCKED: 'Somebody else has this database open. Close it there and try again.',
}

/** @type {Set<string>} */
const opened = new Set()

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

  /** @param {string} name */
  static async open(name) {
    const db = await Database.open(name, BYTES)
    opened.add(name)
    return new PageStore(name, db)
  }

  /** Whether databases outlive the page, and all tabs have the same ones. */
  static get persistent() {
    return false
  }

  /** The engine's version. */
  static get version() {
    return Database.version
  }

  /** The names of this browser's databases. @returns {Promise<string[]>} */
  static async names() {
    return [...opened]
  }

  /** @param {string} name @returns {Promise<void>} */
  static async delete(name) {
    await /** @type {any} */ (Database).delete(name)
  }

  /** For the benchmark. @returns {any} */
  static get Database() {
    return Database
  }

  /** Makes a database of a file; it must not exist yet. @param {Blob} file @param {string} name
   * @param {(done: number, total: number) => void} onProgress */
  static async importFile(file, name, onProgress) {
    let done = 0
    const counting = new TransformStream({
      transform(chunk, controller) {
        done += chunk.length
        onProgress(done, file.size)
        controller.enqueue(chunk)
      },
    })
    await Database.restore(file.stream().pipeThrough(counting), name)
  }

  /** The whole database as the bytes of one file. @param {(done: number, total: number) => void} onProgress
   * @returns {Promise<Blob>} */
  async exportFile(onProgress) {
    const { readable, writable } = new TransformStream()
    const [blob] = await Promise.all([new Response(readable).blob(), this.db.backup(writable, { onProgress })])
    return blob
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

  /** @param {KeyRange} range @returns {AsyncIterable<Uint8Array>} */
  keys(range) {
    return this.rows.keys(range)
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

  /** @param {Write[]} changes @returns {Promise<void>} */
  batch(changes) {
    return this.rows.batch(changes, { durability: this.durability })
  }

  /** @param {{ prefix?: Uint8Array }} range @returns {Promise<void>} */
  clear(range) {
    return this.rows.clear({ ...range, durability: this.durability })
  }

  /** @param {(changes: Told[]) => void} listener @returns {{ close(): void }} */
  watch(listener) {
    return this.rows.watch({}, listener)
  }

  /** @returns {Promise<import('../bindings/js/index.js').Stats>} */
  async stats() {
    return await this.db.stats()
  }

  /** What this site takes of what the browser gives it; null where that is not about this database.
   * @returns {Promise<{ usage: number, quota: number, persisted: boolean } | null>} */
  async estimate() {
    if (!PageStore.persistent || navigator.storage === undefined) return null
    const { usage = 0, quota = 0 } = await navigator.storage.estimate()
    return { usage, quota, persisted: await navigator.storage.persisted() }
  }

  /** Asks the browser not to delete this site's data by itself. */
  async persist() {
    return await navigator.storage.persist()
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

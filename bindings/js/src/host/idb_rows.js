// idb_rows.js: what lies in IndexedDB for a database in one file, and how it is read and written.
//
// The file is kept in memory (idb.js); here is what a reload finds of it. An IndexedDB database has three stores:
//
//   meta    'owner'        { format: 1, token }: whoever opened it last; any other writer finds that it is not his
//   chunks  index          { seq, bytes }: CHUNK bytes of the file as they were at group `seq`; one that is missing is
//                          zeros
//   log     seq            { cut, size, exists, at: [offset ...], bytes }: one group of writes: the file was cut down
//                          to `cut` bytes, then pieces were written, then it had `size` bytes. The pieces' bytes
//                          follow one another; at[2i] and at[2i + 1] are the offset and the size of piece i.
//
// A group is one transaction. It puts one row into the log, and puts every chunk anew of which a good part changed:
// large writes, which are sealed tables, go straight to their chunks, and never through the log. When the log is long,
// all its chunks are put anew and the rows before this one are removed, in the same transaction: so what is there is
// always the state after some group, and the last row of the log says its size.
//
// A browser may keep a large value in a file of its own; after a power cut that file may be missing though a relaxed
// transaction named it. So a transaction that puts a chunk is always a strict one.
//
// To read: the chunks, then the rows of the log by rising seq, each on the chunks with a lower seq.

import { HostError } from './host.js'
import { errorName, webError, withDeadline } from './web_errors.js'

export const CHUNK = 512 << 10
const FORMAT = 1
const DEADLINE_MS = 10_000
const DELETE_MS = 2000
const LOOK_MS = 2000
const LOAD_CHUNKS = 32
const STORES = ['meta', 'chunks', 'log']

/** @typedef {{ cut: number, size: number, exists: boolean, at: number[], bytes: Uint8Array }} LogRow */
/** @typedef {{ seq: number, row: LogRow, chunks: Map<number, Uint8Array>, gone: number, strict: boolean,
 *   fold: boolean }} Group `gone`: chunks from this one on are removed first; `fold`: so are the rows before this
 *   one */
/** @typedef {{ index: number, seq: number, bytes: Uint8Array }} ChunkRow */

/** @param {IDBRequest<any>} request @returns {Promise<any>} */
function answer(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result)
    request.onerror = () => reject(request.error)
  })
}

/** @param {IDBTransaction} tx @returns {Promise<void>} */
function completed(tx) {
  return new Promise((resolve, reject) => {
    tx.oncomplete = () => resolve()
    tx.onabort = () => reject(tx.error ?? new DOMException('the transaction was aborted', 'AbortError'))
  })
}

/** @param {string} idb the name in IndexedDB @returns {Promise<IDBDatabase>} */
function openIdb(idb) {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(idb, 1)
    request.onupgradeneeded = () => {
      for (const store of STORES) request.result.createObjectStore(store)
    }
    request.onsuccess = () => resolve(request.result)
    request.onerror = () => reject(request.error)
  })
}

/** Removes a database of IndexedDB: its rows now, and it itself as soon as no connection is open; that of a worker that
 * was ended may be for a while. Whoever still has one can put nothing more. @param {string} idb @param {string} name */
export async function deleteIdb(idb, name) {
  try {
    const db = await withDeadline(openIdb(idb), DEADLINE_MS, `opening ${name} in IndexedDB`, (late) => late.close())
    const tx = db.transaction(STORES, 'readwrite', { durability: 'strict' })
    for (const store of STORES) tx.objectStore(store).clear()
    await completed(tx).finally(() => db.close())
  } catch (error) {
    throw webError(error, `'${name}' cannot be removed`)
  }
  const request = indexedDB.deleteDatabase(idb)
  await withDeadline(answer(request), DELETE_MS, `removing ${name}`).catch(() => {})
}

/** The size of the file of a database; null when there is none, or when it is being removed.
 * @param {string} idb @param {string} name */
export async function sizeOfIdb(idb, name) {
  try {
    const opening = openIdb(idb)
    const late = new Promise((resolve) => setTimeout(() => resolve(null), LOOK_MS))
    const db = /** @type {IDBDatabase | null} */ (await Promise.race([opening, late]))
    if (db === null) {
      opening.then((opened) => opened.close()).catch(() => {})
      return null
    }
    try {
      const tx = db.transaction(['log'], 'readonly')
      const [cursor] = await Promise.all([answer(tx.objectStore('log').openCursor(null, 'prev')), completed(tx)])
      const row = cursor?.value
      return row?.exists === true ? Number(row.size) : null
    } finally {
      db.close()
    }
  } catch (error) {
    throw webError(error, `'${name}' cannot be looked at in IndexedDB`)
  }
}

export class IdbRows {
  #idb
  #name
  /** @type {IDBDatabase | null} */
  #db = null
  #token = crypto.randomUUID?.() ?? `${Math.random()} ${Date.now()}`

  /** @param {string} idb @param {string} name of the database, for messages */
  constructor(idb, name) {
    this.#idb = idb
    this.#name = name
  }

  /** @returns {Promise<IDBDatabase>} */
  async #connect() {
    if (this.#db !== null) return this.#db
    if (globalThis.indexedDB === undefined) throw new HostError('UNSUPPORTED', 'this browser has no IndexedDB')
    const opening = openIdb(this.#idb)
    const db = await withDeadline(opening, DEADLINE_MS, `opening ${this.#name} in IndexedDB`, (late) => late.close())
    db.onclose = () => (this.#db = null) // the browser lost its storage process, or its user cleared the site's data
    this.#db = db
    return db
  }

  /** Makes these rows ours: whoever had them open can put no more. */
  async claim() {
    try {
      const db = await this.#connect()
      const tx = db.transaction(['meta'], 'readwrite')
      const owner = await answer(tx.objectStore('meta').get('owner'))
      if (owner !== undefined && owner.format > FORMAT) {
        throw new HostError('NEWER_FORMAT', `'${this.#name}' was stored in IndexedDB by a newer version of Varve`)
      }
      tx.objectStore('meta').put({ format: FORMAT, token: this.#token }, 'owner')
      await completed(tx)
    } catch (error) {
      throw webError(error, `'${this.#name}' cannot be opened in IndexedDB`)
    }
  }

  /** What is there. @param {(chunk: ChunkRow) => void} onChunk @param {(seq: number, row: LogRow) => void} onRow by
   * rising seq, after all chunks */
  async load(onChunk, onRow) {
    try {
      const db = await this.#connect()
      const tx = db.transaction(['chunks', 'log'], 'readonly')
      const chunks = tx.objectStore('chunks')
      const keys = /** @type {number[]} */ (await answer(chunks.getAllKeys()))
      for (let i = 0; i < keys.length; i += LOAD_CHUNKS) {
        const some = keys.slice(i, i + LOAD_CHUNKS)
        const range = IDBKeyRange.bound(some[0], some.at(-1))
        const rows = await answer(chunks.getAll(range))
        some.forEach((index, n) => onChunk({ index, ...rows[n] }))
      }
      const log = tx.objectStore('log')
      const [seqs, rows] = await Promise.all([answer(log.getAllKeys()), answer(log.getAll()), completed(tx)])
      seqs.forEach((/** @type {number} */ seq, /** @type {number} */ n) => onRow(seq, rows[n]))
    } catch (error) {
      throw webError(error, `'${this.#name}' cannot be read from IndexedDB`)
    }
  }

  /** Puts a group. Whether it is there when this rejects is not known: but the rows are as before or as after it.
   * @param {Group} group */
  async put(group) {
    for (let attempt = 0; ; attempt++) {
      const lost = this.#db === null
      try {
        return await this.#putOnce(await this.#connect(), group)
      } catch (error) {
        if (error instanceof HostError) throw error
        // A connection that is lost does not come back: a new one does, and finds the group there or not.
        const name = errorName(error)
        const again = this.#db === null || lost || name === 'InvalidStateError' || name === 'UnknownError'
        if (!again || attempt >= 2) throw webError(error, `'${this.#name}' cannot be written to IndexedDB`)
        this.#drop()
      }
    }
  }

  /** @param {IDBDatabase} db @param {Group} group */
  async #putOnce(db, { seq, row, chunks, gone, strict, fold }) {
    const durability = strict || chunks.size > 0 ? 'strict' : 'relaxed'
    const tx = db.transaction(STORES, 'readwrite', { durability })
    let owned = true
    const check = tx.objectStore('meta').get('owner')
    check.onsuccess = () => {
      owned = check.result?.token === this.#token
      if (!owned) tx.abort()
    }
    const log = tx.objectStore('log')
    const store = tx.objectStore('chunks')
    log.put(row, seq)
    if (gone !== Infinity) store.delete(IDBKeyRange.lowerBound(gone))
    for (const [index, bytes] of chunks) store.put({ seq, bytes }, index)
    if (fold) log.delete(IDBKeyRange.upperBound(seq, true))
    try {
      await completed(tx)
    } catch (error) {
      if (owned) throw error
      throw new HostError('LOCKED', `'${this.#name}' was opened by another tab meanwhile, which has it now`, error)
    }
  }

  #drop() {
    this.#db?.close()
    this.#db = null
  }

  close() {
    this.#drop()
  }
}

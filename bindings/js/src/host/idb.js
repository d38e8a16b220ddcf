// idb.js: databases in IndexedDB, for browsers without files: each is one file, held in memory, with every change of
// it put into IndexedDB (idb_rows.js says how) in the order in which they were made.
//
// The engine does not wait and IndexedDB does: sync() only says that what was written is to be durable. settled() is
// when it is; whoever acknowledges a commit awaits it. What is written while a transaction runs goes into the next one,
// all together: a reload finds the file as it was between two groups, which is as it would be if the process had died
// there.
//
// A transaction that fails is final, as a failed sync is: every later write and sync fails with the same error, reading
// goes on, and opening anew finds what was there before it. Running out of quota is seen beforehand as a rule, in
// write(), which fails then, harms nothing, and works again when there is room.
//
// Invariants
//   1. A byte of the file that is not as the rows have it is in #dirty, or in the group of #flying.
//   2. At most one transaction runs. Groups have rising seq.
//   3. #logged names every chunk that has pieces in rows of the log.

import { ByteRanges } from './byte_ranges.js'
import { HostError } from './host.js'
import { CHUNK, IdbRows, deleteIdb } from './idb_rows.js'
import { StoredFile } from './stored_file.js'
import { webError } from './web_errors.js'
import { WebHost } from './web_host.js'
import { idbOfName, nameOfLocation } from './web_names.js'

/** @import { WebFile } from './web_host.js' */
/** @import { ChunkRow, Group, LogRow } from './idb_rows.js' */

export const MEMORY_LIMIT = 256 << 20
const WHOLE_CHUNK = 128 << 10 // a chunk of which so much changed is put anew
const LOG_BYTES = 4 << 20
const LOG_ROWS = 1000
const ESTIMATE_BYTES = 4 << 20
const ROOM_SHARE = 0.9 // IndexedDB takes more than it is given

/** The file of one database. @implements {WebFile} */
class IdbFile extends StoredFile {
  exists = false
  #name
  #rows
  #limit
  #logLimit
  /** @type {(Uint8Array | undefined)[]} missing = zeros */
  #chunks = []
  #size = 0
  #dirty = new ByteRanges()
  #cut = Infinity // the least size since the last group
  #changed = false
  #strict = false
  #unsynced = false // a relaxed transaction was the last one
  #seq = 0
  /** @type {Set<number>} */
  #logged = new Set()
  #logBytes = 0
  #logRows = 0
  /** @type {Promise<void> | null} */
  #flying = null
  #scheduled = false
  /** @type {HostError | null} */
  #failure = null
  #room = Infinity
  #sinceEstimate = 0

  /** @param {string} name @param {IdbRows} rows @param {number} limit @param {number} logLimit */
  constructor(name, rows, limit, logLimit) {
    super()
    this.#logLimit = logLimit
    this.#name = name
    this.#rows = rows
    this.#limit = limit
  }

  // ---- What the engine calls

  create() {
    this.truncate(0) // what an import left that was never finished
    this.adopt()
  }

  /** What was written is a database. */
  adopt() {
    this.exists = true
    this.#change()
  }

  remove() {
    this.truncate(0)
    this.exists = false
    this.#change()
  }

  /** @override @param {number} offset @param {Uint8Array} bytes @param {number} at @param {number} size */
  read(offset, bytes, at, size) {
    const end = Math.min(offset + size, this.#size)
    for (let from = offset; from < end;) {
      const begin = from % CHUNK
      const count = Math.min(CHUNK - begin, end - from)
      const chunk = this.#chunks[(from - begin) / CHUNK]
      const to = at + from - offset
      if (chunk === undefined) bytes.fill(0, to, to + count)
      else bytes.set(chunk.subarray(begin, begin + count), to)
      from += count
    }
    return Math.max(0, end - offset)
  }

  /** @param {number} offset @param {Uint8Array} bytes @param {number} at @param {number} size */
  write(offset, bytes, at, size) {
    this.#mayGrow(offset + size, size)
    this.changing(offset, offset + size)
    this.#fill(offset, bytes.subarray(at, at + size))
    if (offset + size > this.#size) this.#size = offset + size
    this.#dirty.add(offset, offset + size)
    this.#change()
  }

  /** @param {number} size */
  allocate(size) {
    if (size <= this.#size) return
    this.#mayGrow(size, size - this.#size)
    this.#size = size
    this.#change()
  }

  /** @param {number} size */
  truncate(size) {
    if (size >= this.#size) return
    if (this.#failure !== null) throw this.#failure
    this.changing(size, this.#size)
    this.#shorten(size)
    this.#dirty.cut(size)
    this.#cut = Math.min(this.#cut, size)
    this.#change()
  }

  /** @override */
  size() {
    return this.#size
  }

  sync() {
    if (this.#failure !== null) throw this.#failure
    if (!this.#changed && !this.#unsynced && this.#flying === null) return
    this.#strict = true
    this.#schedule()
  }

  close() {}

  // ---- The bytes

  /** @param {number} offset @param {Uint8Array} bytes */
  #fill(offset, bytes) {
    for (let done = 0; done < bytes.length;) {
      const begin = (offset + done) % CHUNK
      const index = (offset + done - begin) / CHUNK
      const count = Math.min(CHUNK - begin, bytes.length - done)
      const chunk = (this.#chunks[index] ??= new Uint8Array(CHUNK))
      chunk.set(bytes.subarray(done, done + count), begin)
      done += count
    }
  }

  /** @param {number} size */
  #shorten(size) {
    const begin = size % CHUNK
    const kept = Math.ceil(size / CHUNK)
    if (this.#chunks.length > kept) this.#chunks.length = kept
    if (begin > 0) this.#chunks[kept - 1]?.fill(0, begin)
    this.#size = size
  }

  /** @param {number} size the file's @param {number} bytes more to put */
  #mayGrow(size, bytes) {
    if (this.#failure !== null) throw this.#failure
    if (size > this.#size && size > this.#limit) {
      const mib = (this.#limit / 2 ** 20).toFixed(1).replace(/\.0$/, '')
      throw new HostError(
        'FULL',
        `'${this.#name}' is held in memory and may have ${mib} MiB there: open it with a larger memoryLimit, ` +
          'or in a browser that has files (OPFS)',
      )
    }
    if (this.#sinceEstimate + this.#dirty.bytes + bytes > this.#room) {
      void this.#estimate()
      throw new HostError('FULL', `'${this.#name}' cannot grow: this site may store no more; remove some of its data`)
    }
  }

  // ---- Groups

  #change() {
    this.#changed = true
    this.#schedule()
  }

  #schedule() {
    if (this.#scheduled) return
    this.#scheduled = true
    queueMicrotask(() => {
      this.#scheduled = false
      this.#fly()
    })
  }

  /** Starts a transaction with all that changed, unless one runs: its end starts the next. */
  #fly() {
    if (this.#flying !== null || this.#failure !== null) return
    if (!this.#changed && !(this.#strict && this.#unsynced)) return
    const group = this.#group()
    const bytes = group.row.bytes.length + group.chunks.size * CHUNK
    this.#flying = this.#rows.put(group).then(
      () => {
        this.#flying = null
        this.#unsynced = !group.strict && group.chunks.size === 0
        this.#sinceEstimate += bytes
        if (this.#sinceEstimate >= ESTIMATE_BYTES) void this.#estimate()
        this.#fly()
      },
      (error) => {
        this.#flying = null
        this.#failure = webError(error, `'${this.#name}' cannot be stored`)
      },
    )
  }

  /** All that changed, taken from what is dirty. @returns {Group} */
  #group() {
    const dirty = this.#dirty
    const cut = this.#cut
    /** @type {Map<number, number>} */
    const changed = new Map()
    const pieces = [...dirty.pieces(CHUNK)]
    for (const { begin, end, piece } of pieces) changed.set(piece, (changed.get(piece) ?? 0) + end - begin)
    const whole = new Set([...changed].filter(([, bytes]) => bytes >= WHOLE_CHUNK).map(([index]) => index))
    const inRow = pieces.filter(({ piece }) => !whole.has(piece))
    const row = this.#row(inRow, cut)
    const gone = cut === Infinity ? Infinity : Math.ceil(cut / CHUNK)
    if (gone * CHUNK > cut) this.#logged.add(gone - 1)
    for (const { piece } of inRow) this.#logged.add(piece)
    this.#logBytes += row.bytes.length
    this.#logRows++
    const fold = this.#logBytes >= this.#logLimit || this.#logRows >= LOG_ROWS
    if (fold) for (const index of this.#logged) whole.add(index)
    for (const index of whole) this.#logged.delete(index)
    if (fold) [this.#logBytes, this.#logRows] = [0, 1]
    const chunks = new Map(
      [...whole].filter((index) => index * CHUNK < this.#size).map((i) => [i, this.#chunkBytes(i)]),
    )
    const group = { seq: ++this.#seq, row, chunks, gone, strict: this.#strict, fold }
    this.#dirty = new ByteRanges()
    this.#cut = Infinity
    this.#changed = false
    this.#strict = false
    return group
  }

  /** @param {{ begin: number, end: number }[]} pieces @param {number} cut @returns {LogRow} */
  #row(pieces, cut) {
    const bytes = new Uint8Array(pieces.reduce((sum, { begin, end }) => sum + end - begin, 0))
    const at = []
    let used = 0
    for (const { begin, end } of pieces) {
      this.read(begin, bytes, used, end - begin)
      at.push(begin, end - begin)
      used += end - begin
    }
    return { cut: Math.min(cut, this.#size), size: this.#size, exists: this.exists, at, bytes }
  }

  /** @param {number} index */
  #chunkBytes(index) {
    const size = Math.min(CHUNK, this.#size - index * CHUNK)
    return this.#chunks[index]?.slice(0, size) ?? new Uint8Array(size)
  }

  /** Resolves when all that was written is in IndexedDB; with 'strict' also on stable storage.
   * @param {'relaxed' | 'strict'} [durability] */
  async settled(durability) {
    if (durability === 'strict' && (this.#changed || this.#unsynced || this.#flying !== null)) this.#strict = true
    const seq = this.#changed || this.#strict ? this.#seq + 1 : this.#seq
    this.#fly()
    while (this.#flying !== null && this.#seq <= seq) await this.#flying
    if (this.#failure !== null) throw this.#failure
  }

  async #estimate() {
    this.#sinceEstimate = 0
    const { quota, usage } = (await globalThis.navigator?.storage?.estimate?.().catch(() => null)) ?? {}
    this.#room = quota === undefined || usage === undefined ? Infinity : Math.max(0, (quota - usage) * ROOM_SHARE)
  }

  // ---- Opening and closing

  async load() {
    await this.#rows.claim()
    /** @type {number[]} */
    const seqs = []
    const onChunk = (/** @type {ChunkRow} */ { index, seq, bytes }) => {
      this.#refuseLarge(index * CHUNK + bytes.length)
      this.#fill(index * CHUNK, bytes)
      seqs[index] = seq
      this.#size = Math.max(this.#size, index * CHUNK + bytes.length)
    }
    await this.#rows.load(onChunk, (seq, row) => this.#replay(seq, row, seqs))
    this.#chunks.length = Math.min(this.#chunks.length, Math.ceil(this.#size / CHUNK))
    await this.#estimate()
  }

  /** @param {number} size */
  #refuseLarge(size) {
    if (size <= this.#limit) return
    const mib = Math.ceil(size / 2 ** 20)
    throw new HostError('LIMIT', `'${this.#name}' has ${mib} MiB or more: open it with a memoryLimit above that`)
  }

  /** @param {number} seq @param {LogRow} row @param {number[]} seqs of the chunks */
  #replay(seq, { cut, size, exists, at, bytes }, seqs) {
    this.#refuseLarge(size)
    if (cut < this.#size && cut % CHUNK > 0) this.#logged.add(Math.floor(cut / CHUNK))
    this.#cutOlder(seq, cut, seqs)
    let used = 0
    for (let i = 0; i < at.length; i += 2) {
      const [offset = 0, count = 0] = at.slice(i, i + 2)
      const index = Math.floor(offset / CHUNK)
      if ((seqs[index] ?? 0) < seq) {
        this.#fill(offset, bytes.subarray(used, used + count))
        this.#logged.add(index)
      }
      used += count
    }
    this.#size = size
    this.exists = exists
    this.#seq = seq
    this.#logBytes += bytes.length
    this.#logRows++
  }

  /** Cuts the file down in the chunks that are older than a row. @param {number} seq @param {number} cut
   * @param {number[]} seqs */
  #cutOlder(seq, cut, seqs) {
    for (let index = Math.floor(cut / CHUNK); index < this.#chunks.length; index++) {
      if ((seqs[index] ?? 0) < seq) this.#chunks[index]?.fill(0, Math.max(0, cut - index * CHUNK))
    }
  }

  /** Settles when everything is durable and the connection is closed. */
  async release() {
    try {
      await this.settled('strict')
    } finally {
      this.#rows.close()
    }
    if (!this.exists || this.#size === 0) await deleteIdb(idbOfName(this.#name), this.#name).catch(() => {})
  }
}

class IdbHost extends WebHost {
  #limit
  #logLimit
  /** @type {Set<IdbFile>} */
  #idbFiles = new Set()

  /** @param {number} limit @param {number} logLimit */
  constructor(limit, logLimit) {
    super('idb')
    this.#logLimit = logLimit
    this.#limit = limit
  }

  /** Makes one more database ready. @param {string} location */
  async prepare(location) {
    const name = nameOfLocation(location)
    if (this.fileAt(name) !== undefined) return
    const rows = new IdbRows(idbOfName(name), name)
    const file = new IdbFile(name, rows, this.#limit, this.#logLimit)
    try {
      await file.load()
    } catch (error) {
      rows.close()
      throw error
    }
    this.#idbFiles.add(file)
    this.addFile(name, file)
  }

  /** Resolves when all that the engine wrote is stored, and rejects when it could not be: then no later write can
   * succeed, and reopening finds the state before.
   * @override @param {'relaxed' | 'strict'} [durability] */
  async settled(durability) {
    await Promise.all([...this.#idbFiles].map((file) => file.settled(durability)))
  }

  /** @override */
  async close() {
    try {
      await super.close()
    } finally {
      this.#idbFiles.clear()
    }
  }
}

/**
 * A host for the database `name`. Whoever calls this holds its Web Lock.
 * @param {string} name
 * @param {{ memoryLimit?: number, logBytes?: number }} [options] memoryLimit: bytes that a file may have; logBytes: of
 *   rows, after which what they hold goes into chunks
 */
export async function openIdbHost(name, { memoryLimit = MEMORY_LIMIT, logBytes = LOG_BYTES } = {}) {
  const host = new IdbHost(memoryLimit, logBytes)
  await host.prepare(name)
  return host
}

// module.js: one instance of the engine, and the only file that touches its memory. src/api/api_wasm.c describes what lies
// where. One database has one instance, so that closing it gives all its memory back and a fault stops nobody else.
//
// Invariants
//   1. No view of the memory leaves this file, but for the duration of a host call: the memory moves when it grows.
//   2. A wasm call may grow the memory. Views are renewed when theirs has gone (its length is then 0).
//   3. The stage holds the changes that are not committed yet, and nothing else, whenever #used > 0.

import * as abi from './abi.js'
import { STATUS } from './abi.js'
import { Bridge } from './bridge.js'
import { DatabaseError, closedError, statusError } from './errors.js'
import { FORM_BUFFER, FORM_TEXT, refuseLoneSurrogates } from './encodings.js'
import { callTable, deadTable } from './calls.js'

/** @typedef {string | Uint8Array} Bytes */
/** @typedef {(done: number, total: number) => unknown} Progress */

const NodeBuffer = globalThis.Buffer
const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { ignoreBOM: true })
const SHORT = 24 // strings up to this many characters are written and read faster by hand
const STAGE_KEEP = 1 << 20
const PAGE_BUDGET = 1 << 20

export class Engine {
  #memory
  #bridge
  /** @type {any} */
  #call
  #u8 = new Uint8Array(0)
  #u32 = new Uint32Array(0)
  /** @type {any} the same bytes as a Buffer, where there is such a class */
  #buffer = null
  #keyView = new Uint8Array(0)
  #key = 0
  #out = 0 // index into #u32
  #number = 0
  #db = 0
  #stage = 0
  #capacity = 0
  #used = 0
  /** @type {Progress | null} */
  #progress = null
  /** @type {unknown} thrown by a progress callback */
  #thrown = null

  /**
   * @param {WebAssembly.Module} module
   * @param {import('./host/host.js').Host} host
   */
  constructor(module, host) {
    this.#bridge = new Bridge(host)
    const instance = new WebAssembly.Instance(module, this.#imports())
    const exports = /** @type {any} */ (instance.exports)
    this.#memory = /** @type {WebAssembly.Memory} */ (exports.memory)
    exports._initialize?.()
    const version = exports.abi?.()
    if (version !== abi.ABI_VERSION) {
      throw new TypeError(
        `The wasm file speaks version ${version} of the interface, this package version ${abi.ABI_VERSION}: ` +
          'use the varve.wasm that came with the package',
      )
    }
    this.#call = callTable(exports, (error) => this.#stop(error))
    this.#renew()
    const io = exports.io() >>> 2
    this.#key = this.#u32[io]
    this.#out = this.#u32[io + 2] >>> 2
    this.#number = this.#u32[io + 3] >>> 3
    this.#renew()
  }

  /** Bytes of changes that are not committed yet. */
  get staged() {
    return this.#used
  }

  #renew() {
    const memory = this.#memory.buffer
    this.#u8 = new Uint8Array(memory)
    this.#u32 = new Uint32Array(memory)
    if (NodeBuffer !== undefined) this.#buffer = NodeBuffer.from(memory)
    this.#keyView = this.#u8.subarray(this.#key, this.#key + abi.ABI_KEY_ROOM)
  }

  /** The current bytes of the memory. */
  #bytes() {
    if (this.#u8.length === 0) this.#renew()
    return this.#u8
  }

  /** @param {number} index */
  #result(index) {
    if (this.#u8.length === 0) this.#renew()
    return this.#u32[this.#out + index]
  }

  /** The functions that the engine imports. @returns {WebAssembly.Imports} */
  #imports() {
    const b = this.#bridge
    /** @param {number} path @param {number} size */
    const text = (path, size) => decoder.decode(this.#bytes().slice(path >>> 0, (path >>> 0) + size))
    const host = {
      /** @param {number} path @param {number} size @param {number} flags */
      place_open: (path, size, flags) => b.guard(() => b.places.add(b.host.open(text(path, size), flags))),
      /** @param {number} place */
      place_close: (place) => b.guard(() => b.places.take(place).close()),
      /** @param {number} place @param {number} kind @param {number} number @param {number} flags */
      open: (place, kind, number, flags) => b.guard(() => b.files.add(b.places.at(place).open(kind, number, flags))),
      /** @param {number} file */
      close: (file) => b.guard(() => b.files.take(file).close()),
      /** @param {number} file @param {number} offset @param {number} data @param {number} size */
      read: (file, offset, data, size) => b.read(file, offset, this.#bytes(), data >>> 0, size >>> 0),
      /** @param {number} file @param {number} offset @param {number} data @param {number} size */
      write: (file, offset, data, size) => b.write(file, offset, this.#bytes(), data >>> 0, size >>> 0),
      /** @param {number} file @param {number} size */
      allocate: (file, size) => b.guard(() => b.files.at(file).allocate(size)),
      /** @param {number} file @param {number} size */
      truncate: (file, size) => b.guard(() => b.files.at(file).truncate(size)),
      /** @param {number} file */
      size: (file) => b.guard(() => b.files.at(file).size()),
      /** @param {number} file */
      sync: (file) => b.guard(() => b.files.at(file).sync()),
      /** @param {number} place @param {number} kind @param {number} number */
      remove: (place, kind, number) => b.guard(() => b.places.at(place).remove(kind, number)),
      /** @param {number} place */
      sync_dir: (place) => b.guard(() => b.places.at(place).syncDir()),
      /** @param {number} place @param {number} rows @param {number} room */
      list: (place, rows, room) => b.guard(() => this.#list(place, rows >>> 0, room >>> 0)),
      /** @param {number} place @param {number} waitMs */
      lock: (place, waitMs) => b.guard(() => b.places.at(place).lock(waitMs >>> 0)),
      /** @param {number} place */
      unlock: (place) => b.guard(() => b.places.at(place).unlock()),
      /** @param {number} data @param {number} room */
      message: (data, room) =>
        encoder.encodeInto(b.failure?.message ?? '', this.#bytes().subarray(data >>> 0, (data >>> 0) + room)).written,
      now_us: () => b.host.nowUs(),
      /** @param {number} data @param {number} size */
      random: (data, size) => b.host.random(this.#bytes().subarray(data >>> 0, (data >>> 0) + size)),
      memory: () => b.host.memory(),
      /** @param {number} done @param {number} total */
      progress: (done, total) => this.#onProgress(done, total),
    }
    const env = { emscripten_notify_memory_growth: () => {} }
    return { host, env, wasi_snapshot_preview1: wasiImports(() => this.#bytes()) }
  }

  /** @param {number} place @param {number} rows @param {number} room */
  #list(place, rows, room) {
    const found = this.#bridge.list(place)
    if (found.length > room) return found.length
    const view = new Float64Array(this.#memory.buffer, rows, 3 * room)
    found.forEach((file, i) => view.set([file.kind, file.number, file.size], 3 * i))
    return found.length
  }

  /** @param {number} done @param {number} total */
  #onProgress(done, total) {
    try {
      return this.#progress?.(done, total) === false ? 1 : 0
    } catch (error) {
      this.#thrown = error
      return 1
    }
  }

  /** The engine trapped, or ran out of stack: whatever it was doing is half done, so nothing more is asked of it.
   * @param {unknown} error @returns {DatabaseError} */
  #stop(error) {
    const message = `the engine stopped at a fault (${String(error)}); what was committed is safe: open the database again`
    const fault = statusError(STATUS.BUG, message, error)
    this.#call = deadTable(fault)
    this.#bridge.releaseAll()
    return fault
  }

  /** The failure `status` of the last call. @param {number} status */
  #failure(status) {
    if (this.#thrown !== null) {
      const thrown = this.#thrown
      this.#thrown = null
      return thrown
    }
    const failure = this.#bridge.failure
    this.#bridge.failure = null
    const cause = failure !== null && failure.status === status ? failure.cause : undefined
    return statusError(status, this.#cString(this.#call.errmsg(this.#db)), cause)
  }

  /** @param {number} status @returns {number} */
  #check(status) {
    if (status < 0) throw this.#failure(status)
    return status
  }

  /** @param {number} at */
  #cString(at) {
    const bytes = this.#bytes()
    const start = at >>> 0
    return decoder.decode(bytes.slice(start, bytes.indexOf(0, start)))
  }

  // ---- Bytes in and out

  /** Writes a key, a name or a path to io.key and returns its size.
   * @param {Bytes} key */
  #putKey(key) {
    if (this.#u8.length === 0) this.#renew()
    if (typeof key !== 'string') {
      if (key.length > abi.KEY_SIZE_MAX) throw keyTooLarge(key.length)
      this.#u8.set(key, this.#key)
      return key.length
    }
    const size = key.length
    if (size <= SHORT) {
      const u8 = this.#u8
      const at = this.#key
      let i = 0
      for (; i < size; i++) {
        const c = key.charCodeAt(i)
        if (c > 127) break
        u8[at + i] = c
      }
      if (i === size) return size
    }
    refuseLoneSurrogates(key)
    const { read, written } = encoder.encodeInto(key, this.#keyView)
    if (read < size || written > abi.KEY_SIZE_MAX) throw keyTooLarge(size)
    return written
  }

  /** Writes bytes at an address that has room for them and returns their size.
   * @param {Bytes} data @param {number} at @param {number} room */
  #putBytes(data, at, room) {
    if (typeof data !== 'string') {
      this.#u8.set(data, at)
      return data.length
    }
    const size = data.length
    if (size <= SHORT) {
      const u8 = this.#u8
      let i = 0
      for (; i < size; i++) {
        const c = data.charCodeAt(i)
        if (c > 127) break
        u8[at + i] = c
      }
      if (i === size) return size
    }
    refuseLoneSurrogates(data)
    if (this.#buffer !== null) return this.#buffer.utf8Write(data, at, room)
    return encoder.encodeInto(data, this.#u8.subarray(at, at + room)).written
  }

  /** What a consumer gets of size bytes at an address. @param {number} at @param {number} size @param {boolean} ascii
   * @param {number} form */
  #take(at, size, ascii, form) {
    if (form === FORM_TEXT) return this.#text(at, size, ascii)
    if (form === FORM_BUFFER && NodeBuffer !== undefined) {
      const copy = NodeBuffer.allocUnsafe(size)
      this.#buffer.copy(copy, 0, at, at + size)
      return copy
    }
    return this.#u8.slice(at, at + size)
  }

  /** @param {number} at @param {number} size @param {boolean} ascii */
  #text(at, size, ascii) {
    if (size === 0) return ''
    if (this.#buffer === null) return decoder.decode(this.#u8.subarray(at, at + size))
    return ascii ? this.#buffer.latin1Slice(at, at + size) : this.#buffer.utf8Slice(at, at + size)
  }

  // ---- Open, close, care

  /**
   * @param {string} path
   * @param {number[]} options in the order of db_open
   */
  open(path, options) {
    const size = this.#putKey(path)
    const numbers = new Float64Array(this.#memory.buffer, this.#number * 8, abi.ABI_NUMBERS)
    numbers.fill(0)
    numbers.set(options)
    this.#check(this.#call.db_open(size))
    this.#db = this.#result(0)
  }

  close() {
    this.#check(this.#call.db_close(this.#db))
    this.#call = deadTable(closedError('the database'))
    this.#bridge.releaseAll()
  }

  /** Gives the files and the lock back without asking the engine. */
  abandon() {
    this.#call = deadTable(closedError('the database'))
    this.#bridge.releaseAll()
  }

  /** Runs a long call. Meanwhile the engine is in the middle of something: other calls are refused.
   * @param {Progress | undefined} progress @param {(call: any, on: number) => number} run */
  #long(progress, run) {
    const call = this.#call
    const busy = statusError(
      STATUS.BUSY,
      'the database cannot be used from inside onProgress: wait for the call to end',
    )
    this.#progress = progress ?? null
    this.#call = { ...deadTable(busy), errmsg: call.errmsg }
    try {
      const status = run(call, progress === undefined ? 0 : 1)
      this.#call = call
      return status
    } catch (error) {
      if (this.#call.errmsg === call.errmsg) this.#call = call
      throw error
    } finally {
      this.#progress = null
    }
  }

  /** @returns {any} the JSON text in the page */
  #json() {
    const at = this.#result(0)
    return JSON.parse(this.#text(at, this.#result(1), true))
  }

  stats() {
    this.#check(this.#call.db_stats(this.#db))
    return this.#json()
  }

  /** @param {Progress} [progress] */
  compact(progress) {
    this.#check(this.#long(progress, (call, on) => call.db_compact(this.#db, on)))
  }

  flush() {
    this.#check(this.#call.db_flush(this.#db))
  }

  /** What was read and found right; `error` when something was not. @param {Progress} [progress] */
  verify(progress) {
    const status = this.#long(progress, (call, on) => call.db_verify(this.#db, on))
    if (status < 0 && status !== STATUS.CORRUPT) throw this.#failure(status)
    const error = status < 0 ? /** @type {Error} */ (this.#failure(status)) : null
    return { report: this.#json(), error }
  }

  /** @param {string} target @param {Progress} [progress] */
  backup(target, progress) {
    const size = this.#putKey(target)
    this.#check(this.#long(progress, (call, on) => call.db_backup(this.#db, size, on)))
    return this.#json()
  }

  /** @param {string} backup @param {string} target @param {Progress} [progress] */
  restore(backup, target, progress) {
    const both = this.#putKey(`${backup}\0${target}`)
    const first = encoder.encode(backup).length
    this.#check(this.#long(progress, (call, on) => call.restore(first, both - first - 1, on)))
  }

  sync() {
    this.#check(this.#call.db_sync(this.#db))
  }

  /** Background work for about `budget` bytes. True when there is more. @param {number} budget */
  work(budget) {
    return this.#check(this.#call.db_work(this.#db, budget)) === 1
  }

  // ---- Reading

  /** @param {number} keyspace @param {number} snapshot @param {Bytes} key @param {number} form */
  get(keyspace, snapshot, key, form) {
    const keySize = this.#putKey(key)
    let size
    try {
      size = this.#call.db_get(this.#db, keyspace, snapshot, keySize)
    } catch (error) {
      throw error instanceof DatabaseError ? error : this.#stop(error)
    }
    if (size < 0) {
      if (size === abi.ABI_ABSENT) return undefined
      throw this.#failure(size)
    }
    const at = this.#result(0)
    const value = this.#take(at, size, this.#u32[this.#out + 1] === 1, form)
    if (this.#u32[this.#out + 2] === 1) this.#call.db_release()
    return value
  }

  /** @param {number} keyspace @param {number} snapshot @param {Bytes} key */
  has(keyspace, snapshot, key) {
    return this.#check(this.#call.db_has(this.#db, keyspace, snapshot, this.#putKey(key))) === 1
  }

  /** The values of many keys, in one crossing a megabyte.
   * @param {number} keyspace @param {number} snapshot @param {readonly Bytes[]} keys @param {number} form */
  getMany(keyspace, snapshot, keys, form) {
    this.#used = 0
    try {
      for (const key of keys) this.#stageSized(key)
      const end = this.#used
      /** @type {any[]} */
      const values = []
      for (let at = 0; at < end; at = this.#result(3)) {
        this.#check(this.#call.db_get_many(this.#db, keyspace, snapshot, at, end, PAGE_BUDGET))
        this.#takeMany(values, this.#result(2), form)
      }
      return values
    } finally {
      this.#unstage()
    }
  }

  /** @param {Bytes} key */
  #stageSized(key) {
    const room = roomOf(key)
    const at = this.#reserve(4 + room + 4)
    const size = this.#putBytes(key, at + 4, room)
    if (size > abi.KEY_SIZE_MAX) throw keyTooLarge(size)
    if (size === 0) throw statusError(STATUS.KEY_EMPTY)
    this.#u32[at >>> 2] = size
    this.#used += (4 + size + 3) & ~3
  }

  /** @param {any[]} values @param {number} count @param {number} form */
  #takeMany(values, count, form) {
    let at = this.#result(0)
    for (let i = 0; i < count; i++) {
      const word = this.#u32[at >>> 2]
      at += 4
      if (word === abi.ABI_MISSING) {
        values.push(undefined)
        continue
      }
      const size = word & 0x7fffffff
      values.push(this.#take(at, size, word >= abi.ABI_ASCII, form))
      at += (size + 3) & ~3
    }
  }

  // ---- Writing: changes are staged, then committed

  /** The address of `size` more bytes of the stage. @param {number} size */
  #reserve(size) {
    const end = this.#used + size
    if (end > this.#capacity) {
      if (end > 0x7fffffff) throw statusError(STATUS.LIMIT, 'one batch may hold at most 2,147,483,647 bytes')
      this.#check(this.#call.stage(this.#used, end))
      this.#stage = this.#result(0)
      this.#capacity = this.#result(1)
    }
    if (this.#u8.length === 0) this.#renew()
    return this.#stage + this.#used
  }

  /** @param {number} keyspace @param {Bytes} key @param {Bytes} value */
  stagePut(keyspace, key, value) {
    this.#stageChange(abi.ABI_OP_PUT, keyspace, key, value)
  }

  /** @param {number} keyspace @param {Bytes} key */
  stageDel(keyspace, key) {
    this.#stageChange(abi.ABI_OP_DEL, keyspace, key, '')
  }

  /** @param {number} keyspace @param {Uint8Array} begin @param {Uint8Array} end */
  stageClear(keyspace, begin, end) {
    this.#stageChange(abi.ABI_OP_CLEAR, keyspace, begin, end)
  }

  /** @param {number} kind @param {number} keyspace @param {Bytes} key @param {Bytes} value */
  #stageChange(kind, keyspace, key, value) {
    const keyRoom = roomOf(key)
    const valueRoom = roomOf(value)
    if (value.length > abi.VALUE_SIZE_MAX) throw valueTooLarge(value.length)
    const at = this.#reserve(16 + keyRoom + valueRoom + 4)
    const keySize = this.#putBytes(key, at + 16, keyRoom)
    if (kind !== abi.ABI_OP_CLEAR) {
      if (keySize === 0) throw statusError(STATUS.KEY_EMPTY)
      if (keySize > abi.KEY_SIZE_MAX) throw keyTooLarge(keySize)
    }
    const valueSize = this.#putBytes(value, at + 16 + keySize, valueRoom)
    if (valueSize > abi.VALUE_SIZE_MAX) throw valueTooLarge(valueSize)
    const word = at >>> 2
    const u32 = this.#u32
    u32[word] = kind
    u32[word + 1] = keyspace
    u32[word + 2] = keySize
    u32[word + 3] = valueSize
    this.#used += (16 + keySize + valueSize + 3) & ~3
  }

  /** Forgets what was staged after `mark`. @param {number} mark */
  rewind(mark) {
    this.#used = mark
  }

  /** Commits the staged changes [begin, end) as one batch; they stay staged. @param {number} durability
   * @param {number} begin @param {number} end */
  commit(durability, begin, end) {
    this.#check(this.#call.db_write(this.#db, begin, end, durability))
  }

  /** Forgets all that is staged. */
  discard() {
    this.#unstage()
  }

  #unstage() {
    this.#used = 0
    if (this.#capacity > STAGE_KEEP) {
      this.#call.unstage()
      this.#capacity = 0
    }
  }

  // ---- Iterators

  /** @param {import('./range.js').Span} span */
  #stageSpan(span) {
    /** @param {Bytes} bound */
    const add = (bound) => {
      const room = roomOf(bound)
      const at = this.#reserve(room)
      const size = this.#putBytes(bound, at, room)
      this.#used += size
      return size
    }
    this.#used = 0
    const sizes = [add(span.lower), add(span.upper), add(span.prefix)]
    this.#used = 0
    return sizes
  }

  /** @param {number} keyspace @param {number} snapshot @param {import('./range.js').Span} span */
  openIterator(keyspace, snapshot, span) {
    const [lower, upper, prefix] = this.#stageSpan(span)
    const reverse = span.reverse ? 1 : 0
    this.#check(this.#call.iter_open(this.#db, keyspace, snapshot, lower, upper, prefix, reverse))
    return this.#result(0)
  }

  /** @param {number} iterator */
  closeIterator(iterator) {
    this.#call.iter_close(iterator)
  }

  /** @param {number} iterator @param {Bytes} key */
  seekIterator(iterator, key) {
    this.#check(this.#call.iter_seek(iterator, this.#putKey(key)))
  }

  /** The next rows: keys and values are appended to the arrays that are not null. True when there are no more.
   * @param {number} iterator @param {any[] | null} keys @param {any[] | null} values @param {number} rows
   * @param {number} bytes @param {number} keyForm @param {number} valueForm */
  readPage(iterator, keys, values, rows, bytes, keyForm, valueForm) {
    const mode = (keys === null ? 0 : abi.ABI_KEYS) | (values === null ? 0 : abi.ABI_VALUES)
    const count = this.#check(this.#call.iter_page(iterator, mode, rows, bytes))
    let at = this.#result(0)
    const done = this.#result(2) === 1
    for (let i = 0; i < count; i++) {
      const keyWord = this.#u32[at >>> 2]
      const valueWord = this.#u32[(at >>> 2) + 1]
      const keySize = keyWord & 0x7fffffff
      const valueSize = valueWord & 0x7fffffff
      at += 8
      if (keys !== null) keys.push(this.#take(at, keySize, keyWord >= abi.ABI_ASCII, keyForm))
      at += keySize
      if (values !== null) values.push(this.#take(at, valueSize, valueWord >= abi.ABI_ASCII, valueForm))
      at += valueSize + (-(keySize + valueSize) & 3)
    }
    return done
  }

  /** @param {number} keyspace @param {number} snapshot @param {import('./range.js').Span} span */
  count(keyspace, snapshot, span) {
    const [lower, upper, prefix] = this.#stageSpan(span)
    this.#check(this.#call.db_count(this.#db, keyspace, snapshot, lower, upper, prefix))
    return this.#result(1) * 2 ** 32 + this.#result(0)
  }

  // ---- Snapshots and keyspaces

  openSnapshot() {
    this.#check(this.#call.snapshot_open(this.#db))
    return { handle: this.#result(0), sequence: this.#result(3) * 2 ** 32 + this.#result(2) }
  }

  /** @param {number} snapshot */
  closeSnapshot(snapshot) {
    this.#call.snapshot_close(snapshot)
  }

  /** @param {string} name */
  openKeyspace(name) {
    this.#check(this.#call.keyspace_open(this.#db, this.#putKey(name)))
    return this.#result(0)
  }

  /** @param {string} name */
  dropKeyspace(name) {
    return this.#check(this.#call.keyspace_drop(this.#db, this.#putKey(name))) === 1
  }

  keyspaces() {
    this.#check(this.#call.keyspace_list(this.#db))
    /** @type {string[]} */
    const names = []
    let at = this.#result(0)
    const end = at + this.#result(1)
    while (at < end) {
      const size = this.#u32[at >>> 2] & 0x7fffffff
      names.push(this.#text(at + 4, size, false))
      at += 4 + ((size + 3) & ~3)
    }
    return names
  }
}

/** Room that bytes or a string may take. @param {Bytes} data */
function roomOf(data) {
  if (typeof data !== 'string') return data.length
  if (data.length <= 4096) return 3 * data.length
  return NodeBuffer === undefined ? 3 * data.length : NodeBuffer.byteLength(data)
}

/** @param {number} size */
function keyTooLarge(size) {
  return statusError(STATUS.KEY_TOO_LARGE, `a key may have at most 65,536 bytes; this one has ${size} or more`)
}

/** @param {number} size */
function valueTooLarge(size) {
  return statusError(STATUS.VALUE_TOO_LARGE, `a value may have at most 1 GiB; this one has ${size} bytes or more`)
}

/** What the C library asks of a WASI host though the engine never uses it: standard output that nobody reads.
 * @param {() => Uint8Array} bytes */
function wasiImports(bytes) {
  return {
    /** @param {number} _file @param {number} vectors @param {number} count @param {number} written */
    fd_write: (_file, vectors, count, written) => {
      const view = new DataView(bytes().buffer)
      let size = 0
      for (let i = 0; i < count; i++) size += view.getUint32((vectors >>> 0) + 8 * i + 4, true)
      view.setUint32(written >>> 0, size, true)
      return 0
    },
    fd_close: () => 0,
    fd_seek: () => 70,
    fd_read: () => 8,
    /** @param {number} code */
    proc_exit: (code) => {
      throw new WebAssembly.RuntimeError(`the engine asked to exit with code ${code}`)
    },
  }
}

// module.js: one instance of the wasm module, and the only file that touches its memory. src/api/api_wasm.h describes
// what lies where. engine.js calls it.
//
// Invariants
//   1. No view of the memory leaves this file, but for the duration of a host call: the memory moves when it grows.
//   2. A wasm call may grow the memory. Views are renewed when theirs has gone (its length is then 0).
//   3. The stage holds the changes that are not committed yet, and nothing else, whenever `used` > 0.

import * as abi from './abi.js'
import { STATUS } from './abi.js'
import { Bridge } from './bridge.js'
import { callTable, deadTable } from './calls.js'
import { FORM_BUFFER, FORM_TEXT, refuseLoneSurrogates } from './encodings.js'
import { statusError } from './errors.js'
import { traitsOf } from './host/host.js'
import { wasiImports } from './wasi_imports.js'

/** @typedef {string | Uint8Array} Bytes */
/** @typedef {(done: number, total: number) => unknown} Progress */

/** The index keys of a row, whose key and value are read in the form that is asked for.
 * @typedef {(key: (form: number) => any, value: (form: number) => any) => Uint8Array[]} Extract */

const NodeBuffer = globalThis.Buffer
const EXTRACTING = deadTable(
  statusError(STATUS.BUSY, 'the database cannot be used by a function that tells index keys: it is given all it needs'),
)
const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { ignoreBOM: true })
const SHORT = 24 // strings up to this many characters are written faster by hand
const STAGE_KEEP = 1 << 20

export class Module {
  #memory
  #u8 = new Uint8Array(0)
  #u32 = new Uint32Array(0)
  /** @type {any} the same bytes as a Buffer, where there is such a class */
  #buffer = null
  #keyView = new Uint8Array(0)
  #key = 0
  #out = 0 // index into #u32
  #number = 0
  #stage = 0
  #indexRoom
  #capacity = 0
  /** @type {any} the exports; see calls.js */
  call
  bridge
  /** Bytes of changes that are not committed yet. */
  used = 0
  /** @type {Progress | null} */
  progress = null
  /** @type {unknown} thrown by a progress callback, or by an extractor */
  thrown = null
  /** What tells the index keys of rows. @type {Map<number, Extract>} */
  extractors = new Map()

  /**
   * @param {WebAssembly.Module} compiled
   * @param {import('./host/host.js').Host} host
   */
  constructor(compiled, host) {
    this.bridge = new Bridge(host)
    const instance = new WebAssembly.Instance(compiled, this.#imports())
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
    this.call = callTable(exports, (error) => this.stop(error))
    this.#indexRoom = exports.index_room
    this.#renew()
    const io = exports.io() >>> 2
    this.#key = this.#u32[io]
    this.#out = this.#u32[io + 2] >>> 2
    this.#number = this.#u32[io + 3] >>> 3
    this.#renew()
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

  /** What the last call left in io.out. @param {number} index */
  result(index) {
    if (this.#u8.length === 0) this.#renew()
    return this.#u32[this.#out + index]
  }

  /** @param {number[]} numbers for io.number */
  putNumbers(numbers) {
    const room = new Float64Array(this.#memory.buffer, this.#number * 8, abi.ABI_NUMBERS)
    room.fill(0)
    room.set(numbers)
  }

  /** The engine trapped, or ran out of stack: whatever it was doing is half done, so nothing more is asked of it.
   * @param {unknown} error */
  stop(error) {
    const reason = `the engine stopped at a fault (${String(error)})`
    const message = `${reason}; what was committed is safe: open the database again`
    const fault = statusError(STATUS.BUG, message, error)
    this.call = deadTable(fault)
    this.bridge.releaseAll()
    return fault
  }

  /** @param {number} status @returns {number} */
  check(status) {
    if (status < 0) throw this.failure(status)
    return status
  }

  /** The failure `status` of the last call. @param {number} status */
  failure(status) {
    if (this.thrown !== null) {
      const thrown = this.thrown
      this.thrown = null
      return thrown
    }
    const failure = this.bridge.failure
    this.bridge.failure = null
    const cause = failure !== null && failure.status === status ? failure.cause : undefined
    return statusError(status, this.#cString(this.call.errmsg(0)), cause)
  }

  /** @param {number} at */
  #cString(at) {
    const bytes = this.#bytes()
    const start = at >>> 0
    return decoder.decode(bytes.slice(start, bytes.indexOf(0, start)))
  }

  /** The functions that the engine imports. @returns {WebAssembly.Imports} */
  #imports() {
    const b = this.bridge
    /** @param {number} path @param {number} size */
    const text = (path, size) => decoder.decode(this.#bytes().slice(path >>> 0, (path >>> 0) + size))
    const host = {
      /** @param {number} path @param {number} size @param {number} flags */
      place_open: (path, size, flags) => b.guard(() => b.places.add(b.host.open(text(path, size), flags))),
      /** @param {number} place */
      place_traits: (place) => b.guard(() => traitsOf(b.places.at(place))),
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
      /** @param {number} id @param {number} key @param {number} keySize @param {number} value @param {number} size */
      index_extract: (id, key, keySize, value, size) => this.#onExtract(id, key >>> 0, keySize, value >>> 0, size),
      /** @param {number} done @param {number} total */
      progress: (done, total) => this.#onProgress(done, total),
    }
    const env = { emscripten_notify_memory_growth: () => {} }
    return { host, env, wasi_snapshot_preview1: wasiImports(() => this.#bytes()) }
  }

  /** @param {number} place @param {number} rows @param {number} room */
  #list(place, rows, room) {
    const found = this.bridge.list(place)
    if (found.length > room) return found.length
    const view = new Float64Array(this.#memory.buffer, rows, 3 * room)
    found.forEach((file, i) => view.set([file.kind, file.number, file.size], 3 * i))
    return found.length
  }

  /** @param {number} done @param {number} total */
  #onProgress(done, total) {
    try {
      return this.progress?.(done, total) === false ? 1 : 0
    } catch (error) {
      this.thrown = error
      return 1
    }
  }

  /** Asks an application for the index keys of a row, and writes them to where the engine looks for them. Meanwhile the
   * engine is in the middle of a change: calls are refused.
   * @param {number} id @param {number} key @param {number} keySize @param {number} value @param {number} size */
  #onExtract(id, key, keySize, value, size) {
    const call = this.call
    this.call = EXTRACTING
    try {
      const extract = /** @type {Extract} */ (this.extractors.get(id))
      const found = extract(
        (form) => this.take(key, keySize, false, form),
        (form) => this.take(value, size, false, form),
      )
      const total = found.reduce((sum, bytes) => sum + 4 + ((bytes.length + 3) & ~3), 0)
      let at = this.#indexRoom(total) >>> 0
      if (total > 0 && at === 0) return -1
      const u8 = this.#bytes()
      for (const bytes of found) {
        this.#u32[at >>> 2] = bytes.length
        u8.set(bytes, at + 4)
        at += 4 + ((bytes.length + 3) & ~3)
      }
      return found.length
    } catch (error) {
      this.thrown = error
      return -1
    } finally {
      this.call = call
    }
  }

  // ---- Bytes in and out

  /** Writes a key, a name or a path to io.key and returns its size.
   * @param {Bytes} key */
  putKey(key) {
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
  take(at, size, ascii, form) {
    if (form === FORM_TEXT) return this.text(at, size, ascii)
    if (form === FORM_BUFFER && NodeBuffer !== undefined) {
      const copy = NodeBuffer.allocUnsafe(size)
      this.#buffer.copy(copy, 0, at, at + size)
      return copy
    }
    return this.#u8.slice(at, at + size)
  }

  /** @param {number} at @param {number} size @param {boolean} ascii */
  text(at, size, ascii) {
    if (size === 0) return ''
    if (this.#buffer === null) return decoder.decode(this.#u8.subarray(at, at + size))
    return ascii ? this.#buffer.latin1Slice(at, at + size) : this.#buffer.utf8Slice(at, at + size)
  }

  /** A copy of bytes. @param {number} at @param {number} size */
  copy(at, size) {
    return this.#bytes().slice(at, at + size)
  }

  /** Copies into all of an array of the application's. @param {number} at @param {Uint8Array} target */
  copyTo(at, target) {
    target.set(this.#bytes().subarray(at, at + target.length))
  }

  /** @param {number} at @param {Uint8Array} bytes */
  write(at, bytes) {
    this.#bytes().set(bytes, at)
  }

  // ---- The stage: changes on their way in, keys, bounds

  /** The address of `size` more bytes of the stage. @param {number} size */
  #reserve(size) {
    if (this.call === EXTRACTING) this.call.stage()
    const end = this.used + size
    if (end > this.#capacity) {
      if (end > 0x7fffffff) throw statusError(STATUS.LIMIT, 'one batch may hold at most 2,147,483,647 bytes')
      this.check(this.call.stage(this.used, end))
      this.#stage = this.result(0)
      this.#capacity = this.result(1)
    }
    if (this.#u8.length === 0) this.#renew()
    return this.#stage + this.used
  }

  /** @param {number} kind @param {number} keyspace @param {Bytes} key @param {Bytes} value */
  stageChange(kind, keyspace, key, value) {
    const keyRoom = roomOf(key)
    const valueRoom = roomOf(value)
    if (value.length > abi.VALUE_SIZE_MAX) throw valueTooLarge(value.length)
    const at = this.#reserve(16 + keyRoom + valueRoom + 4)
    const keySize = this.#putBytes(key, at + 16, keyRoom)
    if (kind !== abi.ABI_OP_CLEAR) {
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
    this.used += (16 + keySize + valueSize + 3) & ~3
  }

  /** A key with its size before it. @param {Bytes} key */
  stageKey(key) {
    const room = roomOf(key)
    const at = this.#reserve(4 + room + 4)
    const size = this.#putBytes(key, at + 4, room)
    if (size > abi.KEY_SIZE_MAX) throw keyTooLarge(size)
    this.#u32[at >>> 2] = size
    this.used += (4 + size + 3) & ~3
  }

  /** Bounds have no header: their sizes are arguments. @param {Bytes} bound @returns {number} its size */
  stageBound(bound) {
    const room = roomOf(bound)
    const at = this.#reserve(room)
    const size = this.#putBytes(bound, at, room)
    this.used += size
    return size
  }

  /** Forgets all that is staged, and gives back what one large write took. */
  discard() {
    this.used = 0
    if (this.#capacity > STAGE_KEEP) {
      this.call.unstage()
      this.#capacity = 0
    }
  }

  // ---- Pages: rows and values on their way out

  /** A value as db_get left it. @param {number} size @param {number} form */
  takeValue(size, form) {
    const at = this.result(0)
    return this.take(at, size, this.#u32[this.#out + 1] === 1, form)
  }

  /** @param {any[]} values @param {number} count @param {number} form */
  takeMany(values, count, form) {
    let at = this.result(0)
    for (let i = 0; i < count; i++) {
      const word = this.#u32[at >>> 2]
      at += 4
      if (word === abi.ABI_MISSING) {
        values.push(undefined)
        continue
      }
      const size = word & 0x7fffffff
      values.push(this.take(at, size, word >= abi.ABI_ASCII, form))
      at += (size + 3) & ~3
    }
  }

  /** The rows of a page, appended to the arrays that are not null. @param {number} count @param {any[] | null} keys
   * @param {any[] | null} values @param {number} keyForm @param {number} valueForm */
  takeRows(count, keys, values, keyForm, valueForm) {
    let at = this.result(0)
    for (let i = 0; i < count; i++) {
      const keyWord = this.#u32[at >>> 2]
      const valueWord = this.#u32[(at >>> 2) + 1]
      const keySize = keyWord & 0x7fffffff
      const valueSize = valueWord & 0x7fffffff
      at += 8
      if (keys !== null) keys.push(this.take(at, keySize, keyWord >= abi.ABI_ASCII, keyForm))
      at += keySize
      if (values !== null) values.push(this.take(at, valueSize, valueWord >= abi.ABI_ASCII, valueForm))
      at += valueSize + (-(keySize + valueSize) & 3)
    }
  }

  /** The changes of a page. */
  takeChanges() {
    /** @type {import('./changes.js').Change[]} */
    const changes = []
    let at = this.result(0)
    const end = at + this.result(1)
    while (at < end) {
      const [kind = 0, keyspace = 0, keySize = 0, valueSize = 0] = this.#u32.subarray(at >>> 2, (at >>> 2) + 4)
      const key = this.#u8.slice(at + 16, at + 16 + keySize)
      changes.push({ kind, keyspace, key, value: this.#u8.slice(at + 16 + keySize, at + 16 + keySize + valueSize) })
      at += (16 + keySize + valueSize + 3) & ~3
    }
    return changes
  }

  /** The names of a page. */
  takeNames() {
    /** @type {string[]} */
    const names = []
    let at = this.result(0)
    const end = at + this.result(1)
    while (at < end) {
      const size = this.#u32[at >>> 2] & 0x7fffffff
      names.push(this.text(at + 4, size, false))
      at += 4 + ((size + 3) & ~3)
    }
    return names
  }

  /** The JSON text of a page. @returns {any} */
  takeJson() {
    return JSON.parse(this.text(this.result(0), this.result(1), true))
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

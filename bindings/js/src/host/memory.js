// memory.js: a host that keeps its files in JavaScript memory, under names, for as long as the host object lives. For
// tests, and for pages that want nothing stored. (A database opened at ':memory:' needs no files at all and uses no
// host's.)

import { FILE_SINGLE, HostError, OPEN_CREATE, PLACE_CREATE, SINGLE_ENDING, fileName, parseFileName } from './host.js'

/** @import { Host, HostFile, HostPlace } from './host.js' */

class MemoryBytes {
  bytes = new Uint8Array(1024)
  size = 0

  /** @param {number} size */
  grow(size) {
    if (size > this.bytes.length) {
      const larger = new Uint8Array(Math.max(size, 2 * this.bytes.length))
      larger.set(this.bytes.subarray(0, this.size))
      this.bytes = larger
    }
    if (size > this.size) this.size = size
  }

  /** @param {number} size */
  truncate(size) {
    if (size >= this.size) return
    this.bytes.fill(0, size, this.size)
    this.size = size
  }
}

/** @implements {HostFile} */
class MemoryFile {
  #store

  /** @param {MemoryBytes} store */
  constructor(store) {
    this.#store = store
  }

  /** @param {number} offset @param {Uint8Array} bytes @param {number} at @param {number} size */
  read(offset, bytes, at, size) {
    const store = this.#store
    const end = Math.min(offset + size, store.size)
    if (end <= offset) return 0
    bytes.set(store.bytes.subarray(offset, end), at)
    return end - offset
  }

  /** @param {number} offset @param {Uint8Array} bytes @param {number} at @param {number} size */
  write(offset, bytes, at, size) {
    this.#store.grow(offset + size)
    this.#store.bytes.set(bytes.subarray(at, at + size), offset)
  }

  /** @param {number} size */
  allocate(size) {
    this.#store.grow(size)
  }

  /** @param {number} size */
  truncate(size) {
    this.#store.truncate(size)
  }

  size() {
    return this.#store.size
  }

  sync() {}
  close() {}
}

class MemoryDirectory {
  /** @type {Map<string, MemoryBytes>} */
  files = new Map()
  locked = false
}

/** @implements {HostPlace} */
class MemoryPlace {
  foreign = false // nobody else puts names into this memory
  single
  #path
  #directory
  #gone
  #mine = false

  /** @param {string} path @param {MemoryDirectory} directory
   * @param {() => void} gone told when its one file is removed */
  constructor(path, directory, gone) {
    this.#gone = gone
    this.single = path.endsWith(SINGLE_ENDING)
    this.#path = path
    this.#directory = directory
  }

  /** @param {number} kind @param {number} number @param {number} flags */
  open(kind, number, flags) {
    const name = fileName(kind, number)
    let store = this.#directory.files.get(name)
    if ((flags & OPEN_CREATE) !== 0) {
      if (store !== undefined) throw new HostError('EXISTS', `${this.#path}/${name} exists already`)
      store = new MemoryBytes()
      this.#directory.files.set(name, store)
    }
    if (store === undefined) throw new HostError('MISSING', `${this.#path}/${name} does not exist`)
    return new MemoryFile(store)
  }

  /** @param {number} kind @param {number} number */
  remove(kind, number) {
    const name = fileName(kind, number)
    if (!this.#directory.files.delete(name)) throw new HostError('MISSING', `${this.#path}/${name} does not exist`)
    if (this.single) this.#gone()
  }

  syncDir() {}

  list() {
    const found = []
    for (const [name, store] of this.#directory.files) {
      const file = this.single ? { kind: FILE_SINGLE, number: 0 } : parseFileName(name)
      if (file !== null) found.push({ ...file, size: store.size })
    }
    return found
  }

  /** @param {number} _waitMs nobody else runs while this call does: waiting cannot help */
  lock(_waitMs) {
    if (this.#directory.locked) {
      throw new HostError('LOCKED', `${this.#path} is open already in this program: use the Database that has it open`)
    }
    this.#directory.locked = true
    this.#mine = true
  }

  unlock() {
    if (this.#mine) this.#directory.locked = false
    this.#mine = false
  }

  close() {
    this.unlock()
  }
}

/** @implements {Host} */
export class MemoryHost {
  name = 'memory'
  /** @type {Map<string, MemoryDirectory>} */
  #directories = new Map()
  #temporaries = 0

  /** @param {string} path @param {number} flags */
  open(path, flags) {
    let directory = this.#directories.get(path)
    if (directory === undefined) {
      if ((flags & PLACE_CREATE) === 0) throw new HostError('MISSING', `there is no database '${path}'`)
      directory = new MemoryDirectory()
      this.#directories.set(path, directory)
    }
    return new MemoryPlace(path, directory, () => this.#directories.delete(path))
  }

  /** @param {string} path @param {string} other */
  same(path, other) {
    return path === other
  }

  temporary() {
    return `temporary ${++this.#temporaries}${SINGLE_ENDING}`
  }

  nowUs() {
    return performance.now() * 1000
  }

  /** @param {Uint8Array} bytes */
  random(bytes) {
    for (let at = 0; at < bytes.length; at += 65536) crypto.getRandomValues(bytes.subarray(at, at + 65536))
  }

  memory() {
    return 0
  }
}

// web_host.js: what the hosts of a browser share. Such a host has the databases that were made ready for it, each one
// file under its name: opening storage takes promises there, which the engine cannot wait for. Temporary files are in
// memory.
//
// Invariants
//   1. A file that nobody created yet, or that was removed, is there with no bytes; it does not exist for the engine.
//   2. lock() and unlock() do nothing: whoever makes a host ready holds the Web Lock of the name.

import { FILE_SINGLE, HostError, OPEN_CREATE, PLACE_CREATE, SINGLE_ENDING } from './host.js'
import { MemoryHost } from './memory.js'
import { nameOfLocation } from './web_names.js'

/** @import { Host, HostFile, HostPlace } from './host.js' */

/** @import { StoredFile } from './stored_file.js' */

/**
 * @typedef {StoredFile & HostFile & { exists: boolean, create: () => void, remove: () => void,
 *   release: () => Promise<void> }} WebFile the file of one database. release() makes everything durable and gives all
 *   handles back.
 */

/** @implements {HostPlace} */
class WebPlace {
  foreign = false // nobody else puts names there
  single = true
  #name
  #file

  /** @param {string} name @param {WebFile} file */
  constructor(name, file) {
    this.#name = name
    this.#file = file
  }

  /** @param {number} kind @param {number} _number @param {number} flags */
  open(kind, _number, flags) {
    if (kind !== FILE_SINGLE) throw new HostError('BUG', `${this.#name} is one file and has no others`)
    const file = this.#file
    if ((flags & OPEN_CREATE) !== 0) {
      if (file.exists) throw new HostError('EXISTS', `${this.#name} exists already`)
      file.create()
    } else if (!file.exists) throw new HostError('MISSING', `there is no database '${this.#name}'`)
    return file
  }

  /** @param {number} _kind @param {number} _number */
  remove(_kind, _number) {
    if (!this.#file.exists) throw new HostError('MISSING', `there is no database '${this.#name}'`)
    this.#file.remove()
  }

  syncDir() {}

  list() {
    return this.#file.exists ? [{ kind: FILE_SINGLE, number: 0, size: this.#file.size() }] : []
  }

  /** @param {number} _waitMs */
  lock(_waitMs) {}
  unlock() {}
  close() {}
}

/** @implements {Host} */
export class WebHost {
  name
  /** @type {Map<string, WebFile>} */
  #files = new Map()
  #memory = new MemoryHost()

  /** @param {string} name of the kind of storage */
  constructor(name) {
    this.name = name
  }

  /** @param {string} name @param {WebFile} file */
  addFile(name, file) {
    this.#files.set(name, file)
  }

  /** @param {string} path @returns {WebFile | undefined} */
  fileAt(path) {
    return this.#files.get(nameOfLocation(path))
  }

  /** @param {string} path @param {number} flags @returns {HostPlace} */
  open(path, flags) {
    if (isTemporary(path)) return this.#memory.open(path, flags)
    const file = this.fileAt(path)
    if (file === undefined) {
      const names = [...this.#files.keys()].map((name) => `'${name}'`).join(', ')
      throw new HostError(
        'UNSUPPORTED',
        `'${path}' cannot be opened here: this host was opened for ${names || 'nothing'}`,
      )
    }
    if (!file.exists && (flags & PLACE_CREATE) === 0) throw new HostError('MISSING', `there is no database '${path}'`)
    return new WebPlace(nameOfLocation(path), file)
  }

  /** @param {string} path @param {string} other */
  same(path, other) {
    if (isTemporary(path) || isTemporary(other)) return path === other
    return nameOfLocation(path) === nameOfLocation(other)
  }

  temporary() {
    return `${TEMPORARY}${this.#memory.temporary()}`
  }

  nowUs() {
    return performance.now() * 1000
  }

  /** @param {Uint8Array} bytes */
  random(bytes) {
    this.#memory.random(bytes)
  }

  memory() {
    return 0
  }

  /** Resolves when what the engine wrote, or synced with 'strict', is so: at once where its calls did it.
   * @param {'relaxed' | 'strict'} [_durability] @returns {Promise<void>} */
  async settled(_durability) {}

  /** The bytes of a database's file as they are now, while it may be open and change.
   * @param {string} path @param {(done: number, total: number) => unknown} [onProgress] */
  exportStream(path, onProgress) {
    const file = this.fileAt(path)
    if (file === undefined || !file.exists) throw new HostError('MISSING', `there is no database '${path}'`)
    return file.stream(onProgress)
  }

  /** Settles when everything is durable and every handle is given back. */
  async close() {
    const files = [...this.#files.values()]
    this.#files.clear()
    for (const file of files) file.closing()
    const outcomes = await Promise.allSettled(files.map((file) => file.release()))
    for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason
  }
}

const TEMPORARY = 'memory\n'

/** @param {string} path */
function isTemporary(path) {
  return path.startsWith(TEMPORARY) && path.endsWith(SINGLE_ENDING)
}

// opfs.js: databases in the origin's private file system, each one file (see web_names.js) behind one synchronous
// access handle, which exists in dedicated workers only. Every call of the engine is one call of the browser; the
// engine gathers what belongs together (a group of commits is one write) and says when to flush.
//
// A handle excludes every other one, in all tabs. After a tab died its handle may be there for some milliseconds more,
// although its Web Lock is free already, so opening tries again for a while.
//
// Invariants
//   1. #size is the size of the file, and does not ask the browser: nobody else can change it.
//   2. A file of no bytes is no database; one that is still empty when the host is closed is removed.

import { STATUS } from '../abi.js'
import { HostError } from './host.js'
import { ReadAhead } from './read_ahead.js'
import { StoredFile } from './stored_file.js'
import { errorName, webError, withDeadline } from './web_errors.js'
import { WebHost } from './web_host.js'
import { DIRECTORY, fileOfName, nameOfLocation } from './web_names.js'

/** @import { WebFile } from './web_host.js' */

const WAIT_MS = 2000
const DEADLINE_MS = 10_000
const PAUSE_FIRST_MS = 2
const PAUSE_MAX_MS = 50

/** The handle that a dedicated worker gets of a file. TypeScript's DOM library has it in that of workers only.
 * @typedef {object} SyncAccessHandle
 * @property {(bytes: Uint8Array, options: { at: number }) => number} read
 * @property {(bytes: Uint8Array, options: { at: number }) => number} write
 * @property {(size: number) => void} truncate
 * @property {() => number} getSize
 * @property {() => void} flush
 * @property {() => void} close
 */

/** @implements {WebFile} */
class OpfsFile extends StoredFile {
  exists
  #name
  #handle
  #discard
  #size
  #dirty = false
  #ahead = new ReadAhead()

  /** @param {string} name @param {SyncAccessHandle} handle @param {() => Promise<void>} discard removes the file */
  constructor(name, handle, discard) {
    super()
    this.#name = name
    this.#handle = handle
    this.#discard = discard
    this.#size = handle.getSize()
    this.exists = this.#size > 0
  }

  create() {
    this.exists = true
  }

  remove() {
    this.truncate(0)
    this.exists = false
  }

  /** @override @param {number} offset @param {Uint8Array} bytes @param {number} at @param {number} size */
  read(offset, bytes, at, size) {
    const wanted = Math.min(size, this.#size - offset)
    if (wanted <= 0) return 0
    this.#ahead.read(offset, bytes, at, wanted, this.#size, this.#readAll)
    return wanted
  }

  #readAll = (
    /** @type {number} */ offset,
    /** @type {Uint8Array} */ bytes,
    /** @type {number} */ at,
    /** @type {number} */ size,
  ) => {
    for (let done = 0; done < size;) {
      const got = this.#call('read', () =>
        this.#handle.read(bytes.subarray(at + done, at + size), { at: offset + done }),
      )
      if (got === 0) throw new HostError('IO', `cannot read ${this.#name}: it is shorter than it was`)
      done += got
    }
  }

  /** @param {number} offset @param {Uint8Array} bytes @param {number} at @param {number} size */
  write(offset, bytes, at, size) {
    this.changing(offset, offset + size)
    this.#ahead.changing(offset, offset + size)
    this.#dirty = true
    let done = 0
    while (done < size) {
      const put = this.#change('write', () =>
        this.#handle.write(bytes.subarray(at + done, at + size), { at: offset + done }),
      )
      if (put === 0) {
        this.#size = this.#handle.getSize()
        throw new HostError('FULL', `cannot write ${this.#name}: the browser has no more room for this site`)
      }
      done += put
    }
    if (offset + size > this.#size) this.#size = offset + size
  }

  /** @param {number} size */
  allocate(size) {
    if (size > this.#size) this.#resize(size)
  }

  /** @param {number} size */
  truncate(size) {
    if (size < this.#size) this.#resize(size)
  }

  /** @param {number} size */
  #resize(size) {
    this.changing(size, this.#size)
    this.#ahead.changing(size, Infinity)
    this.#dirty = true
    this.#change('resize', () => this.#handle.truncate(size))
    this.#size = size
  }

  /** @override */
  size() {
    return this.#size
  }

  sync() {
    this.#call('flush', () => this.#handle.flush())
    this.#dirty = false
  }

  close() {} // the handle stays until release(): opening one takes a promise

  async release() {
    try {
      if (this.#dirty) this.sync()
    } finally {
      this.#handle.close()
    }
    if (this.#size === 0) await this.#discard()
  }

  /** @template T @param {string} what @param {() => T} run @returns {T} */
  #call(what, run) {
    try {
      return run()
    } catch (error) {
      throw webError(error, `cannot ${what} ${this.#name}`)
    }
  }

  /** A call that may have changed the size although it failed. @template T @param {string} what @param {() => T} run
   * @returns {T} */
  #change(what, run) {
    try {
      return run()
    } catch (error) {
      try {
        this.#size = this.#handle.getSize()
      } catch {
        // The handle is gone, and with it the file for us: the first error says why.
      }
      throw webError(error, `cannot ${what} ${this.#name}`)
    }
  }
}

/** The directory of all databases; null when `create` is false and there is none. @param {boolean} create
 * @returns {Promise<FileSystemDirectoryHandle | null>} */
export async function opfsDirectory(create) {
  const storage = globalThis.navigator?.storage
  if (typeof storage?.getDirectory !== 'function') {
    throw new HostError(
      'UNSUPPORTED',
      'this browser has no private file system, or the page is not a secure one (https)',
    )
  }
  try {
    const root = await withDeadline(storage.getDirectory(), DEADLINE_MS, 'opening the private file system')
    return await withDeadline(root.getDirectoryHandle(DIRECTORY, { create }), DEADLINE_MS, `opening ${DIRECTORY}`)
  } catch (error) {
    if (!create && errorName(error) === 'NotFoundError') return null
    throw webError(error, 'the private file system cannot be opened')
  }
}

/** The handle of a file, when whoever has it gives it back within `wait` milliseconds. A shared one, where the browser
 * has such, excludes those that are not shared.
 * @param {any} file @param {string} name @param {number} [wait] @param {boolean} [shared]
 * @returns {Promise<SyncAccessHandle>} */
export async function openHandle(file, name, wait = WAIT_MS, shared = false) {
  const mode = shared ? 'readwrite-unsafe' : 'readwrite'
  const until = performance.now() + wait
  for (let pause = PAUSE_FIRST_MS; ; pause = Math.min(2 * pause, PAUSE_MAX_MS)) {
    try {
      const opening = /** @type {Promise<SyncAccessHandle>} */ (file.createSyncAccessHandle({ mode }))
      return await withDeadline(opening, DEADLINE_MS, `opening ${name}`, (late) => late.close())
    } catch (error) {
      const held = errorName(error) === 'NoModificationAllowedError'
      if (!held || performance.now() >= until) throw webError(error, `${name} cannot be opened`)
    }
    await new Promise((resolve) => setTimeout(resolve, pause))
  }
}

/** @param {string} fileName @param {number} wait @param {boolean} shared */
async function openFile(fileName, wait, shared) {
  const directory = /** @type {FileSystemDirectoryHandle} */ (await opfsDirectory(true))
  let file
  try {
    const opening = directory.getFileHandle(fileName, { create: true })
    file = await withDeadline(opening, DEADLINE_MS, `opening ${fileName}`)
  } catch (error) {
    throw webError(error, `${fileName} cannot be opened`)
  }
  if (!('createSyncAccessHandle' in file)) {
    throw new HostError('UNSUPPORTED', 'the private file system can be written in dedicated workers only')
  }
  const handle = await openHandle(file, fileName, wait, shared)
  const discard = () => directory.removeEntry(fileName).catch(() => {}) // empty, so it counts for nothing
  return new OpfsFile(fileName, handle, discard)
}

class OpfsHost extends WebHost {
  #wait
  #shared

  /** @param {number} wait @param {boolean} shared */
  constructor(wait, shared) {
    super('opfs')
    this.#wait = wait
    this.#shared = shared
  }

  /** Makes one more database ready. @param {string} location */
  async prepare(location) {
    const name = nameOfLocation(location)
    if (this.fileAt(name) !== undefined) return
    const fileName = fileOfName(name)
    for (let attempt = 0; ; attempt++) {
      try {
        return this.addFile(name, await openFile(fileName, this.#wait, this.#shared))
      } catch (error) {
        // Whoever had it may have removed it at its end, because it was empty.
        if (attempt === 2 || !(error instanceof HostError) || error.status !== STATUS.MISSING) throw error
      }
    }
  }
}

/**
 * A host for the database `name`. Whoever calls this holds its Web Lock.
 * @param {string} name
 * @param {{ wait?: number, shared?: boolean }} [options] wait: milliseconds in which a handle that is still held may be
 *   given back; shared: others may have a handle as well, and the caller sees to it that only one writes
 */
export async function openOpfsHost(name, { wait = WAIT_MS, shared = false } = {}) {
  const host = new OpfsHost(wait, shared)
  await host.prepare(name)
  return host
}

/** Whether this browser can keep databases so, as far as that shows without trying. The handles show in dedicated
 * workers only; a page has to take them for granted. */
export function hasOpfs() {
  const handle = /** @type {any} */ (globalThis).FileSystemFileHandle
  if (handle === undefined || typeof globalThis.navigator?.storage?.getDirectory !== 'function') return false
  return typeof globalThis.document !== 'undefined' || typeof handle.prototype.createSyncAccessHandle === 'function'
}

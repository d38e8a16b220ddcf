// node.js: a directory of the file system, or one file in it, by Node's synchronous calls. File descriptors stay open,
// reads and writes name their offset, and syncs are real.

import fs from 'node:fs'
import os from 'node:os'
import { randomFillSync, randomUUID } from 'node:crypto'
import { dirname, join } from 'node:path'
import { FILE_SINGLE, HostError, OPEN_CREATE, OPEN_WRITE, PLACE_CREATE, PLACE_READ_ONLY } from './host.js'
import { SINGLE_ENDING, fileName, isOurs, parseFileName } from './host.js'
import { systemError } from './node_errors.js'
import { NodeLock } from './node_lock.js'
import { findFile, fullPath, identityOf, isOneFile, statOf } from './node_path.js'

/** @import { Host, HostFile, HostPlace } from './host.js' */

/** Places that hold a lock, to be given back when the process ends.
 * @type {Set<NodeLock>} */
const held = new Set()
let exitHandler = false

function giveBackAtExit() {
  if (exitHandler) return
  exitHandler = true
  process.on('exit', () => {
    for (const lock of held) {
      try {
        lock.give()
      } catch {
        // The process is going: whoever comes next sees that the owner is dead.
      }
    }
  })
}

/** The lock, or null when there can be none: nobody can own what nobody can write.
 * @param {NodeLock} lock @param {number} waitMs @param {boolean} readOnly */
function takeLock(lock, waitMs, readOnly) {
  try {
    lock.take(waitMs)
  } catch (error) {
    if (readOnly && error instanceof HostError && /** @type {any} */ (error.cause)?.code === 'EROFS') return null
    throw error
  }
  held.add(lock)
  giveBackAtExit()
  return lock
}

/** @param {NodeLock | null} lock */
function giveLock(lock) {
  if (lock === null) return
  held.delete(lock)
  lock.give()
}

/** @implements {HostFile} */
class NodeFile {
  #fd
  #path

  /** @param {number} fd @param {string} path */
  constructor(fd, path) {
    this.#fd = fd
    this.#path = path
  }

  /** @param {number} offset @param {Uint8Array} bytes @param {number} at @param {number} size */
  read(offset, bytes, at, size) {
    let done = 0
    try {
      while (done < size) {
        const got = fs.readSync(this.#fd, bytes, at + done, size - done, offset + done)
        if (got === 0) break
        done += got
      }
    } catch (error) {
      throw systemError(error, `cannot read ${size} bytes at ${offset} of ${this.#path}`)
    }
    return done
  }

  /** @param {number} offset @param {Uint8Array} bytes @param {number} at @param {number} size */
  write(offset, bytes, at, size) {
    let done = 0
    try {
      while (done < size) done += fs.writeSync(this.#fd, bytes, at + done, size - done, offset + done)
    } catch (error) {
      throw systemError(error, `cannot write ${size} bytes at ${offset} of ${this.#path}`)
    }
  }

  /** Node cannot reserve space; a longer file that reads as zeros is what it can do. @param {number} size */
  allocate(size) {
    if (this.size() < size) this.#resize(size)
  }

  /** @param {number} size */
  truncate(size) {
    this.#resize(size)
  }

  /** @param {number} size */
  #resize(size) {
    try {
      fs.ftruncateSync(this.#fd, size)
    } catch (error) {
      throw systemError(error, `cannot make ${this.#path} ${size} bytes long`)
    }
  }

  size() {
    try {
      return fs.fstatSync(this.#fd).size
    } catch (error) {
      throw systemError(error, `cannot tell the size of ${this.#path}`)
    }
  }

  sync() {
    try {
      fs.fdatasyncSync(this.#fd)
    } catch (error) {
      throw systemError(error, `cannot sync ${this.#path}`)
    }
  }

  close() {
    try {
      fs.closeSync(this.#fd)
    } catch (error) {
      throw systemError(error, `cannot close ${this.#path}`)
    }
  }
}

/** @implements {HostPlace} */
class NodePlace {
  foreign
  #shown
  #path
  #readOnly
  #fd
  #syncParent
  /** @type {NodeLock | null} */
  #lock = null

  /** @param {string} shown the path for messages @param {string} path the full path, so that a later chdir does not
   * move the database into another one's directory @param {boolean} readOnly */
  constructor(shown, path, readOnly) {
    const begun = holdsSuper(path)
    this.foreign = !begun && holdsForeign(path)
    this.#shown = shown
    this.#path = path
    this.#readOnly = readOnly
    this.#fd = openDirectory(path) // -1 where that cannot be
    this.#syncParent = !begun // its own name may not be durable yet, whoever made it
  }

  /** @param {number} kind @param {number} number */
  #name(kind, number) {
    return join(this.#path, fileName(kind, number))
  }

  /** @param {number} kind @param {number} number @param {number} flags */
  open(kind, number, flags) {
    const path = this.#name(kind, number)
    const mode = (flags & OPEN_CREATE) !== 0 ? 'wx+' : (flags & OPEN_WRITE) !== 0 ? 'r+' : 'r'
    try {
      return new NodeFile(fs.openSync(path, mode, 0o600), path)
    } catch (error) {
      throw systemError(error, `cannot open ${path}`)
    }
  }

  /** @param {number} kind @param {number} number */
  remove(kind, number) {
    const path = this.#name(kind, number)
    try {
      fs.unlinkSync(path)
    } catch (error) {
      throw systemError(error, `cannot remove ${path}`)
    }
  }

  syncDir() {
    if (this.#fd < 0) return
    try {
      fs.fsyncSync(this.#fd)
    } catch (error) {
      throw systemError(error, `cannot sync the directory ${this.#path}`)
    }
    if (this.#syncParent) syncNames(`${this.#path}/..`) // where the directory is, also behind a link
    this.#syncParent = false
  }

  list() {
    const found = []
    try {
      for (const name of fs.readdirSync(this.#path)) {
        const file = parseFileName(name)
        if (file !== null) found.push({ ...file, size: fs.statSync(join(this.#path, name)).size })
      }
    } catch (error) {
      throw systemError(error, `cannot list ${this.#path}`)
    }
    return found
  }

  /** @param {number} waitMs */
  lock(waitMs) {
    this.#lock = takeLock(new NodeLock(this.#shown, join(this.#path, 'LOCK')), waitMs, this.#readOnly)
  }

  unlock() {
    const lock = this.#lock
    this.#lock = null
    giveLock(lock)
  }

  close() {
    this.unlock()
    if (this.#fd >= 0) fs.closeSync(this.#fd)
    this.#fd = -1
  }
}

/**
 * One file, whose name the user gave. Within this thread it is also told by its identity, under which two hard links to
 * it are one.
 * @implements {HostPlace}
 */
class NodeFilePlace {
  single = true
  foreign = false // the engine looks into the file
  #path
  #file
  #readOnly
  /** @type {NodeLock | null} */
  #lock = null
  #identity = ''

  /** @type {Set<NodeFilePlace>} */
  static #open = new Set()

  /** @param {string} path for messages @param {string} file the full path @param {boolean} readOnly */
  constructor(path, file, readOnly) {
    this.#path = path
    this.#file = file
    this.#readOnly = readOnly
  }

  /** @param {number} kind */
  #check(kind) {
    if (kind !== FILE_SINGLE) throw new HostError('BUG', `${this.#path} holds no file of the kind ${kind}`)
  }

  /** @param {number} kind @param {number} _number @param {number} flags */
  open(kind, _number, flags) {
    this.#check(kind)
    const create = (flags & OPEN_CREATE) !== 0
    const mode = create ? 'wx+' : (flags & OPEN_WRITE) !== 0 ? 'r+' : 'r'
    try {
      const file = new NodeFile(fs.openSync(this.#file, mode, 0o600), this.#path)
      if (create) this.#identity = identityOf(this.#file)
      return file
    } catch (error) {
      throw systemError(error, `cannot open ${this.#path}`)
    }
  }

  /** @param {number} kind @param {number} _number */
  remove(kind, _number) {
    this.#check(kind)
    try {
      fs.unlinkSync(this.#file)
    } catch (error) {
      throw systemError(error, `cannot remove ${this.#path}`)
    }
  }

  syncDir() {
    const fd = openDirectory(dirname(this.#file))
    if (fd < 0) return
    try {
      fs.fsyncSync(fd)
    } catch (error) {
      throw systemError(error, `cannot sync the directory of ${this.#path}`)
    } finally {
      fs.closeSync(fd)
    }
  }

  list() {
    const stat = statOf(this.#file)
    return stat === undefined ? [] : [{ kind: FILE_SINGLE, number: 0, size: stat.size }]
  }

  /** @param {number} waitMs */
  lock(waitMs) {
    this.#identity = identityOf(this.#file)
    for (const other of NodeFilePlace.#open) {
      if (this.#identity === '' || other.#identity !== this.#identity || other.#file === this.#file) continue
      const message = `database ${this.#path} is open in this process already, by another path to the file`
      throw new HostError('LOCKED', `${message} (${other.#path}); close that first`)
    }
    this.#lock = takeLock(new NodeLock(this.#path, `${this.#file}-lock`), waitMs, this.#readOnly)
    if (this.#lock !== null) NodeFilePlace.#open.add(this)
  }

  unlock() {
    const lock = this.#lock
    this.#lock = null
    NodeFilePlace.#open.delete(this)
    giveLock(lock)
  }

  close() {
    this.unlock()
  }
}

/** @implements {Host} */
export class NodeHost {
  name = 'node'

  /** @param {string} path @param {number} flags */
  open(path, flags) {
    const readOnly = (flags & PLACE_READ_ONLY) !== 0
    if (isOneFile(path)) return new NodeFilePlace(path, findFile(path, flags), readOnly)
    let stat
    try {
      stat = fs.statSync(path, { throwIfNoEntry: false })
      if (stat === undefined && (flags & PLACE_CREATE) !== 0) {
        makeDirectory(path)
        stat = fs.statSync(path)
      }
    } catch (error) {
      throw error instanceof HostError ? error : systemError(error, `cannot open ${path}`)
    }
    if (stat === undefined)
      throw new HostError('MISSING', `there is no database at ${path}: the directory does not exist`)
    if (!stat.isDirectory())
      throw new HostError('NOT_DATABASE', `${path} is not a directory; a database is a directory or one file`)
    return new NodePlace(path, fullPath(path), readOnly)
  }

  /** @param {string} path @param {string} other */
  same(path, other) {
    try {
      return fs.realpathSync(path) === fs.realpathSync(other)
    } catch {
      return false // one of them is not there, as a target mostly is not
    }
  }

  temporary() {
    return join(os.tmpdir(), `varve-${randomUUID()}${SINGLE_ENDING}`)
  }

  nowUs() {
    return performance.now() * 1000
  }

  /** @param {Uint8Array} bytes */
  random(bytes) {
    randomFillSync(bytes)
  }

  memory() {
    return os.totalmem()
  }
}

/** Values may be secrets: what we make is its owner's alone, as it is natively. @param {string} path */
function makeDirectory(path) {
  try {
    fs.mkdirSync(path, 0o700)
  } catch (error) {
    const code = /** @type {NodeJS.ErrnoException} */ (error).code
    if (code === 'EEXIST') return
    if (code !== 'ENOENT') throw systemError(error, `cannot create the directory ${path}`)
    const message = `${path}: the directory above it does not exist; create that first`
    throw new HostError('MISSING', message, error)
  }
}

/** @param {string} path */
function holdsSuper(path) {
  try {
    return fs.lstatSync(join(path, 'SUPER'), { throwIfNoEntry: false }) !== undefined
  } catch (error) {
    throw systemError(error, `cannot list ${path}`)
  }
}

/** Beside a SUPER nobody asks: the directory is a database's, and may be a large one. @param {string} path */
function holdsForeign(path) {
  try {
    return fs.readdirSync(path).some((name) => !isOurs(name))
  } catch (error) {
    throw systemError(error, `cannot list ${path}`)
  }
}

/** A directory that we may not open is nobody's failure: it may not be ours. @param {string} path */
function syncNames(path) {
  let fd
  try {
    fd = fs.openSync(path, 'r')
  } catch {
    return
  }
  try {
    fs.fsyncSync(fd)
  } catch (error) {
    throw systemError(error, `cannot sync the directory ${path}`)
  } finally {
    fs.closeSync(fd)
  }
}

/** A descriptor for syncing names; Windows has none. @param {string} path */
function openDirectory(path) {
  try {
    return fs.openSync(path, 'r')
  } catch (error) {
    if (process.platform === 'win32') return -1
    throw systemError(error, `cannot open ${path}`)
  }
}

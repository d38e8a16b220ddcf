// storage.js: care for the databases that a browser keeps for a site: what there is, how much room, in and out as the
// bytes of a .varve file. Works in pages and in workers. A database that is open, in any tab, has its Web Lock held:
// delete, import and export of such a one fail with LOCKED (whoever has it open can export it: WebHost.exportStream).
//
// An import appears all at once: in the private file system it is written under another name and moved; in IndexedDB
// the row that says that the file exists is the last one.

import { STATUS } from './abi.js'
import { HostError } from './host/host.js'
import { MEMORY_LIMIT, openIdbHost } from './host/idb.js'
import { deleteIdb, sizeOfIdb } from './host/idb_rows.js'
import { hasOpfs, opfsDirectory, openHandle } from './host/opfs.js'
import { errorName, webError } from './host/web_errors.js'
import { UNFINISHED_ENDING, fileOfName, idbOfName, lockOfName, nameOfFile } from './host/web_names.js'
import { nameOfIdb, nameOfLocation } from './host/web_names.js'

/** @typedef {'opfs' | 'idb'} StorageKind */
/** @typedef {(done: number, total: number) => unknown} OnProgress total is 0 when it is not known */

const MAGIC = 'VARVEONE'
const LOCK_MS = 200

/** Asks the browser to keep this site's data when room is short. Some ask the user. True when it will. */
export async function persist() {
  const storage = globalThis.navigator?.storage
  return (await storage?.persist?.()) ?? false
}

/** What the browser says about this site's room, in bytes; `persisted`: it deletes nothing by itself. */
export async function estimate() {
  const storage = globalThis.navigator?.storage
  const { quota = 0, usage = 0 } = (await storage?.estimate?.()) ?? {}
  return { quota, usage, persisted: (await storage?.persisted?.()) ?? false }
}

/** Where databases are kept here. @returns {StorageKind} */
export function defaultStorage() {
  return hasOpfs() ? 'opfs' : 'idb'
}

/** The stored databases, by name. @returns {Promise<{ name: string, storage: StorageKind, size: number }[]>} */
export async function listDatabases() {
  const found = [...(await listOpfs()), ...(await listIdb())]
  return found.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0))
}

/** @returns {Promise<{ name: string, storage: StorageKind, size: number }[]>} */
async function listOpfs() {
  if (!hasOpfs()) return []
  const directory = /** @type {any} */ (await opfsDirectory(false).catch(nothingMayBeStored))
  if (directory === null) return []
  const found = []
  for await (const [file, handle] of directory.entries()) {
    const name = handle.kind === 'file' ? nameOfFile(file) : null
    if (name === null) continue
    const size = await handle.getFile().then(
      (/** @type {File} */ blob) => blob.size,
      () => 0, // it was removed meanwhile
    )
    if (size > 0) found.push({ name, storage: /** @type {const} */ ('opfs'), size })
  }
  return found
}

/** In a private window there is nothing, which is no failure. @param {unknown} error */
function nothingMayBeStored(error) {
  if (error instanceof HostError && error.status === STATUS.UNSUPPORTED) return null
  throw error
}

/** @returns {Promise<{ name: string, storage: StorageKind, size: number }[]>} */
async function listIdb() {
  const all = (await globalThis.indexedDB?.databases?.()) ?? []
  const found = []
  for (const { name: idb } of all) {
    const name = nameOfIdb(idb)
    const size = name === null ? null : await sizeOfIdb(/** @type {string} */ (idb), name)
    if (name !== null && size !== null) found.push({ name, storage: /** @type {const} */ ('idb'), size })
  }
  return found
}

/** Holds the Web Lock of a database until it is given back. LOCKED when somebody has it, and does not give it back
 * within a moment: some browsers take their time. @param {string} name
 * @returns {Promise<() => Promise<void>>} what gives it back */
function holdLock(name) {
  const locks = globalThis.navigator?.locks
  if (locks === undefined) return Promise.resolve(async () => {})
  return new Promise((resolve, reject) => {
    const signal = AbortSignal.timeout(LOCK_MS)
    const held = locks.request(lockOfName(name), { signal }, () => {
      return new Promise((release) => {
        resolve(async () => {
          release(undefined)
          await held
        })
      })
    })
    held.catch((error) => {
      const message = `'${name}' is open, here or in another tab: close it first`
      reject(signal.aborted ? new HostError('LOCKED', message, error) : error)
    })
  })
}

/** Runs something with the lock held. @template T @param {string} name @param {() => Promise<T>} run */
async function locked(name, run) {
  const release = await holdLock(name)
  try {
    return await run()
  } finally {
    await release()
  }
}

/** Which storage has the database; null for none. @param {string} name @returns {Promise<StorageKind | null>} */
export async function storageOf(name) {
  const all = await listDatabases()
  return all.find((one) => one.name === name)?.storage ?? null
}

/** Removes a database. False when there was none. @param {string} location */
export function deleteDatabase(location) {
  const name = nameOfLocation(location)
  return locked(name, async () => {
    const stored = (await listDatabases()).filter((one) => one.name === name)
    for (const { storage } of stored) {
      if (storage === 'idb') await deleteIdb(idbOfName(name), name)
      else await removeFile(fileOfName(name))
    }
    return stored.length > 0
  })
}

/** @param {string} file */
async function removeFile(file) {
  const directory = await opfsDirectory(false)
  try {
    await directory?.removeEntry(file)
  } catch (error) {
    if (errorName(error) !== 'NotFoundError') throw webError(error, `${file} cannot be removed`)
  }
}

// ---- In

/** Where the bytes of an import go.
 * @typedef {object} Sink
 * @property {(at: number, bytes: Uint8Array) => Promise<void>} write
 * @property {() => Promise<void>} finish the database is there
 * @property {() => Promise<void>} abandon it is not, and nothing is left */

/** @param {string} name @returns {Promise<Sink>} */
async function opfsSink(name) {
  const directory = /** @type {FileSystemDirectoryHandle} */ (await opfsDirectory(true))
  const unfinished = fileOfName(name) + UNFINISHED_ENDING
  const file = /** @type {any} */ (await directory.getFileHandle(unfinished, { create: true }))
  const writer = await fileWriter(file, unfinished)
  const what = `cannot write ${unfinished}`
  return {
    write: (at, bytes) =>
      writer.write(at, bytes).catch((/** @type {unknown} */ error) => Promise.reject(webError(error, what))),
    async finish() {
      await writer.close().catch((/** @type {unknown} */ error) => Promise.reject(webError(error, what)))
      await file.move(fileOfName(name))
    },
    async abandon() {
      await writer.abort().catch(() => {})
      await removeFile(unfinished).catch(() => {})
    },
  }
}

/** Writes a file from its beginning: in a page through a stream, in a worker through a handle.
 * @param {any} file @param {string} name */
async function fileWriter(file, name) {
  if (typeof file.createSyncAccessHandle === 'function' && typeof globalThis.document === 'undefined') {
    const handle = await openHandle(file, name)
    handle.truncate(0)
    const write = async (/** @type {number} */ at, /** @type {Uint8Array} */ bytes) => {
      if (handle.write(bytes, { at }) < bytes.length) throw new HostError('FULL', `cannot write ${name}: no more room`)
    }
    const close = async () => {
      handle.flush()
      handle.close()
    }
    return { write, close, abort: async () => handle.close() }
  }
  if (typeof file.createWritable !== 'function') {
    throw new HostError('UNSUPPORTED', 'this browser imports in workers only: call it in a dedicated worker')
  }
  const writable = await file.createWritable()
  const write = (/** @type {number} */ _at, /** @type {Uint8Array} */ bytes) => writable.write(bytes)
  return { write, close: () => writable.close(), abort: () => writable.abort() }
}

/** @param {string} name @returns {Promise<Sink>} */
async function idbSink(name) {
  await deleteIdb(idbOfName(name), name) // what an import left that was never finished
  const host = await openIdbHost(name)
  const file = /** @type {any} */ (host.fileAt(name))
  return {
    async write(at, bytes) {
      file.write(at, bytes, 0, bytes.length)
      await host.settled()
    },
    async finish() {
      file.adopt()
      await host.close()
    },
    async abandon() {
      await host.close().catch(() => {}) // what does not exist is removed
    },
  }
}

/** @param {Uint8Array} bytes @param {string} name */
function checkMagic(bytes, name) {
  if (bytes.length >= MAGIC.length && String.fromCharCode(...bytes.subarray(0, MAGIC.length)) === MAGIC) return
  throw new HostError('NOT_DATABASE', `what was to be imported as '${name}' is no .varve file`)
}

/** What a stream gives, as bytes; the first piece is long enough for the magic if there are so many bytes.
 * @param {any} reader */
async function* chunksOf(reader) {
  let first = new Uint8Array(0)
  for (;;) {
    const { value, done } = await reader.read()
    if (done) {
      if (first.length < MAGIC.length) yield first
      return
    }
    const bytes = value instanceof Uint8Array ? value : new Uint8Array(value)
    if (first.length >= MAGIC.length) yield bytes
    else {
      const both = new Uint8Array(first.length + bytes.length)
      both.set(first)
      both.set(bytes, first.length)
      first = both
      if (first.length >= MAGIC.length) yield first
    }
  }
}

/**
 * Makes a database of the bytes of a .varve file. EXISTS when there is one of that name.
 * @param {string} location
 * @param {Blob | ReadableStream<Uint8Array>} source
 * @param {{ storage?: StorageKind, onProgress?: OnProgress }} [options] onProgress returns false to stop it
 */
export function importDatabase(location, source, { storage = defaultStorage(), onProgress } = {}) {
  const name = nameOfLocation(location)
  const total = source instanceof Blob ? source.size : 0
  const reader = (source instanceof Blob ? source.stream() : source).getReader()
  return locked(name, async () => {
    if ((await storageOf(name)) !== null) throw new HostError('EXISTS', `there is a database '${name}' already`)
    const sink = await (storage === 'opfs' ? opfsSink(name) : idbSink(name))
    try {
      let at = 0
      for await (const bytes of chunksOf(reader)) {
        if (at === 0) checkMagic(bytes, name)
        await sink.write(at, bytes)
        at += bytes.length
        if (onProgress?.(at, total) === false) throw new HostError('ABORTED', `the import of '${name}' was stopped`)
      }
      await sink.finish()
    } catch (error) {
      await sink.abandon()
      throw error
    }
  }).catch(async (error) => {
    await reader.cancel(error).catch(() => {})
    throw error
  })
}

// ---- Out

/**
 * The bytes of a database, which is not open anywhere, as a .varve file. It stays locked until the stream ends.
 * @param {string} location
 * @param {{ onProgress?: OnProgress }} [options]
 * @returns {Promise<ReadableStream<Uint8Array>>}
 */
export async function exportDatabase(location, { onProgress } = {}) {
  const name = nameOfLocation(location)
  const release = await holdLock(name)
  try {
    const storage = await storageOf(name)
    if (storage === null) throw new HostError('MISSING', `there is no database '${name}'`)
    if (storage === 'opfs') return withEnd(await fileStream(name, onProgress), release)
    const host = await openIdbHost(name, { memoryLimit: Math.max(MEMORY_LIMIT, Number.MAX_SAFE_INTEGER) })
    return withEnd(host.exportStream(name, onProgress), () => host.close().finally(release))
  } catch (error) {
    await release()
    throw error
  }
}

/** @param {string} name @param {OnProgress | undefined} onProgress @returns {Promise<ReadableStream<Uint8Array>>} */
async function fileStream(name, onProgress) {
  const directory = /** @type {FileSystemDirectoryHandle} */ (await opfsDirectory(false))
  const file = await (await directory.getFileHandle(fileOfName(name))).getFile()
  let done = 0
  /** @type {TransformStream<Uint8Array, Uint8Array>} */
  const counting = new TransformStream({
    transform(bytes, controller) {
      done += bytes.length
      controller.enqueue(bytes)
      onProgress?.(done, file.size)
    },
  })
  return file.stream().pipeThrough(counting)
}

/** The stream, and what is to be done when it ends, however it does. @param {ReadableStream<Uint8Array>} stream
 * @param {() => Promise<void>} end @returns {ReadableStream<Uint8Array>} */
function withEnd(stream, end) {
  const reader = stream.getReader()
  return new ReadableStream(
    {
      async pull(controller) {
        try {
          const { value, done } = await reader.read()
          if (!done) return controller.enqueue(value)
          await end()
          controller.close()
        } catch (error) {
          await end().catch(() => {})
          controller.error(error)
        }
      },
      async cancel(reason) {
        await reader.cancel(reason).finally(end)
      },
    },
    { highWaterMark: 0 },
  )
}

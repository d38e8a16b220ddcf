// streams.js: a backup as a stream of bytes, those of a database in one file. It is made in a temporary file of the
// host first, because the engine writes a file's beginning last; so neither direction holds more than a piece in
// memory, and a slow reader holds up nobody. Loaded when it is first used.

import { STATUS } from './abi.js'
import { describe, statusError } from './errors.js'
import { FILE_SINGLE, OPEN_CREATE, OPEN_WRITE, PLACE_CREATE } from './host/host.js'
import { platform } from './platform.js'

/** @import { Host } from './host/host.js' */
/** @typedef {((done: number, total: number) => unknown) | undefined} OnProgress */

const PIECE = 64 << 10
const PAUSE_AFTER_MS = 8

/** Streams that are always ready starve the event loop, and with it the timers that would abort them: lets timers and
 * I/O in from time to time. */
export function pauses() {
  let since = performance.now()
  return async () => {
    if (performance.now() - since < PAUSE_AFTER_MS) return
    await platform().pause()
    since = performance.now()
  }
}

/** @param {OnProgress} progress @param {number} done @param {number} total */
function tell(progress, done, total) {
  if (progress?.(done, total) === false) throw statusError(STATUS.ABORTED)
}

/** Removes a temporary file, if it is there. @param {Host} host @param {string} path */
export function removeFile(host, path) {
  const place = host.open(path, PLACE_CREATE)
  try {
    if (place.list().length > 0) place.remove(FILE_SINGLE, 0)
  } finally {
    place.close()
  }
}

/** Writes a file to a stream, piece by piece as the stream takes them. @param {Host} host @param {string} path
 * @param {any} writer @param {OnProgress} progress */
async function sendFile(host, path, writer, progress) {
  const place = host.open(path, 0)
  const file = place.open(FILE_SINGLE, 0, 0)
  const pause = pauses()
  try {
    const size = file.size()
    for (let at = 0; at < size; at += PIECE) {
      const piece = new Uint8Array(Math.min(PIECE, size - at)) // the stream keeps it
      if (file.read(at, piece, 0, piece.length) < piece.length) throw statusError(STATUS.IO, `${path} became shorter`)
      await writer.ready
      await writer.write(piece)
      await pause()
      tell(progress, at + piece.length, size)
    }
  } finally {
    file.close()
    place.close()
  }
}

/** Sends the temporary file of a backup, removes it, and closes the stream; on a failure, which may be that of the
 * backup itself, the stream is aborted. @param {Host} host @param {string} path @param {any} writable
 * @param {OnProgress} progress @param {unknown[]} failed the error of the backup, if any */
export async function sendBackup(host, path, writable, progress, failed) {
  const writer = writable.getWriter()
  try {
    if (failed.length > 0) throw failed[0]
    await sendFile(host, path, writer, progress)
    await writer.close()
  } catch (error) {
    await writer.abort(error).catch(() => {}) // it may be the stream that failed
    throw error
  } finally {
    writer.releaseLock()
    removeFile(host, path)
  }
}

/** @param {any} chunk @param {string} whose stream it is @returns {Uint8Array} */
export function bytesOfChunk(chunk, whose) {
  if (chunk instanceof Uint8Array) return chunk
  if (ArrayBuffer.isView(chunk)) return new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength)
  throw new TypeError(`the stream of a ${whose} must give Uint8Arrays; it gave ${describe(chunk)}`)
}

/** Writes what a stream gives to a new file; on a failure the stream is cancelled. @param {Host} host
 * @param {any} readable @param {string} path @param {AbortSignal | undefined} signal */
export async function receiveFile(host, readable, path, signal) {
  const reader = readable.getReader()
  const place = host.open(path, PLACE_CREATE)
  const pause = pauses()
  try {
    const file = place.open(FILE_SINGLE, 0, OPEN_CREATE | OPEN_WRITE)
    try {
      for (let at = 0; ;) {
        await pause()
        signal?.throwIfAborted()
        const { value, done } = await reader.read()
        if (done) return
        const bytes = bytesOfChunk(value, 'backup')
        if (bytes.length > 0) file.write(at, bytes, 0, bytes.length)
        at += bytes.length
      }
    } finally {
      file.close()
    }
  } catch (error) {
    await reader.cancel(error).catch(() => {})
    throw error
  } finally {
    place.close()
    reader.releaseLock()
  }
}

// stored_file.js: what the files of a browser's hosts share: reading the whole of one as it is now, while it goes on
// changing. The engine runs to the end of a call before anything else does, so what lies between two calls is a
// database, as after the death of a process. Whoever changes bytes says so first, and those that a reader still wants
// are put aside for it.

import { HostError } from './host.js'

const PIECE = 256 << 10

/** The bytes of a file at one moment. */
class Snapshot {
  size
  /** Pieces before this one are not wanted any more. */
  next = 0
  #file
  /** @type {Map<number, Uint8Array>} pieces that have changed since */
  #kept = new Map()

  /** @param {StoredFile} file */
  constructor(file) {
    this.#file = file
    this.size = file.size()
  }

  /** @param {number} begin @param {number} end of bytes that are about to change */
  keep(begin, end) {
    const last = Math.ceil(Math.min(end, this.size) / PIECE)
    for (let piece = Math.max(this.next, Math.floor(begin / PIECE)); piece < last; piece++) {
      if (!this.#kept.has(piece)) this.#kept.set(piece, this.#read(piece))
    }
  }

  /** @param {number} piece */
  #read(piece) {
    const bytes = new Uint8Array(Math.min(PIECE, this.size - piece * PIECE))
    this.#file.read(piece * PIECE, bytes, 0, bytes.length)
    return bytes
  }

  /** The next piece, null at the end. */
  take() {
    const piece = this.next
    if (piece * PIECE >= this.size) return null
    const bytes = this.#kept.get(piece) ?? this.#read(piece)
    this.#kept.delete(piece)
    this.next++
    return bytes
  }
}

export class StoredFile {
  /** @type {Set<Snapshot>} */
  #snapshots = new Set()
  #gone = false

  /** @returns {number} */
  size() {
    throw new HostError('BUG', 'a stored file has a size')
  }

  /** @param {number} _offset @param {Uint8Array} _bytes @param {number} _at @param {number} _size @returns {number} */
  read(_offset, _bytes, _at, _size) {
    throw new HostError('BUG', 'a stored file can be read')
  }

  /** To be called before bytes change, or go. @param {number} begin @param {number} end */
  changing(begin, end) {
    if (this.#snapshots.size > 0) for (const snapshot of this.#snapshots) snapshot.keep(begin, end)
  }

  /** To be called before the file is closed. */
  closing() {
    this.#gone = true
  }

  /** The bytes as they are now.
   * @param {(done: number, total: number) => unknown} [onProgress] @returns {ReadableStream<Uint8Array>} */
  stream(onProgress) {
    const snapshot = new Snapshot(this)
    const end = () => this.#snapshots.delete(snapshot)
    this.#snapshots.add(snapshot)
    return new ReadableStream(
      {
        pull: (controller) => {
          try {
            if (this.#gone) throw new HostError('CLOSED', 'the database was closed while it was exported')
            const bytes = snapshot.take()
            if (bytes !== null) {
              controller.enqueue(bytes)
              return void onProgress?.(Math.min(snapshot.next * PIECE, snapshot.size), snapshot.size)
            }
            end()
            controller.close()
          } catch (error) {
            end()
            controller.error(error)
          }
        },
        cancel: () => void end(),
      },
      { highWaterMark: 0 },
    )
  }
}

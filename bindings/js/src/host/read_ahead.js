// read_ahead.js: one large read for many small ones that follow one another, as walks of tables make them: a call of
// the browser costs more than copying some blocks (5 to 40 µs in Firefox). A read that begins where an earlier one
// ended brings FIRST bytes into memory, the next such one AHEAD bytes. Some walks may take turns.
//
// Invariants
//   1. A window has bytes of the file as they are: whoever changes some says so before (changing).

const FIRST = 16 << 10
const AHEAD = 64 << 10
const STREAMS = 6

/** A walk: where it is expected next, and what is in memory for it: bytes[0 .. size) are those from `at` on. */
class Stream {
  next = -1
  at = 0
  size = 0
  used = 0
  /** @type {Uint8Array | null} */
  bytes = null
}

export class ReadAhead {
  #streams = Array.from({ length: STREAMS }, () => new Stream())
  #clock = 0

  /**
   * Reads bytes that are there into bytes[at .. at + size).
   * @param {number} offset @param {Uint8Array} bytes @param {number} at @param {number} size
   * @param {number} end of the file
   * @param {(offset: number, bytes: Uint8Array, at: number, size: number) => void} read the browser's
   */
  read(offset, bytes, at, size, end, read) {
    if (size > FIRST) return read(offset, bytes, at, size)
    const stream = this.#streamAt(offset, size)
    const inside = offset >= stream.at && offset + size <= stream.at + stream.size
    if (!inside) {
      if (stream.next !== offset) {
        stream.size = 0
        stream.next = offset + size
        return read(offset, bytes, at, size)
      }
      const ahead = Math.min(stream.size === 0 ? FIRST : AHEAD, end - offset)
      stream.bytes ??= new Uint8Array(AHEAD)
      stream.size = 0
      read(offset, stream.bytes, 0, ahead)
      stream.at = offset
      stream.size = ahead
    }
    const from = offset - stream.at
    bytes.set(/** @type {Uint8Array} */ (stream.bytes).subarray(from, from + size), at)
    stream.next = offset + size
  }

  /** The walk that a read belongs to, or the one that is the longest not used. @param {number} offset
   * @param {number} size */
  #streamAt(offset, size) {
    let found = /** @type {Stream} */ (this.#streams[0])
    for (const stream of this.#streams) {
      if (stream.next === offset || (offset >= stream.at && offset + size <= stream.at + stream.size)) {
        found = stream
        break
      }
      if (stream.used < found.used) found = stream
    }
    found.used = ++this.#clock
    return found
  }

  /** Forgets what is about to change. @param {number} begin @param {number} end */
  changing(begin, end) {
    for (const stream of this.#streams) {
      if (stream.size > 0 && begin < stream.at + stream.size && end > stream.at) stream.size = 0
    }
  }
}

// bridge.js: the host behind the wasm imports: objects become numbers, thrown errors become negative statuses. A
// thrown error must never unwind the engine's stack, which would leave its promises broken, so every call ends here.

import { STATUS } from './abi.js'
import { HostError } from './host/host.js'

/** @template T */
class Table {
  /** @type {(T | null)[]} */
  #slots = []

  /** @param {T} item */
  add(item) {
    const free = this.#slots.indexOf(null)
    if (free < 0) return this.#slots.push(item) - 1
    this.#slots[free] = item
    return free
  }

  /** @param {number} slot @returns {T} */
  at(slot) {
    const item = this.#slots[slot]
    if (item === null || item === undefined) throw new HostError('BUG', `the engine used the closed handle ${slot}`)
    return item
  }

  /** @param {number} slot */
  take(slot) {
    const item = this.at(slot)
    this.#slots[slot] = null
    return item
  }

  takeAll() {
    const all = this.#slots.filter((item) => item !== null)
    this.#slots = []
    return all
  }
}

export class Bridge {
  /** @type {Table<import('./host/host.js').HostPlace>} */
  places = new Table()
  /** @type {Table<import('./host/host.js').HostFile>} */
  files = new Table()
  /** The last failure: its sentence, and what the system threw.
   * @type {{ status: number, message: string, cause: unknown } | null} */
  failure = null

  /** @param {import('./host/host.js').Host} host */
  constructor(host) {
    this.host = host
  }

  /** @param {unknown} error @returns {number} */
  fail(error) {
    const known = error instanceof HostError ? error : null
    const message = error instanceof Error ? error.message : String(error)
    this.failure = {
      status: known?.status ?? STATUS.IO,
      message,
      cause: known === null ? error : known.cause,
    }
    return this.failure.status
  }

  /** @param {() => number | void} run @returns {number} */
  guard(run) {
    try {
      return run() ?? 0
    } catch (error) {
      return this.fail(error)
    }
  }

  /** @param {number} file @param {number} offset @param {Uint8Array} bytes @param {number} at @param {number} size */
  read(file, offset, bytes, at, size) {
    try {
      return this.files.at(file).read(offset, bytes, at, size)
    } catch (error) {
      return this.fail(error)
    }
  }

  /** @param {number} file @param {number} offset @param {Uint8Array} bytes @param {number} at @param {number} size */
  write(file, offset, bytes, at, size) {
    try {
      this.files.at(file).write(offset, bytes, at, size)
      return 0
    } catch (error) {
      return this.fail(error)
    }
  }

  /** The files of a place by kind and number, as vfs_ops.list wants them.
   * @param {number} place */
  list(place) {
    const found = this.places.at(place).list()
    return found.sort((a, b) => a.kind - b.kind || a.number - b.number)
  }

  /** Gives everything back that the engine still holds: after it stopped, and for a database that was never closed. */
  releaseAll() {
    for (const file of this.files.takeAll()) this.guard(() => file.close())
    for (const place of this.places.takeAll()) {
      this.guard(() => place.unlock())
      this.guard(() => place.close())
    }
  }
}

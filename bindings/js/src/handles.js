// handles.js: what a database has open: iterators and snapshots. close() closes them, and one that a program forgot
// is closed when its object is collected.

/** @typedef {'iterator' | 'snapshot'} HandleKind */

export class Handles {
  #engine
  /** @type {Map<number, { kind: HandleKind, handle: number }>} */
  #open = new Map()
  #next = 1
  #forgotten = new FinalizationRegistry((/** @type {number} */ ticket) => this.close(ticket))

  /** @param {import('./engine.js').Engine} engine */
  constructor(engine) {
    this.#engine = engine
  }

  /** @param {object} object whose collection closes the handle @param {number} handle @param {HandleKind} kind
   * @returns {number} a ticket */
  add(object, handle, kind) {
    const ticket = this.#next++
    this.#open.set(ticket, { kind, handle })
    this.#forgotten.register(object, ticket, object)
    return ticket
  }

  /** @param {number} ticket */
  has(ticket) {
    return this.#open.has(ticket)
  }

  /** Closing twice is allowed. @param {number} ticket @param {object} [object] */
  close(ticket, object) {
    const found = this.#open.get(ticket)
    if (found === undefined) return
    this.#open.delete(ticket)
    if (object !== undefined) this.#forgotten.unregister(object)
    try {
      if (found.kind === 'iterator') this.#engine.closeIterator(found.handle)
      else this.#engine.closeSnapshot(found.handle)
    } catch {
      // The engine has stopped, and its memory with it.
    }
  }

  closeAll() {
    for (const ticket of [...this.#open.keys()]) this.close(ticket)
  }
}

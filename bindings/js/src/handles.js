// handles.js: what a database has open: iterators, snapshots, transactions, values on their way. close() closes them,
// and one that a program forgot is closed when its object is collected. The first of each kind that was forgotten is
// told of.

/** @typedef {keyof typeof KINDS} HandleKind */
/** @typedef {{ kind: HandleKind, handle: number, call: string }} Open */

/** How the engine closes each kind, and how a program should have. */
const KINDS = /** @type {const} */ ({
  iterator: { close: 'closeIterator', fix: "walk it to its end, or call return(), or open it with 'using'" },
  snapshot: { close: 'closeSnapshot', fix: "call close(), or open it with 'using'" },
  transaction: { close: 'closeTransaction', fix: "commit it or roll it back, or open it with 'await using'" },
  value: { close: 'closeValue', fix: 'read it to its end, or call cancel()' },
  put: { close: 'closePut', fix: 'its source must end or fail' },
})

export class Handles {
  #engine
  #warn
  /** Calls whose forgotten handles were told of. @type {Set<string>} */
  #told = new Set()
  /** @type {Map<number, Open>} */
  #open = new Map()
  #next = 1
  #forgotten = new FinalizationRegistry((/** @type {number} */ ticket) => this.#forgot(ticket))

  /** @param {import('./engine.js').Engine} engine @param {(message: string) => void} warn */
  constructor(engine, warn) {
    this.#engine = engine
    this.#warn = warn
  }

  /** @param {object} object whose collection closes the handle @param {number} handle @param {HandleKind} kind
   * @param {string} call that opened it, for messages
   * @returns {number} a ticket */
  add(object, handle, kind, call) {
    const ticket = this.#next++
    this.#open.set(ticket, { kind, handle, call })
    this.#forgotten.register(object, ticket, object)
    return ticket
  }

  /** Another object's collection closes it from now on. @param {number} ticket @param {object} from
   * @param {object} to */
  move(ticket, from, to) {
    this.#forgotten.unregister(from)
    this.#forgotten.register(to, ticket, to)
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
      this.#engine[KINDS[found.kind].close](found.handle)
    } catch {
      // The engine has stopped, and its memory with it.
    }
  }

  /** It is closed already. @param {number} ticket @param {object} object */
  forget(ticket, object) {
    this.#open.delete(ticket)
    this.#forgotten.unregister(object)
  }

  /** @param {number} ticket of an object that was collected */
  #forgot(ticket) {
    const found = this.#open.get(ticket)
    if (found === undefined) return
    this.close(ticket)
    if (this.#told.has(found.call)) return
    this.#told.add(found.call)
    const { kind, call } = found
    this.#warn(`what ${call} opened was never closed, only collected: ${KINDS[kind].fix}`)
  }

  closeAll() {
    for (const ticket of [...this.#open.keys()]) this.close(ticket)
  }
}

// running.js: one transaction of the engine, from its beginning to its end.

import { STATUS } from './abi.js'
import { statusError } from './errors.js'

/** @import { Change } from './changes.js' */
/** @import { CommitQueue, NameChange } from './queue.js' */
/** @import { Context } from './store.js' */
/** @typedef {{ isolation: number, readOnly: boolean, durability: number, lockWait: number }} Begin */

/** Those who wait for any transaction of a database to end. @type {WeakMap<object, Set<() => void>>} */
const waiting = new WeakMap()

/** One transaction of the engine: what all stores of it share. It is rolled back when nobody has it any more. */
export class Running {
  status = 'open'
  /** @type {number[]} the numbers of savepoints that are there, of those who have them */
  savepoints = []
  #nextSavepoint = 1
  #ticket
  #base
  #queue
  #options
  #bytes = 0
  engine

  /** @param {Context} base of the database @param {Begin} options @param {string} call */
  constructor(base, options, call) {
    base.queue.flush()
    const handle = base.engine.beginTransaction(options.isolation, options.readOnly, options.durability)
    this.#ticket = base.handles.add(this, handle, 'transaction', call)
    this.#base = base
    this.#queue = /** @type {CommitQueue} */ (base.queue)
    this.#options = options
    this.engine = base.engine.inside(handle)
  }

  get base() {
    return this.#base
  }

  get lockWait() {
    return this.#options.lockWait
  }

  /** @param {readonly Change[]} changes @param {NameChange | undefined} at */
  write(changes, at) {
    this.#bytes += this.#queue.alone(changes, at, (end) => this.engine.commit(0, 0, end))
  }

  commit() {
    const { watchers } = this.#base
    try {
      this.#queue.apart(this.#bytes, this.#options.durability, () => {
        const changes = watchers.any ? this.engine.changes() : []
        this.engine.commitTransaction()
        this.status = 'committed'
        return changes
      })
    } finally {
      this.end()
    }
  }

  /** Rolls back what was not committed. */
  end() {
    if (this.status === 'open') this.status = 'rolled back'
    const { handles } = this.#base
    if (!handles.has(this.#ticket)) return
    this.engine.leave(statusError(STATUS.CLOSED, `the transaction was ${this.status}: begin another one`))
    handles.close(this.#ticket, this)
    const all = waiting.get(handles)
    waiting.delete(handles)
    for (const wake of all ?? []) wake()
  }

  /** Resolves when some transaction has ended, or when it is time. @param {number} ms */
  async otherEnds(ms) {
    const { handles } = this.#base
    let all = waiting.get(handles)
    if (all === undefined) waiting.set(handles, (all = new Set()))
    /** @type {any} */
    let timer
    await new Promise((resolve) => {
      all.add(() => resolve(undefined))
      timer = setTimeout(resolve, ms)
    })
    clearTimeout(timer)
  }

  savepoint() {
    this.engine.savepoint()
    const name = this.#nextSavepoint++
    this.savepoints.push(name)
    return name
  }

  /** Its number in the engine. @param {number} name */
  #numberOf(name) {
    const at = this.savepoints.indexOf(name)
    if (at >= 0 || this.status !== 'open') return at + 1
    throw new TypeError('The savepoint is gone: it, or one before it, was released, or the changes since then undone')
  }

  /** @param {number} name */
  rollbackTo(name) {
    const number = this.#numberOf(name)
    this.engine.rollbackTo(number)
    this.savepoints.length = number
  }

  /** @param {number} name */
  release(name) {
    const number = this.#numberOf(name)
    this.engine.release(number)
    this.savepoints.length = number - 1
  }
}

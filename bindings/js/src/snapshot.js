// snapshot.js: the state of a database at one moment.

import { dispose } from './dispose.js'
import { closedError } from './errors.js'

export class Snapshot {
  #owner
  #handle
  #sequence
  #ticket

  /**
   * @param {import('./handles.js').Handles} owner
   * @param {number} handle
   * @param {number} sequence
   */
  constructor(owner, handle, sequence) {
    this.#owner = owner
    this.#handle = handle
    this.#sequence = sequence
    this.#ticket = owner.add(this, handle, 'snapshot', 'snapshot()')
  }

  /** The number of the last commit that it sees. */
  get sequence() {
    return this.#sequence
  }

  /** The engine's handle, for the database that it belongs to. @param {import('./handles.js').Handles} owner */
  handleFor(owner) {
    if (owner !== this.#owner)
      throw new TypeError('The snapshot belongs to another Database: take one of this Database')
    if (!owner.has(this.#ticket)) throw closedError('the snapshot')
    return this.#handle
  }

  /** Lets go of the state. Closing twice is allowed. */
  close() {
    this.#owner.close(this.#ticket, this)
  }

  [dispose]() {
    this.close()
  }
}

/** The handle of the snapshot that an option names. @param {import('./store.js').Context} context
 * @param {Snapshot} snapshot */
export function handleOf({ engine, handles }, snapshot) {
  if (engine.isInside) throw new TypeError('A transaction reads the state of its own: leave snapshot out')
  return snapshot.handleFor(handles)
}

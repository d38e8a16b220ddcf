// events.js: what a database tells those who asked: 'closed', 'error' (work in the background failed; the next write
// says it as well) and 'warning'. Listeners run in a microtask of their own, never in the middle of a call.

import { describe, suggestion } from './errors.js'
import { platform } from './platform.js'

/** @typedef {(argument?: any) => unknown} Listener */

const NAMES = ['closed', 'error', 'warning']

export class Events {
  /** @type {{ name: string, listener: Listener, once: boolean }[]} */
  #all = []

  /** @param {any} name @param {any} listener @param {boolean} once */
  add(name, listener, once) {
    if (!NAMES.includes(name))
      throw new TypeError(`There is no event ${describe(name)}.${suggestion(`${name}`, NAMES)}`)
    if (typeof listener !== 'function') throw new TypeError(`A listener must be a function; got ${describe(listener)}`)
    this.#all.push({ name, listener, once })
  }

  /** @param {any} name @param {any} listener */
  remove(name, listener) {
    const at = this.#all.findIndex((one) => one.name === name && one.listener === listener)
    if (at >= 0) this.#all.splice(at, 1)
  }

  /** False when nobody listens. @param {string} name @param {any} [argument] */
  tell(name, argument) {
    const told = this.#all.filter((one) => one.name === name)
    this.#all = this.#all.filter((one) => one.name !== name || !one.once)
    for (const { listener } of told) queueMicrotask(() => listener(argument))
    return told.length > 0
  }

  /** Something is wrong with the program, not with the database. @param {string} message */
  warn(message) {
    const warning = Object.assign(new Error(message), { name: 'VarveWarning' })
    if (!this.tell('warning', warning)) platform().warn(warning)
  }
}

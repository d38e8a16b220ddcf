// keyspace.js: a namespace of a database, with encodings of its own.

import { Store } from './store.js'

const INSPECT = Symbol.for('nodejs.util.inspect.custom')

export class Keyspace extends Store {
  #name

  /** @param {string} name @param {import('./store.js').Context} context */
  constructor(name, context) {
    super(context)
    this.#name = name
  }

  get name() {
    return this.#name
  }

  /** What console.log() shows. */
  [INSPECT]() {
    return `Keyspace { name: ${JSON.stringify(this.#name)} }`
  }
}

// keyspace.js: a namespace of a database, with encodings of its own.

import { Store } from './store.js'

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
}

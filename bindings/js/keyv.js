// keyv.js: 'varve/keyv': a storage adapter for Keyv, over a database of its own or a keyspace of another.
//
//     import Keyv from 'keyv'
//     import { KeyvVarve } from 'varve/keyv'
//     const cache = new Keyv({ store: new KeyvVarve('./cache'), namespace: 'pages' })
//
// Keyv puts the namespace before the key ('pages:home') and keeps the time of expiry inside the value, which it checks
// when it reads: an entry that has expired and is never asked for again stays until clear().

import { Database } from 'varve'

const KEYV_SEPARATOR = ':'

export class KeyvVarve {
  /** What Keyv reads and sets. @type {Record<string, any>} */
  opts
  /** Set by Keyv. @type {string | undefined} */
  namespace
  /** @type {any} a Database or a Keyspace, once it is open */
  #store = null
  /** @type {any} the Database, when it is ours to close */
  #own = null
  /** @type {Promise<void> | null} */
  #opening = null
  #open

  /** @param {any} place a path, or an open Database or Keyspace with strings @param {any} [options] as for
   * Database.open() */
  constructor(place, options = {}) {
    this.opts = { dialect: 'varve', url: typeof place === 'string' ? `varve://${place}` : 'varve:' }
    if (typeof place?.getManySync === 'function') {
      this.#store = place
      this.#open = async () => {}
    } else {
      this.#open = async () => {
        this.#own = await Database.open(place, options)
        this.#store = this.#own
      }
    }
  }

  /** The store, opened on first use. @returns {Promise<any>} */
  async #ready() {
    if (this.#store === null) {
      this.#opening ??= this.#open().finally(() => (this.#opening = null))
      await this.#opening
    }
    return this.#store
  }

  /** @param {string} key */
  async get(key) {
    return (await this.#ready()).getSync(key)
  }

  /** @param {string[]} keys */
  async getMany(keys) {
    return (await this.#ready()).getManySync(keys)
  }

  /** @param {string} key @param {string} value */
  async set(key, value) {
    await (await this.#ready()).put(key, value)
  }

  /** All or none. @param {{ key: string, value: string }[]} entries */
  async setMany(entries) {
    await (await this.#ready()).batch(entries.map(({ key, value }) => ({ type: 'put', key, value })))
  }

  /** @param {string} key @returns {Promise<boolean>} whether there was such a key */
  async delete(key) {
    return this.deleteMany([key])
  }

  /** @param {string[]} keys @returns {Promise<boolean>} whether there was one of them */
  async deleteMany(keys) {
    const store = await this.#ready()
    const there = keys.filter((key) => store.hasSync(key))
    if (there.length > 0) await store.batch(there.map((key) => ({ type: 'del', key })))
    return there.length > 0
  }

  /** The entries of the namespace, or all when there is none. */
  async clear() {
    const store = await this.#ready()
    await store.clear(this.namespace ? { prefix: this.namespace + KEYV_SEPARATOR } : {})
  }

  /** @param {string} key */
  async has(key) {
    return (await this.#ready()).hasSync(key)
  }

  /** @param {string} [namespace] */
  async *iterator(namespace) {
    const store = await this.#ready()
    yield* store.entries(namespace ? { prefix: namespace + KEYV_SEPARATOR } : {})
  }

  /** Keyv listens for 'error'; failures reject their calls instead. */
  on() {
    return this
  }

  /** Closes the database when it was opened here. */
  async disconnect() {
    if (this.#opening !== null) await this.#opening
    if (this.#own === null) return
    await this.#own.close()
    this.#own = null
    this.#store = null
  }
}

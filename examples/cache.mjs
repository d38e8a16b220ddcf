// cache.mjs: a cache on disk whose entries live for a while. Varve has no entries that expire by themselves; a time in
// the value and an index by time are all it takes:
//
//     default keyspace   key              → { value, expires }
//     'by time'          [expires, key]   → ''      tuples: in the order of the times
//
// get() looks at the time itself, so an entry is gone the moment it expires. prune() is for the space: it walks the
// index from the oldest time to now, and touches nothing else. A cache can be filled again, so relaxed durability (the
// default) is right.
//
//     node examples/cache.mjs [directory, default ./my_cache]

import { setTimeout as sleep } from 'node:timers/promises'

import { Database } from 'varve'

class Cache {
  #db
  #byTime

  /** @param {Database} db */
  constructor(db) {
    this.#db = db.keyspace('entries', { valueEncoding: 'json' })
    this.#byTime = db.keyspace('by time', { keyEncoding: 'tuple' })
  }

  /** @param {string} key */
  get(key) {
    const entry = this.#db.getSync(key)
    return entry !== undefined && entry.expires > Date.now() ? entry.value : undefined
  }

  /** @param {string} key @param {unknown} value @param {number} ttl in milliseconds */
  async set(key, value, ttl) {
    const expires = Date.now() + ttl
    await this.#db.batch([
      { type: 'put', key, value: { value, expires } },
      { type: 'put', key: [expires, key], value: '', keyspace: this.#byTime },
    ])
  }

  /** What is cached, or else what `make` gives, which is then cached.
   * @template T @param {string} key @param {number} ttl @param {() => Promise<T>} make @returns {Promise<T>} */
  async wrap(key, ttl, make) {
    const found = this.get(key)
    if (found !== undefined) return found
    const value = await make()
    await this.set(key, value, ttl)
    return value
  }

  /** Removes what has expired. An entry that was set again has a later time, and an index entry that is out of date. */
  async prune() {
    const now = Date.now()
    const dead = new Set()
    for (const [, key] of this.#byTime.keysSync({ lt: [now] })) {
      const entry = this.#db.getSync(key)
      if (entry !== undefined && entry.expires < now) dead.add(key)
    }
    await this.#db.batch(Array.from(dead, (key) => ({ type: 'del', key })))
    await this.#byTime.clear({ lt: [now] })
    return dead.size
  }
}

const db = await Database.open(process.argv[2] ?? './my_cache')
const cache = new Cache(db)

let calls = 0
const weather = async () => ({ place: 'Lisbon', degrees: 21, call: ++calls })
const ask = async () => console.log('weather:', JSON.stringify(await cache.wrap('weather/lisbon', 500, weather)))

await ask() // made
await ask() // from the cache
await cache.set('motto', 'lasts for an hour', 3_600_000)
await sleep(550)
console.log(`after 550 ms: ${cache.get('weather/lisbon') ?? 'expired'}, ${cache.get('motto')}`)
await ask() // made again
await sleep(550)
console.log(`pruned: ${await cache.prune()}; left: ${await db.keyspace('entries').count()}`)

await db.close()

// session_store.mjs: sessions of a web server, with two indexes that are kept in the same batch as the session:
//
//     'sessions'            id → { user, expires }
//     'sessions/by time'    [expires, id] → ''   what expires first comes first: sweep() reads no other session
//     'sessions/by user'    [user, id] → ''      all sessions of a user, to end them together
//
//     node examples/session_store.mjs [directory, default ./my_sessions]

import { randomUUID } from 'node:crypto'

import { Database } from 'varve'

/** @typedef {{ user: string, expires: number }} Session */

const LASTS = 30 * 60_000

class SessionStore {
  #sessions
  #byTime
  #byUser

  /** @param {Database} db */
  constructor(db) {
    this.#sessions = db.keyspace('sessions', { valueEncoding: 'json' })
    this.#byTime = this.#sessions.keyspace('by time', { keyEncoding: 'tuple', valueEncoding: 'utf8' })
    this.#byUser = this.#sessions.keyspace('by user', { keyEncoding: 'tuple', valueEncoding: 'utf8' })
  }

  /** The places in the indexes. @param {string} id @param {Session} session */
  #rows(id, { user, expires }) {
    return [
      { key: [expires, id], keyspace: this.#byTime },
      { key: [user, id], keyspace: this.#byUser },
    ]
  }

  /** The changes that put a session in place of the one that is there. @param {string} id @param {Session} [next] */
  #replace(id, next) {
    const old = this.#sessions.getSync(id)
    /** @type {import('varve').Change[]} */
    const changes = [next === undefined ? { type: 'del', key: id } : { type: 'put', key: id, value: next }]
    if (old !== undefined) for (const row of this.#rows(id, old)) changes.unshift({ type: 'del', ...row })
    if (next !== undefined) for (const row of this.#rows(id, next)) changes.push({ type: 'put', value: '', ...row })
    return changes
  }

  /** @param {string} user @param {number} [now] @returns {Promise<string>} the id of a new session */
  async start(user, now = Date.now()) {
    const id = randomUUID()
    await this.#sessions.batch(this.#replace(id, { user, expires: now + LASTS }))
    return id
  }

  /** The session, which then lasts longer; undefined when there is none or it has expired.
   * @param {string} id @param {number} [now] @returns {Promise<Session | undefined>} */
  async touch(id, now = Date.now()) {
    const session = this.#sessions.getSync(id)
    if (session === undefined || session.expires <= now) return undefined
    const longer = { ...session, expires: now + LASTS }
    await this.#sessions.batch(this.#replace(id, longer))
    return longer
  }

  /** Ends all sessions of a user. @param {string} user */
  async endAll(user) {
    const rows = [...this.#byUser.keysSync({ prefix: [user] })]
    await this.#sessions.batch(rows.flatMap(([, id]) => this.#replace(String(id))))
    return rows.length
  }

  /** Removes what has expired. @param {number} [now] */
  async sweep(now = Date.now()) {
    const rows = [...this.#byTime.keysSync({ lt: [now] })]
    await this.#sessions.batch(rows.flatMap(([, id]) => this.#replace(String(id))))
    return rows.length
  }
}

const db = await Database.open(process.argv[2] ?? './my_sessions')
const store = new SessionStore(db)
const minutes = (/** @type {number} */ n) => Date.now() + n * 60_000

const alice = await store.start('alice')
await store.start('alice') // on her phone
const bob = await store.start('bob')
const status = async (/** @type {string} */ id, /** @type {number} */ now) =>
  (await store.touch(id, now)) === undefined ? 'logged out' : 'logged in'

console.log(`after 20 minutes: bob is ${await status(bob, minutes(20))}`)
console.log(`after 40 minutes: ${await store.sweep(minutes(40))} sessions had expired`)
console.log(`after 40 minutes: alice is ${await status(alice, minutes(40))}, bob is ${await status(bob, minutes(40))}`)
console.log(`bob leaves everywhere: ${await store.endAll('bob')} session ended`)
for (const name of db.keyspaces()) console.log(`${name}: ${await db.keyspace(name).count()} left`)

await db.close()

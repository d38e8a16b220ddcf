// leader.js: a worker that wants to lead. It waits for the Web Lock of the name; who has it opens the storage, says so
// to all tabs, and serves them until it steps down or dies. The browser gives the lock of a worker that died to the
// next one at once. From a leader that is there but does not answer the lock is taken (`challenge`).

import { Database } from '../database.js'
import { STATUS } from '../abi.js'
import { DatabaseError, statusError } from '../errors.js'
import { lockOfName } from '../host/web_names.js'
import { Lease, fencedHost } from './lease.js'
import { Server } from './server.js'
import { storageOf } from './kept_where.js'
import * as p from './protocol.js'

const WATCHERS_MS = 250
const STEAL_ANSWER_MS = 400
const AGAIN_MS = 1000

/** @typedef {{ name: string, id?: string, options: any, storage?: import('./kept_where.js').Storage,
 *   allowMemory?: boolean }} Start */

/** @param {number} ms */
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

export class Leader {
  #start
  #tell
  #id
  #channel
  #epoch = 0
  /** @type {Lease | null} */
  #lease = null
  /** @type {Server | null} */
  #server = null
  /** @type {Database | null} */
  #db = null
  /** @type {import('./kept_where.js').StoredHost | null} */
  #host = null
  /** @type {(() => void) | null} */
  #leave = null
  #stopped = false
  /** As long as we have the lock, or had it. @type {Promise<unknown>} */
  #holding = Promise.resolve()
  /** @type {Promise<unknown>} */
  #turn = Promise.resolve()
  #client
  #heard = 0
  #challenging = false
  /** @type {Map<string, { channel: BroadcastChannel | null, gone: AbortController }>} */
  #clients = new Map()

  /** @param {Start} start @param {(message: any, transfer?: Transferable[]) => void} tell the program of this worker */
  constructor(start, tell) {
    this.#start = start
    this.#id = start.id ?? p.randomId()
    this.#tell = tell
    this.#client = this.#ownClient()
    this.#channel = new BroadcastChannel(p.channelOf(start.name))
    this.#channel.onmessage = ({ data }) => this.#said(data)
  }

  get database() {
    return this.#db
  }

  get storage() {
    return this.#server?.info.storage
  }

  /** The database exists now: what open() said of its creation is over. @param {any} options */
  opened(options) {
    this.#start = { ...this.#start, options }
  }

  // ---- The lock

  /** Waits for the lock, leads, and waits again, until stop(). With `ifAvailable` it does not wait, and once is all.
   * @param {{ ifAvailable?: boolean }} [how] */
  async campaign(how = {}) {
    while (!this.#stopped) {
      const fine = await this.#attempt(how)
      if (how.ifAvailable === true) return
      if (!fine) await pause(AGAIN_MS)
    }
  }

  /** Asks for the lock, and leads while it has it. False when the database could not be opened.
   * @param {{ ifAvailable?: boolean, steal?: boolean }} how */
  async #attempt(how) {
    const lease = new Lease(
      () => this.#channel.postMessage({ t: 'beat', epoch: this.#epoch }),
      async () => (await this.#holder()) === (await this.#client),
    )
    try {
      const name = lockOfName(this.#start.name)
      const request = navigator.locks.request(name, { mode: 'exclusive', ...how }, async (lock) => {
        if (lock === null || this.#stopped) return
        this.#holding = request
        // One at a time in this thread: the last time may not be over, when the lock was taken from us.
        const leading = this.#turn.then(() => this.#lead(lease))
        this.#turn = leading.catch(() => {})
        await leading
      })
      await request
      return true
    } catch (error) {
      if (error instanceof DOMException && error.name === 'AbortError') {
        this.#lost(lease) // the lock was taken from us
        await this.#turn
        return true
      }
      this.#tell({ t: 'failed', error: p.packError(error) })
      return false
    } finally {
      lease.end()
    }
  }

  /** The browser's name for this thread: who holds a lock that only we know. */
  async #ownClient() {
    const name = `varve-leader:${this.#id}`
    return navigator.locks.request(name, async () => this.#holder(name))
  }

  /** Who has a lock. */
  async #holder(lock = lockOfName(this.#start.name)) {
    const { held } = await navigator.locks.query()
    return held?.find(({ name }) => name === lock)?.clientId
  }

  /** @param {Lease} lease that begins as one that ran out: this thread may have stood still when it got the lock */
  async #lead(lease) {
    if (!(await lease.ensure())) return
    this.#lease = lease
    const { host, storage } = await this.#storage(lease)
    this.#host = host
    try {
      if (!(await lease.ensure())) return
      const options = { ...this.#start.options, host: fencedHost(host, lease) }
      this.#db = await Database.open(this.#start.name, options)
      this.#epoch = Math.max(Date.now(), this.#epoch + 1)
      this.#server = new Server(
        this.#db,
        host,
        this.#epoch,
        (error) => this.#broken(lease, error),
        () => lease.fenced,
      )
      this.#server.info = { storage, worker: this.#id }
      const living = await p.livingClients(this.#start.name, 'varve-client')
      if (!(await lease.ensure())) return
      this.#server.forget(living)
      this.#announce()
      await this.#watchersBack()
      this.#ready()
      if (!this.#stopped && !lease.over) await new Promise((resolve) => (this.#leave = () => resolve(undefined)))
    } catch (error) {
      if (!lease.over && !lease.fenced) throw error
    } finally {
      await this.#close()
    }
  }

  /** The storage, which a leader that stands still may hold for as long as it does, where it cannot be shared.
   * @param {Lease} lease */
  async #storage(lease) {
    for (;;) {
      try {
        return await storageOf(this.#start.name, this.#start)
      } catch (error) {
        const held = error instanceof DatabaseError && error.code === 'ERR_DB_LOCKED'
        if (!held || this.#stopped || !(await lease.ensure())) throw error
      }
    }
  }

  #announce() {
    this.#channel.postMessage({ t: 'leader', epoch: this.#epoch, worker: this.#id })
    this.#tell({ t: 'leader', epoch: this.#epoch, worker: this.#id })
  }

  #open = false

  /** Those who watch must be there again before anything is changed. */
  async #watchersBack() {
    const watching = await p.livingClients(this.#start.name, 'varve-watch')
    const until = performance.now() + WATCHERS_MS
    const missing = () => [...watching].some((id) => !this.#server?.has(id))
    while (missing() && performance.now() < until) await pause(5)
  }

  #held = /** @type {any[]} */ ([])

  #ready() {
    this.#open = true
    const held = this.#held
    this.#held = []
    for (const message of held) void this.receive(message)
  }

  async #close() {
    const db = this.#db
    const host = this.#host
    const lease = this.#lease
    this.#open = false
    this.#held = []
    this.#server?.stop()
    this.#server = null
    this.#db = null
    this.#host = null
    this.#leave = null
    for (const { channel, gone } of this.#clients.values()) {
      gone.abort()
      channel?.close()
    }
    this.#clients.clear()
    try {
      db?.closeSync()
    } catch (error) {
      if (lease?.over !== true && lease?.fenced !== true) throw error
    } finally {
      await host?.close?.()
    }
  }

  /** Nothing more may be written. @param {Lease} lease */
  #lost(lease) {
    lease.over = true
    if (this.#lease === lease) this.#leave?.()
  }

  /** What is in memory is more than what is stored: the storage did not keep what was committed, or did not take it any
   * more from this thread. The database is opened anew, here or elsewhere.
   * @param {Lease} lease @param {unknown} error */
  #broken(lease, error) {
    if (!lease.fenced) this.#tell({ t: 'failed', error: p.packError(error) })
    this.#lost(lease)
  }

  /** Closes the database and gives the lock back. */
  async stop() {
    this.#stopped = true
    this.#leave?.()
    await this.#holding.catch(() => {}) // told already
    this.#channel.close()
  }

  // ---- What others say

  /** @param {any} message */
  #said(message) {
    if (message.t === 'beat' || message.t === 'leader') this.#heard = performance.now()
    if (this.#server === null) return
    if (message.t === 'who') this.#channel.postMessage({ t: 'leader', epoch: this.#epoch, worker: this.#id })
    else if (message.t === 'hello' && message.epoch === this.#epoch) this.#hello(message)
  }

  /** A client of another tab. @param {any} message */
  #hello(message) {
    const known = this.#clients.get(message.session)
    const channel = known?.channel ?? new BroadcastChannel(p.sessionChannelOf(message.session))
    channel.onmessage = ({ data }) => {
      if (data.up === true) void this.receive(data)
    }
    this.welcome(message, (answer) => channel.postMessage(answer), channel)
  }

  /** @param {any} hello @param {import('./server.js').Post} post @param {BroadcastChannel | null} channel */
  welcome(hello, post, channel) {
    if (this.#server === null) return
    try {
      if (hello.exclusive === true && channel !== null) throw statusError(STATUS.EXISTS)
      this.#server.hello(hello, post)
    } catch (error) {
      post({ t: 'refused', session: hello.session, error: p.packError(error) })
    }
    if (this.#clients.has(hello.session)) return
    const gone = new AbortController()
    this.#clients.set(hello.session, { channel, gone })
    const lock = p.clientLockOf(this.#start.name, hello.session)
    navigator.locks.request(lock, { signal: gone.signal }, () => this.#bye(hello.session)).catch(() => {})
  }

  /** @param {string} session */
  #bye(session) {
    const known = this.#clients.get(session)
    if (known === undefined) return
    this.#clients.delete(session)
    known.gone.abort()
    known.channel?.close()
    this.#server?.bye(session)
  }

  /** A message of a session. @param {any} message */
  async receive(message) {
    if (this.#server === null || message.epoch !== this.#epoch) return
    if (message.t === 'ping' && !this.#open) return this.#channel.postMessage({ t: 'beat', epoch: this.#epoch })
    if (!this.#open || this.#held.length > 0) return void this.#held.push(message)
    if (this.#lease?.valid !== true) {
      this.#held.push(message) // what comes next waits behind it
      const lease = /** @type {Lease} */ (this.#lease)
      if (!(await lease.ensure())) return this.#lost(lease)
      const held = this.#held
      this.#held = []
      for (const one of held) this.#receiveNow(one)
      return
    }
    this.#receiveNow(message)
    void this.#lease.ensure() // for the work in the background that follows
  }

  /** @param {any} message */
  #receiveNow(message) {
    if (message.t !== 'bye') return void this.#server?.receive(message)
    const known = this.#clients.get(message.session)
    known?.channel?.postMessage({ t: 'gone', epoch: this.#epoch, session: message.session })
    this.#bye(message.session)
  }

  // ---- Taking over

  /** The leader did not answer a client for SILENT_MS: makes sure of it, and takes the lock. */
  async challenge() {
    this.#tell({ t: 'here' })
    if (this.#server !== null || this.#challenging || this.#stopped) return
    this.#challenging = true
    try {
      const name = `varve-challenge:${this.#start.name}`
      await navigator.locks.request(name, { ifAvailable: true }, async (lock) => {
        if (lock === null) return
        const asked = performance.now()
        this.#channel.postMessage({ t: 'who' })
        await pause(STEAL_ANSWER_MS)
        if (this.#heard >= asked || this.#server !== null) return
        void this.#attempt({ steal: true })
        await pause(p.SILENT_MS)
      })
    } finally {
      this.#challenging = false
    }
  }
}

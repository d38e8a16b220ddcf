// link.js: a client's side: one session with whoever leads. Calls are gathered for a turn and sent as one message; what
// was not answered when the leader changes is sent again to the next one (protocol.js says why that is exact).
//
// Invariants
//   1. #outbox and #waiting together are all calls that have no outcome yet, in the order in which they were made:
//      those in #waiting were sent to the current leader, those in #outbox were not.
//   2. A call ends: by a result, by a failure, or with ERR_DB_LEADER_LOST when no leader was heard for `timeout`.

import { STATUS } from '../abi.js'
import { DatabaseError, closedError, statusError } from '../errors.js'
import * as p from './protocol.js'

/**
 * @typedef {object} Call
 * @property {number} id
 * @property {any[]} parts op and arguments; of a commit they are made when it is sent
 * @property {Write[] | null} writes of a commit
 * @property {number} bytes of them
 * @property {number} number of a commit; 0 = not sent yet
 * @property {((value: any) => void) | null} resolve null: nobody waits
 * @property {((error: unknown) => void) | null} reject
 * @property {((done: number, total: number) => void) | undefined} progress
 */
/**
 * @typedef {object} Write
 * @property {number} durability
 * @property {import('../changes.js').Change[]} changes
 * @property {() => void} resolve
 * @property {(error: unknown) => void} reject
 * @property {((error: unknown, index: number) => unknown) | undefined} at
 */

const GROUP_BYTES = 1 << 20
const TICK_MS = 100
const LATE_MS = 1000
const ONE_CALLERS_FAULT = new Set([
  ...['ERR_DB_CLOSED', 'ERR_DB_INVALID', 'ERR_DB_LIMIT', 'ERR_DB_NOMEM', 'ERR_DB_BUG', 'TypeError'],
  ...['ERR_DB_KEY_TOO_LARGE', 'ERR_DB_VALUE_TOO_LARGE'],
])

export class Link {
  #name
  #session = p.randomId()
  #options
  /** @type {BroadcastChannel | null} */
  #channel = null
  /** @type {BroadcastChannel | null} */
  #own = null
  /** @type {import('./page_worker.js').PageWorker} */
  #worker
  /** @type {(() => void) | null} */
  #release = null
  /** @type {(() => void) | null} */
  #releaseWatch = null
  /** The leader that was heard of, and whether it knows us. */
  #leader = { epoch: 0, worker: '' }
  #welcome = false
  #post = /** @type {((message: any) => void) | null} */ (null)
  #nextId = 1
  #nextNumber = 1
  #sent = 0
  #ack = 0
  /** @type {Call[]} */
  #outbox = []
  /** @type {Map<number, Call>} */
  #waiting = new Map()
  #scheduled = false
  #heard = 0
  #lastTick = 0
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #ticker
  #closed = /** @type {Error | null} */ (null)
  /** What the leader says of the database. @type {any} */
  info = {}
  /** @type {Map<string, { index: number, name: string, known: boolean }>} */
  #keyspaces = new Map()
  #nextKeyspace = 1
  /** Those that were dropped: their numbers are never used again. @type {number[]} */
  #dropped = []
  /** @type {Map<number, { message: any, tell: (changes: any[]) => void, missed: () => void }>} */
  #watches = new Map()
  #sequence = /** @type {number | undefined} */ (undefined)
  /** @type {(() => void) | null} */
  #opened = null
  /** @type {((error: unknown) => void) | null} */
  #refused = null
  /** Times that the leader changed. */
  changes = 0

  /** @param {string} name @param {{ readOnly: boolean, timeout: number, exclusive: boolean }} options
   * @param {(link: Link) => import('./page_worker.js').PageWorker} worker */
  constructor(name, options, worker) {
    this.#name = name
    this.#options = options
    this.#worker = worker(this)
  }

  /** The worker of this page leads. */
  get leads() {
    return this.#welcome && this.#leader.worker === this.#worker.id
  }

  // ---- Open and close

  /** Settles when a leader has welcomed us. @returns {Promise<void>} */
  async open() {
    await new Promise((resolve) => {
      void navigator.locks.request(p.clientLockOf(this.#name, this.#session), () => {
        resolve(undefined)
        return new Promise((release) => (this.#release = () => release(undefined)))
      })
    })
    this.#channel = new BroadcastChannel(p.channelOf(this.#name))
    this.#channel.onmessage = ({ data }) => this.#announced(data)
    this.#own = new BroadcastChannel(p.sessionChannelOf(this.#session))
    this.#own.onmessage = ({ data }) => {
      if (data.up !== true) this.received(data)
    }
    /** @type {Promise<void>} */
    const opened = new Promise((resolve, reject) => {
      this.#opened = resolve
      this.#refused = reject
    })
    this.#heard = performance.now()
    this.#worker.start()
    this.#channel.postMessage({ t: 'who' })
    this.#tick()
    try {
      await opened
    } catch (error) {
      await this.close()
      throw error
    }
  }

  /** @param {Error} [reason] */
  async close(reason = closedError('the database')) {
    if (this.#closed !== null) return
    if (this.#welcome) await this.#settle()
    this.#closed = reason
    this.#failAll(reason)
    clearInterval(this.#ticker)
    if (this.#welcome) this.#post?.(this.#message('bye'))
    await this.#worker.stop()
    this.#channel?.close()
    this.#own?.close()
    this.#releaseWatch?.()
    this.#release?.()
  }

  /** Waits for what was written before. */
  async #settle() {
    await this.request(p.OP_CARE, 'stats').catch(() => {})
  }

  // ---- Calls

  /** @param {number} op @param {...any} rest @returns {Promise<any>} */
  request(op, ...rest) {
    return new Promise((resolve, reject) => this.#add([op, ...rest], resolve, reject))
  }

  /** A long call. @param {any} progress @param {number} op @param {...any} rest @returns {Promise<any>} */
  longRequest(progress, op, ...rest) {
    return new Promise((resolve, reject) => this.#add([op, ...rest], resolve, reject, progress))
  }

  /** A call without a result. @param {number} op @param {...any} rest */
  send(op, ...rest) {
    if (this.#closed === null) this.#add([op, ...rest], null, null)
  }

  /** @param {any[]} parts @param {Call['resolve']} resolve @param {Call['reject']} reject @param {any} [progress] */
  #add(parts, resolve, reject, progress) {
    if (this.#closed !== null) return void reject?.(this.#closed)
    this.#outbox.push({ id: this.#nextId++, parts, writes: null, bytes: 0, number: 0, resolve, reject, progress })
    this.#schedule()
  }

  /** Writes that follow each other share a commit. @param {number} durability
   * @param {readonly import('../changes.js').Change[]} changes @param {Write['at']} at @returns {Promise<void>} */
  commit(durability, changes, at) {
    if (this.#closed !== null) return Promise.reject(this.#closed)
    let bytes = 0
    let apart = false // it looks for keys, and must find what was written before it
    const own = changes.map((change) => {
      const { key, value } = change
      if (change.kind === p.CLEAR_SPAN) apart = true
      else bytes += key.length + value.length + 16
      return { ...change, key: p.kept(key), value: p.kept(value) }
    })
    return new Promise((resolve, reject) => {
      const write = { durability, changes: own, resolve, reject, at }
      const last = this.#outbox.at(-1)
      const joins = !apart && last !== undefined && last.number === 0 && last.bytes + bytes <= GROUP_BYTES
      if (joins && last.writes !== null) {
        last.writes.push(write)
        last.bytes += bytes
      } else this.#outbox.push(this.#commitOf([write], bytes))
      this.#schedule()
    })
  }

  /** @param {Write[]} writes @param {number} bytes @returns {Call} */
  #commitOf(writes, bytes) {
    return {
      ...{ id: this.#nextId++, parts: [], writes, bytes, number: 0, progress: undefined },
      resolve: () => writes.forEach((write) => write.resolve()),
      reject: (error) => writes.forEach((write) => write.reject(error)),
    }
  }

  // ---- Out

  #schedule() {
    if (this.#scheduled) return
    this.#scheduled = true
    p.afterReactions(() => {
      this.#scheduled = false
      this.#flush()
    })
  }

  /** @param {string} t @param {any} [more] */
  #message(t, more) {
    return { t, up: true, session: this.#session, epoch: this.#leader.epoch, ...more }
  }

  #flush() {
    if (this.#outbox.length === 0 || this.#closed !== null) return
    this.#worker.wake()
    this.#tick()
    if (!this.#welcome || this.#post === null) return
    const calls = this.#outbox
    this.#outbox = []
    if (this.#waiting.size === 0) this.#heard = Math.max(this.#heard, performance.now())
    const sent = calls.map((call) => this.#ready(call))
    this.#post(this.#message('do', { number: ++this.#sent, ack: this.#ack, calls: sent }))
  }

  /** @param {Call} call @returns {any[]} as it goes out */
  #ready(call) {
    const { id, writes, parts, resolve } = call
    if (resolve !== null) this.#waiting.set(id, call)
    if (writes === null) return [resolve === null ? 0 : id, ...parts]
    if (call.number === 0) call.number = this.#nextNumber++
    let durability = 0
    /** @type {[number[], number[], any[], any[]]} */
    const [kinds, spaces, keys, values] = [[], [], [], []]
    for (const write of writes) {
      durability = Math.max(durability, write.durability)
      for (const change of write.changes) {
        kinds.push(change.kind)
        spaces.push(change.keyspace)
        keys.push(change.key)
        values.push(change.value)
      }
    }
    return [id, p.OP_COMMIT, call.number, durability, kinds, spaces, keys, values]
  }

  // ---- In

  /** What is said to all tabs. @param {any} message */
  #announced(message) {
    if (message.t === 'beat' && message.epoch === this.#leader.epoch) this.#heard = performance.now()
    if (message.t === 'leader') this.leaderIs(message, null)
  }

  /** Somebody leads. @param {{ epoch: number, worker: string }} leader
   * @param {((message: any) => void) | null} port to our own worker, when it is that */
  leaderIs(leader, port) {
    if (leader.epoch === this.#leader.epoch) this.#heard = performance.now()
    const news = leader.epoch > this.#leader.epoch
    // Our own worker says it on the channel too, to everybody but itself: its port is the way.
    if (!news && !(port !== null && leader.worker === this.#leader.worker && !this.#welcome)) return
    if (news && this.#leader.epoch !== 0) this.changes++
    this.#leader = { epoch: leader.epoch, worker: leader.worker }
    const own = this.#own
    this.#post = port ?? ((message) => own?.postMessage(message))
    this.#greet(port)
  }

  /** Says hello to the leader, with all that it must know. @param {((message: any) => void) | null} port */
  #greet(port) {
    this.#welcome = false
    this.#heard = performance.now()
    const keyspaces = [
      ...this.#dropped.map((index) => [index, null, true]),
      ...[...this.#keyspaces.values()].map(({ index, name, known }) => [index, name, known]),
    ]
    const watches = [...this.#watches.values()].map(({ message }) => message)
    const { readOnly, exclusive } = this.#options
    const fresh = Object.keys(this.info).length === 0
    const hello = this.#message('hello', {
      readOnly,
      exclusive: exclusive && fresh,
      keyspaces,
      watches,
      sequence: this.#sequence,
    })
    if (port !== null) port(hello)
    else this.#channel?.postMessage(hello)
  }

  /** A message of our session. @param {any} message */
  received(message) {
    if (message.session !== this.#session || this.#closed !== null) return
    if (message.t === 'refused') return this.#refuse(p.unpackError(message.error))
    if (message.epoch !== this.#leader.epoch) return
    this.#heard = performance.now()
    if (message.t === 'welcome') this.#welcomed(message)
    else if (message.t === 'did' && this.#welcome) this.#did(message)
    else if (message.t === 'pong') this.#pong(message)
    else if (message.t === 'progress') this.#waiting.get(message.id)?.progress?.(message.done, message.total)
  }

  /** @param {any} message */
  #welcomed({ info, missed, sequence }) {
    if (this.#welcome) return
    this.#welcome = true
    this.info = info
    this.#ack = 0
    this.#sent = 0
    this.#outbox = [...this.#waiting.values(), ...this.#outbox]
    this.#waiting.clear()
    if (missed) for (const watch of this.#watches.values()) watch.missed()
    if (this.#watches.size > 0) this.#sequence = sequence
    this.#opened?.()
    this.#flush()
  }

  /** @param {any} message */
  #did({ results, told, sequence }) {
    if (this.#watches.size > 0 && sequence !== undefined) this.#sequence = sequence
    for (const [id, ok, value] of results) {
      const call = this.#waiting.get(id)
      if (call === undefined) continue
      this.#waiting.delete(id)
      if (ok === 1) call.resolve?.(value)
      else this.#failed(call, p.unpackError(value))
    }
    for (const [id, changes] of told) this.#watches.get(id)?.tell(changes)
    if (this.#waiting.size === 0 && this.#outbox.length === 0) this.#rest()
  }

  /** @param {Call} call @param {any} error */
  #failed(call, error) {
    const { writes } = call
    if (writes === null) return call.reject?.(error)
    // What came after it was not done, and is sent again with other numbers.
    this.#ack = call.number
    const again = [...this.#waiting.values()]
    this.#waiting.clear()
    for (const one of again) one.number = 0
    this.#outbox = [...again, ...this.#outbox]
    const code = error instanceof DatabaseError ? error.code : 'TypeError'
    if (writes.length > 1 && ONE_CALLERS_FAULT.has(code)) {
      this.#outbox = [...writes.map((write) => this.#commitOf([write], call.bytes)), ...this.#outbox]
    } else for (const write of writes) write.reject(error)
    this.#schedule()
  }

  /** @param {unknown} error */
  #refuse(error) {
    if (this.#refused !== null && Object.keys(this.info).length === 0) return this.#refused(error)
    this.#failAll(error)
  }

  /** Our worker could not open the database, and nobody else leads. @param {unknown} error */
  workerFailed(error) {
    if (!this.#welcome || this.#leader.worker === this.#worker.id) this.#refuse(error)
  }

  /** @param {unknown} error */
  #failAll(error) {
    const all = [...this.#waiting.values(), ...this.#outbox]
    this.#waiting.clear()
    this.#outbox = []
    for (const call of all) call.reject?.(error)
    if (this.#closed === null) this.#rest()
  }

  // ---- Whether the leader is there

  /** Looks after the leader for as long as anybody waits for it. */
  #tick() {
    if (this.#ticker !== undefined || this.#closed !== null) return
    this.#lastTick = performance.now()
    this.#ticker = setInterval(() => this.#look(), TICK_MS)
  }

  #rest() {
    if (!this.#welcome) return
    clearInterval(this.#ticker)
    this.#ticker = undefined
  }

  #look() {
    const now = performance.now()
    // This page stood still itself, or is in the background: that nothing was heard says nothing.
    if (now - this.#lastTick > LATE_MS) this.#heard = now
    this.#lastTick = now
    if (this.#welcome && this.#waiting.size === 0 && this.#outbox.length === 0) return this.#rest()
    const silent = now - this.#heard
    if (silent >= p.ASK_MS) {
      this.#channel?.postMessage({ t: 'who' })
      if (this.#welcome) this.#post?.(this.#message('ping'))
    }
    if (silent >= p.SILENT_MS) this.#worker.challenge(this.#leader.worker)
    if (silent >= this.#options.timeout) this.#giveUp()
  }

  #giveUp() {
    this.#heard = performance.now()
    if (this.#opened !== null && Object.keys(this.info).length === 0) {
      const message = `another tab has '${this.#name}' open and does not answer; close it or reload it, then try again`
      return this.#refused?.(statusError(STATUS.LOCKED, message))
    }
    this.#failAll(
      statusError(
        STATUS.LEADER_LOST,
        `no tab that has '${this.#name}' open answered within ${this.#options.timeout} ms; ` +
          'a write that failed with this may have been made or not',
      ),
    )
  }

  /** @param {any} message */
  #pong({ read, pending }) {
    if (pending || this.#waiting.size === 0) return
    // It owes nothing, and yet we wait: a message was lost. The session begins anew.
    if (read <= this.#sent) this.#greet(this.#leader.worker === this.#worker.id ? this.#post : null)
  }

  // ---- Keyspaces, watches, handles

  /** @param {string} name @returns {number} */
  openKeyspace(name) {
    const known = this.#keyspaces.get(name)
    if (known !== undefined) return known.index
    const keyspace = { index: this.#nextKeyspace++, name, known: false }
    this.#keyspaces.set(name, keyspace)
    // A failure is told by the calls that use it.
    this.request(p.OP_KEYSPACE, keyspace.index, name).then(
      () => (keyspace.known = true),
      () => {},
    )
    return keyspace.index
  }

  /** A name that was dropped begins anew. @param {string} name */
  forgetKeyspace(name) {
    for (const [key, { index }] of this.#keyspaces) {
      if (key !== name && !key.startsWith(`${name}/`)) continue
      this.#keyspaces.delete(key)
      this.#dropped.push(index)
    }
  }

  /** @param {any} message @param {(changes: any[]) => void} tell @param {() => void} missed */
  watch(message, tell, missed) {
    if (this.#watches.size === 0) {
      void navigator.locks.request(p.watchLockOf(this.#name, this.#session), () => {
        return new Promise((release) => (this.#releaseWatch = () => release(undefined)))
      })
    }
    this.#watches.set(message.id, { message, tell, missed })
    this.send(p.OP_WATCH, message)
  }

  /** @param {number} id */
  unwatch(id) {
    if (!this.#watches.delete(id)) return
    this.send(p.OP_UNWATCH, id)
    if (this.#watches.size > 0) return
    this.#sequence = undefined
    this.#releaseWatch?.()
  }

  /** @param {number} id */
  closeIterator(id) {
    this.send(p.OP_END, id)
  }

  /** @param {number} id */
  closeSnapshot(id) {
    this.send(p.OP_LET_GO, id)
  }

  newId() {
    return this.#nextId++
  }
}

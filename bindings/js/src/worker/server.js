// server.js: the leader's side: one Database, and the sessions of the clients that use it. It knows nothing of locks
// and channels (leader.js does): messages come in by receive(), and go out by the post() that each session came with.
//
// Invariants
//   1. A session's calls are made in the order in which they were sent.
//   2. After a commit that failed nothing of the session is done until a message acknowledges the failure: what came
//      after it is sent again (see protocol.js).
//   3. Nothing that tells of a commit is posted before the host has settled it.

import { ABI_OP_DEL, ABI_OP_PUT, STATUS } from '../abi.js'
import { FORM_TEXT, FORM_VIEW } from '../encodings.js'
import { closedError, statusError } from '../errors.js'
import { contextOf } from '../store.js'
import { careFor } from './care_calls.js'
import * as p from './protocol.js'

const PAGE_BYTES = 256 << 10
const TRANSFER_FROM = 16 << 10

/** @typedef {(message: any, transfer?: Transferable[]) => void} Post */

/**
 * @typedef {object} Session
 * @property {string} id
 * @property {Uint8Array} key of its number in the clients' keyspace
 * @property {Post} post
 * @property {boolean} readOnly
 * @property {number} last number of the last commit that was made
 * @property {number} failed number of the last commit that failed
 * @property {number} read messages so far
 * @property {Map<number, { handle: number, error?: unknown }>} keyspaces by the client's numbers
 * @property {Map<number, number>} snapshots
 * @property {Map<number, Rows>} rows
 * @property {Map<number, any>} watches
 * @property {any[]} results that go out together
 * @property {any[]} told
 * @property {Transferable[]} transfer
 * @property {boolean} due something is to go out
 */
/** @typedef {{ handle: number, keys: boolean, values: boolean, keyForm: number, valueForm: number }} Rows */

const lost = (/** @type {string} */ what) =>
  statusError(STATUS.LEADER_LOST, `${what} was lost when the tab that had it open was closed: open another one`)

export class Server {
  #context
  #host
  #clients
  #epoch
  /** @type {Map<string, Session>} */
  #sessions = new Map()
  #strictest = 0
  #committed = false
  #sending = Promise.resolve()
  #unsettled = 0
  #stopped = false
  #failed
  #fenced

  /** @param {import('../database.js').Database} db @param {any} host @param {number} epoch
   * @param {(error: unknown) => void} failed told when the host could not keep what was committed
   * @param {() => boolean} [fenced] whether this thread may not write any more */
  constructor(db, host, epoch, failed, fenced = () => false) {
    this.#context = contextOf(db)
    this.#host = host
    this.#clients = this.#context.engine.clientsKeyspace()
    this.#epoch = epoch
    this.#failed = failed
    this.#fenced = fenced
  }

  // ---- Sessions

  /** Begins a session, or goes on with one that another leader had. @param {any} hello @param {Post} post */
  hello(hello, post) {
    const known = this.#sessions.get(hello.session)
    if (known !== undefined) this.#endWatches(known)
    const key = p.bytesOfId(hello.session)
    /** @type {Session} */
    const session = {
      ...{ id: hello.session, key, post, readOnly: hello.readOnly === true, last: this.#numberOf(key), failed: 0 },
      ...{ read: 0, keyspaces: known?.keyspaces ?? new Map(), snapshots: known?.snapshots ?? new Map() },
      ...{ rows: known?.rows ?? new Map(), watches: new Map(), results: [], told: [], transfer: [], due: false },
    }
    this.#sessions.set(hello.session, session)
    for (const [index, name, was] of hello.keyspaces) {
      try {
        this.#keyspace(session, index, name, was)
      } catch {
        // Told by the calls that use it.
      }
    }
    const sequence = this.#sequence()
    if (sequence !== this.#ownEnd) this.#lastChange = sequence
    for (const watch of hello.watches) this.#watch(session, watch)
    const missed = hello.sequence !== undefined && hello.sequence < this.#lastChange
    post({ t: 'welcome', epoch: this.#epoch, session: session.id, sequence, missed, info: this.info })
  }

  /** What a client is told of the database. @type {any} */
  info = {}
  // Sequences tell a client that watches whether it was told of everything. What this file writes for itself does not
  // count: #lastChange is the sequence of the last commit that was not such a one, as
  // far as a client must know.
  #lastChange = 0
  #ownEnd = -1

  #sequence() {
    return this.#context.engine.stats().sequence
  }

  /** Removes clients' numbers. @param {Uint8Array[]} keys */
  #remove(keys) {
    const before = this.#sequence()
    if (before !== this.#ownEnd) this.#lastChange = before
    this.#context.queue.now(
      0,
      keys.map((key) => ({ kind: ABI_OP_DEL, keyspace: this.#clients, key, value: '' })),
    )
    this.#ownEnd = this.#sequence()
    for (const session of this.#sessions.values()) if (session.watches.size > 0) session.due = true
  }

  /** @param {string} id */
  has(id) {
    return this.#sessions.has(id)
  }

  /** The number of the client's last commit. @param {Uint8Array} key */
  #numberOf(key) {
    const found = this.#context.engine.get(this.#clients, 0, key, FORM_VIEW)
    return found === undefined ? 0 : Number(new DataView(found.buffer, found.byteOffset).getBigUint64(0, true))
  }

  /** A client is gone: what it had open is closed, and its number forgotten. @param {string} id */
  bye(id) {
    const session = this.#sessions.get(id)
    if (session === undefined) return
    this.#sessions.delete(id)
    this.#endWatches(session)
    const { engine } = this.#context
    try {
      for (const { handle } of session.rows.values()) engine.closeIterator(handle)
      for (const handle of session.snapshots.values()) engine.closeSnapshot(handle)
      if (session.last > 0) this.#remove([session.key])
      this.#send()
    } catch {
      // The engine has stopped: what the session had is gone with it.
    }
  }

  /** Forgets the numbers of clients that are gone. @param {Set<string>} living */
  forget(living) {
    const { engine } = this.#context
    const span = { lower: '', upper: '', prefix: '', empty: false, reverse: false, limit: Infinity }
    const iterator = engine.openIterator(this.#clients, 0, { ...span, snapshot: undefined, signal: undefined })
    /** @type {Uint8Array[]} */
    const keys = []
    while (!engine.readPage(iterator, keys, null, 1000, PAGE_BYTES, FORM_VIEW, FORM_VIEW));
    engine.closeIterator(iterator)
    const stale = keys.filter((key) => key.length === 16 && !living.has(p.idOfBytes(key)))
    if (stale.length > 0) this.#remove(stale)
  }

  /** The leader steps down; nothing is answered any more. */
  stop() {
    this.#stopped = true
    this.#sessions.clear()
  }

  // ---- Messages

  /** A message of a client. False when there is no such session. @param {any} message */
  receive(message) {
    const session = this.#sessions.get(message.session)
    if (this.#stopped || session === undefined || message.epoch !== this.#epoch) return false
    if (message.t === 'ping') {
      const pending = this.#unsettled > 0
      session.post({ t: 'pong', epoch: this.#epoch, session: session.id, read: session.read, pending })
    } else if (message.t === 'do') {
      session.read = message.number
      this.#calls(session, message)
      this.#send()
    }
    return true
  }

  /** @param {Session} session @param {any} message */
  #calls(session, { ack, calls }) {
    if (session.failed > ack) return
    for (const call of calls) {
      const id = call[0]
      try {
        const value = this.#call(session, call)
        if (id !== 0) session.results.push([id, 1, value])
      } catch (error) {
        if (this.#fenced()) return this.#giveUp(error) // nobody is told: the next leader answers
        if (id !== 0) session.results.push([id, 0, p.packError(error)])
        if (call[1] === p.OP_COMMIT) {
          session.failed = call[2]
          break
        }
      }
    }
    session.due = true
  }

  /** Posts what has come together, once the host has settled the commits in it. */
  #send() {
    const due = [...this.#sessions.values()].filter((session) => session.due)
    if (due.length === 0) return
    const sequence = due.some((session) => session.watches.size > 0) ? this.#sequence() : undefined
    const messages = due.map((session) => {
      const { results, told, transfer } = session
      Object.assign(session, { results: [], told: [], transfer: [], due: false })
      const message = { t: 'did', epoch: this.#epoch, session: session.id, results, told, sequence }
      return () => {
        if (!this.#stopped && this.#sessions.get(session.id) === session) session.post(message, transfer)
      }
    })
    const settled = this.#committed ? this.#host?.settled?.(this.#strictest === 2 ? 'strict' : 'relaxed') : undefined
    this.#committed = false
    this.#strictest = 0
    if (settled === undefined && this.#unsettled === 0) return messages.forEach((post) => post())
    this.#unsettled++
    this.#sending = Promise.all([this.#sending, settled])
      .then(
        () => messages.forEach((post) => post()),
        (error) => this.#giveUp(error),
      )
      .finally(() => this.#unsettled--)
  }

  /** @param {unknown} error */
  #giveUp(error) {
    this.#stopped = true
    this.#failed(error)
  }

  // ---- Calls

  /** @param {Session} session @param {any[]} call */
  #call(session, [id, op, ...rest]) {
    const { engine, queue } = this.#context
    if (op === p.OP_COMMIT) return this.#commit(session, rest)
    queue.flush() // of this thread's own program, when it has the database open as well
    switch (op) {
      case p.OP_GET:
        return this.#out(
          session,
          engine.get(this.#space(session, rest[0]), this.#snap(session, rest[1]), rest[2], rest[3]),
        )
      case p.OP_HAS:
        return engine.has(this.#space(session, rest[0]), this.#snap(session, rest[1]), rest[2])
      case p.OP_GET_MANY:
        return engine.getMany(this.#space(session, rest[0]), this.#snap(session, rest[1]), rest[2], rest[3])
      case p.OP_COUNT:
        return engine.count(this.#space(session, rest[0]), this.#snap(session, rest[1]), rest[2])
      case p.OP_KEYSPACE:
        return this.#keyspace(session, rest[0], rest[1], false)
      case p.OP_ROWS:
        return this.#rows(session, rest)
      case p.OP_MORE:
        return this.#more(session, rest[0], rest[1])
      case p.OP_END:
        return this.#endRows(session, rest[0])
      case p.OP_SNAPSHOT:
        return this.#snapshot(session, rest[0])
      case p.OP_LET_GO:
        return this.#letGo(session, rest[0])
      case p.OP_WATCH:
        return this.#watch(session, rest[0])
      case p.OP_UNWATCH:
        return this.#unwatch(session, rest[0])
      case p.OP_CARE:
        return this.#care(session, id, rest[0], rest[1])
      default:
        throw statusError(STATUS.UNSUPPORTED, `this leader does not know the call ${op}: reload all tabs of the page`)
    }
  }

  /** Large bytes are handed over, not copied. @param {Session} session @param {any} value */
  #out(session, value) {
    if (value instanceof Uint8Array && value.length >= TRANSFER_FROM) session.transfer.push(value.buffer)
    return value
  }

  /** @param {Session} session @param {number} index @returns {number} */
  #space(session, index) {
    if (index === 0) return 0
    const found = session.keyspaces.get(index)
    if (found === undefined) throw statusError(STATUS.BUG, `a call names keyspace ${index}, which nobody opened`)
    if (found.error !== undefined) throw found.error
    return found.handle
  }

  /** @param {Session} session @param {number} id */
  #snap(session, id) {
    if (id === 0) return 0
    const handle = session.snapshots.get(id)
    if (handle === undefined) throw lost('the snapshot')
    return handle
  }

  /** Opens a keyspace under the client's number for it. One that was there before and is not any more was dropped.
   * @param {Session} session @param {number} index @param {string | null} name null: this client dropped it
   * @param {boolean} was */
  #keyspace(session, index, name, was) {
    if (session.keyspaces.has(index)) return
    const { engine } = this.#context
    try {
      if (name === null || (was && !engine.keyspaces().includes(name)))
        throw closedError(`the keyspace "${name ?? index}"`)
      session.keyspaces.set(index, { handle: engine.openKeyspace(name) })
      this.#committed = true
    } catch (error) {
      session.keyspaces.set(index, { handle: 0, error })
      throw error
    }
  }

  /** @param {Session} session @param {any[]} rest */
  #commit(session, [number, durability, kinds, spaces, keys, values]) {
    if (number <= session.last) return // made already, by a leader that could not say so
    if (session.readOnly) throw statusError(STATUS.READONLY)
    const changes = []
    for (let i = 0; i < kinds.length; i++) {
      const keyspace = this.#space(session, spaces[i])
      if (kinds[i] === p.CLEAR_SPAN) this.#found(keyspace, keys[i], changes)
      else changes.push({ kind: kinds[i], keyspace, key: keys[i], value: values[i] })
    }
    if (changes.length > 0) {
      const value = new Uint8Array(8)
      new DataView(value.buffer).setBigUint64(0, BigInt(number), true)
      changes.push({ kind: ABI_OP_PUT, keyspace: this.#clients, key: session.key, value })
      this.#context.queue.now(durability, changes)
      this.#committed = true
      this.#strictest = Math.max(this.#strictest, durability)
      for (const other of this.#sessions.values()) if (other.watches.size > 0) other.due = true // they count sequences
    }
    session.last = number
  }

  /** Deletions of the first keys of a span, as the database is now.
   * @param {number} keyspace @param {any} span @param {any[]} changes */
  #found(keyspace, span, changes) {
    const { engine, queue } = this.#context
    queue.flush()
    const iterator = engine.openIterator(keyspace, 0, span)
    try {
      /** @type {Uint8Array[]} */
      const keys = []
      for (let done = false; !done && keys.length < span.limit;) {
        const wanted = Math.min(1000, span.limit - keys.length)
        done = engine.readPage(iterator, keys, null, wanted, PAGE_BYTES, FORM_VIEW, FORM_VIEW)
      }
      for (const key of keys) changes.push({ kind: ABI_OP_DEL, keyspace, key, value: '' })
    } finally {
      engine.closeIterator(iterator)
    }
  }

  // ---- Rows

  /** @param {Session} session @param {any[]} rest */
  #rows(session, [id, space, snapshot, span, keys, values, keyForm, valueForm, count]) {
    const handle = this.#context.engine.openIterator(this.#space(session, space), this.#snap(session, snapshot), span)
    session.rows.set(id, { handle, keys, values, keyForm, valueForm })
    return this.#more(session, id, count)
  }

  /** @param {Session} session @param {number} id @param {number} count */
  #more(session, id, count) {
    const rows = session.rows.get(id)
    if (rows === undefined) throw lost('the iterator')
    const keys = rows.keys ? [] : null
    const values = rows.values ? [] : null
    let done
    try {
      const { handle, keyForm, valueForm } = rows
      done = this.#context.engine.readPage(handle, keys, values, count, PAGE_BYTES, keyForm, valueForm)
    } catch (error) {
      this.#endRows(session, id)
      throw error
    }
    if (done) this.#endRows(session, id)
    if (rows.valueForm !== FORM_TEXT) for (const value of values ?? []) this.#out(session, value)
    return [keys, values, done]
  }

  /** @param {Session} session @param {number} id */
  #endRows(session, id) {
    const rows = session.rows.get(id)
    if (rows === undefined) return
    session.rows.delete(id)
    this.#context.engine.closeIterator(rows.handle)
  }

  /** @param {Session} session @param {number} id */
  #snapshot(session, id) {
    const { handle, sequence } = this.#context.engine.openSnapshot()
    session.snapshots.set(id, handle)
    return sequence
  }

  /** @param {Session} session @param {number} id */
  #letGo(session, id) {
    const handle = session.snapshots.get(id)
    if (handle === undefined) return
    session.snapshots.delete(id)
    this.#context.engine.closeSnapshot(handle)
  }

  // ---- Watching

  /** @param {Session} session @param {any} watch */
  #watch(session, { id, space, begin, end, keyForm, valueForm }) {
    const { watchers } = this.#context
    let keyspace
    try {
      keyspace = this.#space(session, space)
    } catch {
      return // a keyspace that was dropped: nothing will change in it
    }
    this.#unwatch(session, id)
    const made = {
      keyspace,
      bounds: { begin, end },
      keyEncoding: { name: 'raw', form: keyForm, encode: () => '', decode: null },
      valueEncoding: { name: 'raw', form: valueForm, encode: () => '', decode: null },
      tell: (/** @type {any[]} */ changes) => {
        session.told.push([id, changes])
        this.#tellSoon(session)
      },
      ended: () => {},
    }
    session.watches.set(id, made)
    watchers.add(made)
  }

  #telling = false

  /** Changes are told in microtasks after the commit; a program of this thread may have made it.
   * @param {Session} session */
  #tellSoon(session) {
    session.due = true
    if (this.#telling) return
    this.#telling = true
    queueMicrotask(() => {
      this.#telling = false
      this.#committed = true
      this.#send()
    })
  }

  /** @param {Session} session @param {number} id */
  #unwatch(session, id) {
    const watch = session.watches.get(id)
    if (watch !== undefined) this.#context.watchers.delete(watch)
    session.watches.delete(id)
  }

  /** @param {Session} session */
  #endWatches(session) {
    for (const id of [...session.watches.keys()]) this.#unwatch(session, id)
  }

  /** @param {Session} session @param {number} id @param {string} what @param {any} options */
  #care(session, id, what, options) {
    const progress = options?.progress
      ? (/** @type {number} */ done, /** @type {number} */ total) =>
          session.post({ t: 'progress', epoch: this.#epoch, session: session.id, id, done, total })
      : undefined
    if (what === 'dropKeyspace' || what === 'sync') this.#committed = true
    if (what === 'sync') this.#strictest = 2
    return careFor(this.#context.engine, what, options, progress)
  }
}

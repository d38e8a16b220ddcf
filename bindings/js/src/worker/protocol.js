// protocol.js: what tabs say to each other about one database, and what they call it.
//
//   Web Lock           varve:<name>                 held by the leader: the one worker that has the storage open
//                      varve-client:<id>:<name>     held by every client for as long as it lives: it is how others see
//                                                   that it is gone
//                      varve-watch:<id>:<name>      held by a client that watches: a new leader waits for those
//   BroadcastChannel   varve:<name>                 who leads ('who', 'leader', 'beat'), and 'hello' of clients
//                      varve-session:<id>           between one client and the leader, both ways
//
// In the tab whose own worker leads, the same messages of a session go through the worker's port instead.
//
// From a client               From the leader
//   hello   begin, or go on     welcome  begun; refused = not
//   do      a list of calls     did      results of calls and changes for watchers, all of one turn
//   ping    still there?        pong     yes; how far it read
//   bye     end                 progress of a long call
//
// Every message of a session has the epoch of its leader, and those of another are passed over. A call is
// [id, op, ...arguments]; a result is [id, 1, value] or [id, 0, error].
//
// Exactly once. The commits of a client are numbered. The leader writes the number in the same batch as the commit,
// under the client's id, so a later leader knows which were made. It makes them in order, and after one that failed
// none until the client has heard of it (`ack`), so "number n was made" says that all before it were made, or have
// failed and the client knows. After a change of leaders the client sends what was not answered again.

import { DatabaseError } from '../errors.js'

export const OP_GET = 1
export const OP_HAS = 2
export const OP_GET_MANY = 3
export const OP_COUNT = 4
export const OP_COMMIT = 5
export const OP_KEYSPACE = 6
export const OP_ROWS = 7
export const OP_MORE = 8
export const OP_END = 9
export const OP_SNAPSHOT = 10
export const OP_LET_GO = 11
export const OP_WATCH = 12
export const OP_UNWATCH = 13
export const OP_CARE = 14

/** A change of a commit, besides ABI_OP_*: remove the first keys of a span; the leader looks for them. */
export const CLEAR_SPAN = 100

/** A leader that says nothing for so long, though it was asked, is taken to be gone. */
export const SILENT_MS = 2000
/** When it is asked. */
export const ASK_MS = 500
/** How long a leader may write after it last knew, or said, that it leads. Less than SILENT_MS. */
export const LEASE_MS = 1500

/** @param {string} name */
export const channelOf = (name) => `varve:${name}`
/** @param {string} session */
export const sessionChannelOf = (session) => `varve-session:${session}`
/** @param {string} name @param {string} session */
export const clientLockOf = (name, session) => `varve-client:${session}:${name}`
/** @param {string} name @param {string} session */
export const watchLockOf = (name, session) => `varve-watch:${session}:${name}`

/** 16 bytes that nobody else has, in hex. */
export function randomId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16))
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
}

/** @param {string} id */
export function bytesOfId(id) {
  return Uint8Array.from(id.match(/../g) ?? [], (byte) => parseInt(byte, 16))
}

/** @param {Uint8Array} bytes */
export function idOfBytes(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
}

/** The clients of the database that are alive, or that watch, as the browser says.
 * @param {string} name @param {'varve-client' | 'varve-watch'} kind @returns {Promise<Set<string>>} */
export async function livingClients(name, kind) {
  const { held } = await navigator.locks.query()
  const found = new Set()
  for (const lock of held ?? []) {
    const [prefix, id, ...rest] = lock.name?.split(':') ?? []
    if (prefix === kind && rest.join(':') === name) found.add(id)
  }
  return found
}

/** An error for the way to another thread. @param {any} error */
export function packError(error) {
  if (error instanceof DatabaseError) {
    const { code, message, retryable, cause, ...more } = error
    return { code, message, retryable, cause: textOf(cause), more }
  }
  if (error instanceof TypeError) return { code: 'TypeError', message: error.message }
  return { code: 'ERR_DB_BUG', message: textOf(error) ?? '', retryable: false }
}

/** @param {unknown} cause */
function textOf(cause) {
  if (cause === undefined) return undefined
  return cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause)
}

/** @param {any} packed */
export function unpackError({ code, message, retryable, cause, more }) {
  if (code === 'TypeError') return new TypeError(message)
  const options = cause === undefined ? { retryable } : { retryable, cause: new Error(cause) }
  return Object.assign(new DatabaseError(code, message, options), more)
}

/** @param {() => void} run once the promise reactions that are due have run: a few turns of the microtask queue */
export function afterReactions(run) {
  queueMicrotask(() => queueMicrotask(() => queueMicrotask(() => queueMicrotask(run))))
}

/** The application may change bytes that it passed. @param {any} bytes */
export function kept(bytes) {
  return bytes instanceof Uint8Array ? bytes.slice() : bytes
}

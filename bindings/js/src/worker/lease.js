// lease.js: until when a leader may write. A leader whose thread stood still (the browser froze its tab, a debugger
// stopped it) may have been replaced meanwhile without noticing. So it may write for LEASE_MS after it last knew that
// it leads; others wait SILENT_MS, which is longer, before they take the lock from one that does not answer.
//
//   between its tasks   it asks the browser whether it still has the Web Lock, when the lease ran out
//   in a long task      it says 'beat' on the channel at every call of the storage, which gives it another lease as
//                       long as the last one has not run out
//
// FencedHost asks before every change of a file; after the lease it throws, and the database fails.

import { HostError } from '../host/host.js'
import { LEASE_MS } from './protocol.js'

/** @import { Host, HostFile, HostPlace } from '../host/host.js' */

const BEAT_MS = 300

/** All of this thread. @type {Set<Lease>} */
const leases = new Set()

/** Before work that a timer begins. */
export async function ensureLeases() {
  for (const lease of leases) await lease.ensure()
}

export class Lease {
  #until = 0
  #beaten = 0
  #say
  #holds
  /** Somebody else leads now, or this thread does not want to any more. */
  over = false
  /** A change of a file was refused: the database has failed for good. */
  fenced = false

  /** @param {() => void} say tells all tabs that this leader is at work @param {() => Promise<boolean>} holds whether
   * this worker still has the lock */
  constructor(say, holds) {
    this.#say = say
    this.#holds = holds
    leases.add(this)
  }

  /** Nobody leads here any more. */
  end() {
    this.over = true
    leases.delete(this)
  }

  /** @param {number} now */
  #renew(now) {
    this.#until = now + LEASE_MS
    this.#beaten = now
  }

  get valid() {
    return !this.over && performance.now() < this.#until
  }

  /** In a long task: before each call of the storage. @param {boolean} changes something */
  work(changes) {
    const now = performance.now()
    if (this.over || now >= this.#until) {
      this.fenced ||= changes
      return false
    }
    if (now - this.#beaten >= BEAT_MS) {
      this.#say()
      this.#renew(now)
    }
    return true
  }

  /** Between tasks: whether this worker may go on. */
  async ensure() {
    if (this.over) return false
    const now = performance.now()
    if (now < this.#until - LEASE_MS / 2) return true
    if (!(await this.#holds())) this.over = true
    else this.#renew(now)
    return !this.over
  }
}

const lostLease = () =>
  new HostError('LEADER_LOST', 'this tab stood still, and another tab has taken the database over: open it again')

/** @implements {HostFile} */
class FencedFile {
  #file
  #lease

  /** @param {HostFile} file @param {Lease} lease */
  constructor(file, lease) {
    this.#file = file
    this.#lease = lease
  }

  #check() {
    if (!this.#lease.work(true)) throw lostLease()
  }

  /** @param {number} offset @param {Uint8Array} bytes @param {number} at @param {number} size */
  read(offset, bytes, at, size) {
    this.#lease.work(false)
    return this.#file.read(offset, bytes, at, size)
  }

  /** @param {number} offset @param {Uint8Array} bytes @param {number} at @param {number} size */
  write(offset, bytes, at, size) {
    this.#check()
    this.#file.write(offset, bytes, at, size)
  }

  /** @param {number} size */
  allocate(size) {
    this.#check()
    this.#file.allocate(size)
  }

  /** @param {number} size */
  truncate(size) {
    this.#check()
    this.#file.truncate(size)
  }

  size() {
    return this.#file.size()
  }

  sync() {
    this.#check()
    this.#file.sync()
  }

  close() {
    this.#file.close()
  }
}

/** The place, with files that ask first. @param {HostPlace} place @param {Lease} lease
 * @returns {HostPlace} */
function fencedPlace(place, lease) {
  return {
    foreign: place.foreign,
    single: place.single ?? false,
    open: (kind, number, flags) => new FencedFile(place.open(kind, number, flags), lease),
    remove: (kind, number) => {
      if (!lease.work(true)) throw lostLease()
      place.remove(kind, number)
    },
    syncDir: () => place.syncDir(),
    list: () => place.list(),
    lock: (waitMs) => place.lock(waitMs),
    unlock: () => place.unlock(),
    close: () => place.close(),
  }
}

/** @param {Host} host @param {Lease} lease @returns {Host} */
export function fencedHost(host, lease) {
  return {
    name: host.name,
    open: (path, flags) => fencedPlace(host.open(path, flags), lease),
    same: (path, other) => host.same?.(path, other) ?? path === other,
    temporary: () => /** @type {any} */ (host).temporary(),
    nowUs: () => host.nowUs(),
    random: (bytes) => host.random(bytes),
    memory: () => host.memory(),
  }
}

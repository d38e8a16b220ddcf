// node_lock.js: one owner of a place at a time, among Node processes, their workers, and native processes.
//
// JavaScript cannot take a lock of the kernel, so Node's lock is the existence of LOCK.node with a line that says
// whose it is: "<pid> <start>\n", start = field 22 of /proc/<pid>/stat, or 0 where there is no /proc. Linux adds a
// second line, the id of the thread, so that a worker that was terminated leaves no lock either; native processes
// read the first only. A claim whose process or thread is gone is dead: a killed owner locks nobody out.
// src/env/vfs_posix_lock.c has the whole protocol between Node and native processes: each publishes first and reads
// the other's claim second.
//
// Taking LOCK.node:
//   1. Write our line into a file with a name of our own, LOCK.node.<pid>.<start>.<random>.
//   2. link() it to LOCK.node. The name appears with its content, or link fails because it exists.
//   3. It exists and its owner lives: LOCKED.
//   4. It exists and its owner is dead: it may be removed only by someone whom nobody else can overtake between
//      reading and removing. That is whoever finds, after step 1, no other living claim file: two processes that are
//      here at once both see the other's file, both step back for a random time, and try again. A claim file's name
//      says who made it and is never used again, so a dead one can be removed by anyone at any time.
//   5. Remove our claim file.
// Where hard links do not exist, LOCK.node is created exclusively and written; empty and younger than a second it
// counts as held.
//
// A database in one file, app.varve, has app.varve-lock.node in the place of LOCK.node. Two hard links to one file are
// two places here.
//
// Limits: a claim says nothing across machines or containers that share a directory but not their processes.

import fs from 'node:fs'
import { randomBytes } from 'node:crypto'
import { basename, dirname, join } from 'node:path'
import { STATUS } from '../abi.js'
import { HostError } from './host.js'
import { systemError } from './node_errors.js'

const EMPTY_IS_HELD_MS = 1000
const NATIVE_PATIENCE_MS = 50
const TAKEOVER_PATIENCE_MS = 2000
const CLAIM = /^\.(\d{1,10})\.(\d{1,18})\.(\d{1,10})\.[0-9a-f]+$/
const NO_LINKS = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK', 'EINVAL'])

const sleeper = new Int32Array(new SharedArrayBuffer(4))

/** Blocks the thread. @param {number} ms */
export function sleepSync(ms) {
  Atomics.wait(sleeper, 0, 0, ms)
}

/** Start time and state of a process or thread, or null where they cannot be read. @param {string} path of its stat */
function readStat(path) {
  let text
  try {
    text = fs.readFileSync(path, 'latin1')
  } catch {
    return null
  }
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  // A killed process is a zombie as soon as its first thread is gone; the others may still be in the middle of a write.
  const state = fields[17] === '1' ? fields[0] : 'D'
  return { state: state ?? '?', start: fields[19] ?? '0' }
}

function ownThread() {
  try {
    return fs.readlinkSync('/proc/thread-self').split('/').pop() ?? ''
  } catch {
    return ''
  }
}

/** @param {number} pid */
function processExists(pid) {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return /** @type {NodeJS.ErrnoException} */ (error).code !== 'ESRCH'
  }
}

/** @param {number} pid @param {string} start @param {string} thread '' = not known */
function alive(pid, start, thread) {
  if (pid <= 0 || pid > 0x7fffffff || !processExists(pid)) return false
  const stat = readStat(`/proc/${pid}/stat`)
  if (stat === null) return true
  if (stat.state === 'Z' || stat.state === 'X') return false
  if (start !== '0' && start !== stat.start) return false
  return thread === '' || readStat(`/proc/${pid}/task/${thread}/stat`) !== null
}

/** The owner that a lock file names, if it lives. A file that is gone, or broken, names none.
 * @param {string} path @param {number} emptyMs how long an empty one counts as held
 * @returns {{ pid: number } | null} */
function livingOwner(path, emptyMs) {
  let text
  try {
    text = fs.readFileSync(path, 'latin1')
    if (text === '' && Date.now() - fs.statSync(path).mtimeMs < emptyMs) return { pid: 0 }
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code === 'ENOENT') return null
    throw systemError(error, `cannot read ${path}`)
  }
  const match = /^(\d{1,10}) (\d{1,18})\n(?:(\d{1,10})\n)?/.exec(text)
  if (match === null) return null
  const pid = Number(match[1])
  return alive(pid, match[2] ?? '0', match[3] ?? '') ? { pid } : null
}

/** @param {string} path */
function removeQuietly(path) {
  try {
    fs.unlinkSync(path)
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'ENOENT')
      throw systemError(error, `cannot remove ${path}`)
  }
}

/** @param {string} location @param {number} pid @param {string} kind */
function lockedError(location, pid, kind) {
  const where =
    pid === process.pid
      ? `in this process already (${pid})`
      : pid === 0
        ? 'in another process'
        : `in process ${pid}${kind}`
  const fix =
    pid === process.pid
      ? 'use the Database that has it open, or close that one first'
      : 'close it there, or open it with { lock: { wait: milliseconds } }'
  return new HostError('LOCKED', `database ${location} is open ${where}; ${fix}`)
}

export class NodeLock {
  #location
  #native
  #path
  #line
  #claim = ''
  #held = false

  /** @param {string} location for messages
   * @param {string} native the lock file of native processes; ours lies beside it */
  constructor(location, native = join(location, 'LOCK')) {
    this.#location = location
    this.#native = native
    this.#path = `${native}.node`
    const start = readStat('/proc/self/stat')?.start ?? '0'
    const thread = ownThread()
    this.#line = `${process.pid} ${start}\n${thread === '' ? '' : `${thread}\n`}`
  }

  /** Takes the lock, or throws LOCKED. @param {number} waitMs */
  take(waitMs) {
    const deadline = Date.now() + waitMs
    for (let pause = 1; ; pause = Math.min(2 * pause, 50)) {
      try {
        this.#takeOnce()
        return
      } catch (error) {
        if (!(error instanceof HostError) || error.status !== STATUS.LOCKED || Date.now() >= deadline) throw error
        sleepSync(Math.min(pause, Math.max(1, deadline - Date.now())))
      }
    }
  }

  #takeOnce() {
    this.#takeFile()
    try {
      this.#checkNative()
      if (this.#read() !== this.#line) throw lockedError(this.#location, 0, '')
    } catch (error) {
      this.give()
      throw error
    }
  }

  /** What LOCK.node says, '' when it is not there. */
  #read() {
    try {
      return fs.readFileSync(this.#path, 'latin1')
    } catch {
      return ''
    }
  }

  /** Steps 1 to 5. */
  #takeFile() {
    const deadline = Date.now() + TAKEOVER_PATIENCE_MS
    for (;;) {
      if (this.#tryFile()) {
        this.#held = true
        return
      }
      if (Date.now() > deadline) throw lockedError(this.#location, 0, '')
      sleepSync(1 + Math.floor(Math.random() * 10))
    }
  }

  /** True when LOCK.node is ours; false when others are at it and a pause is due. */
  #tryFile() {
    const [pid, start] = this.#line.split(/\s/)
    const thread = this.#line.split('\n')[1] || '0'
    this.#claim = `${this.#path}.${pid}.${start}.${thread}.${randomBytes(6).toString('hex')}`
    try {
      fs.writeFileSync(this.#claim, this.#line, { flag: 'wx', mode: 0o600 })
      if (this.#link()) return true
      const owner = livingOwner(this.#path, EMPTY_IS_HELD_MS)
      if (owner !== null) throw lockedError(this.#location, owner.pid, '')
      if (this.#othersClaim()) return false
      // Nobody else may remove it now: read it once more, for it may have changed hands before our claim was there.
      const now = livingOwner(this.#path, EMPTY_IS_HELD_MS)
      if (now !== null) throw lockedError(this.#location, now.pid, '')
      removeQuietly(this.#path)
      return this.#link()
    } catch (error) {
      if (error instanceof HostError) throw error
      throw systemError(error, `cannot lock ${this.#location}`)
    } finally {
      removeQuietly(this.#claim)
    }
  }

  /** Makes LOCK.node of the claim file. False when there is one. */
  #link() {
    try {
      fs.linkSync(this.#claim, this.#path)
      return true
    } catch (error) {
      const code = /** @type {NodeJS.ErrnoException} */ (error).code ?? ''
      if (code === 'EEXIST') return false
      if (!NO_LINKS.has(code)) throw error
    }
    try {
      fs.writeFileSync(this.#path, this.#line, { flag: 'wx', mode: 0o600 })
      return true
    } catch (error) {
      if (/** @type {NodeJS.ErrnoException} */ (error).code === 'EEXIST') return false
      throw error
    }
  }

  /** Whether anybody else, alive, has a claim file. Dead ones are removed. */
  #othersClaim() {
    let others = false
    const directory = dirname(this.#path)
    const prefix = basename(this.#path)
    for (const name of fs.readdirSync(directory)) {
      const match = name.startsWith(prefix) ? CLAIM.exec(name.slice(prefix.length)) : null
      if (match === null || name === basename(this.#claim)) continue
      const thread = match[3] === '0' ? '' : (match[3] ?? '')
      if (alive(Number(match[1]), match[2] ?? '0', thread)) others = true
      else removeQuietly(join(directory, name))
    }
    return others
  }

  /** A native process that owns LOCK, or is about to see our claim and let go of it. */
  #checkNative() {
    for (let waited = 0; ; waited += 5) {
      const owner = livingOwner(this.#native, 0)
      if (owner === null) return
      if (waited >= NATIVE_PATIENCE_MS) throw lockedError(this.#location, owner.pid, ' (native)')
      sleepSync(5)
    }
  }

  /** Gives the lock back; nothing when it is not held. */
  give() {
    if (!this.#held) return
    this.#held = false
    if (this.#read() === this.#line) removeQuietly(this.#path)
  }
}

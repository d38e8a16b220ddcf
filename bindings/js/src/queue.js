// queue.js: promise writes of one turn of the event loop share one commit.
//
// put(), del(), batch() and clear() encode their changes at once, and stage them when all are encoded: no code of the
// application runs while a batch is staged, so whoever commits the stage finds whole batches there. Values may be
// changed afterwards, and misuse rejects only its own promise. The stage is committed when the turn is over: after all
// callbacks and promise reactions that are due have run (platform.afterTurn). A microtask alone would be too early:
// of a hundred callers that each `await` their puts in a loop, every one resumes in a microtask of its own, and each
// would commit alone. A timer or setImmediate would be late: a loop of awaited puts would wait for a round of the
// event loop each time.
//
// Reads, synchronous writes, sync() and close() flush first, so a program always reads what it wrote. A group that
// would pass GROUP_BYTES is committed at once, which bounds memory.
//
// Outcome: a commit is all or nothing, so when it fails every promise of the group is rejected; only for a reason
// that may lie with one caller's changes alone (a dropped keyspace, one batch too large, a unique index) each
// caller's changes are then committed on their own, and each promise gets its own outcome.

import { DatabaseError } from './errors.js'
import { platform } from './platform.js'

const GROUP_BYTES = 4 << 20
const ONE_CALLERS_FAULT = new Set(['ERR_DB_CLOSED', 'ERR_DB_EXISTS', 'ERR_DB_INVALID', 'ERR_DB_LIMIT', 'ERR_DB_NOMEM'])

/** Whether a commit may have failed for the changes of one caller alone. What is no failure of the database was thrown
 * by the application, in a function that tells index keys. @param {unknown} error */
const isOneCallers = (error) => !(error instanceof DatabaseError) || ONE_CALLERS_FAULT.has(error.code)

/** @typedef {import('./changes.js').Change} Change */
/** @typedef {(error: unknown, index: number) => unknown} NameChange */

/** Changes to tell watchers of, when they are committed: an application may change the bytes that it passed.
 * @param {readonly Change[]} changes @returns {Change[]} */
function kept(changes) {
  const own = (/** @type {string | Uint8Array} */ bytes) => (typeof bytes === 'string' ? bytes : bytes.slice())
  return changes.map((change) => ({ ...change, key: own(change.key), value: own(change.value) }))
}

/**
 * @typedef {object} Waiting
 * @property {() => void} resolve
 * @property {(error: unknown) => void} reject
 * @property {number} begin of its changes in the stage
 * @property {number} end
 * @property {Change[] | null} changes when somebody watches
 */

export class CommitQueue {
  #engine
  #committed
  #watchers
  /** @type {Waiting[]} */
  #waiting = []
  #durability = 0
  #scheduled = false
  #atEnd = () => {
    this.#scheduled = false
    this.flush()
  }

  /**
   * @param {import('./engine.js').Engine} engine
   * @param {(bytes: number, durability: number) => void} committed told after every commit
   * @param {import('./watch.js').Watchers} watchers
   */
  constructor(engine, committed, watchers) {
    this.#engine = engine
    this.#committed = committed
    this.#watchers = watchers
  }

  /** Stages changes, all or none. @param {readonly Change[]} changes @param {NameChange | undefined} at */
  #stage(changes, at) {
    const engine = this.#engine
    const begin = engine.staged
    let i = 0
    try {
      for (; i < changes.length; i++) engine.stage(/** @type {Change} */ (changes[i]))
    } catch (error) {
      engine.rewind(begin)
      throw at === undefined ? error : at(error, i)
    }
  }

  /** Adds changes to the group. @param {number} durability 0 = as opened
   * @param {readonly Change[]} changes @param {NameChange} [at] for messages
   * @returns {Promise<void>} */
  add(durability, changes, at) {
    const begin = this.#engine.staged
    try {
      this.#stage(changes, at)
    } catch (error) {
      return Promise.reject(error)
    }
    const end = this.#engine.staged
    if (durability > this.#durability) this.#durability = durability
    /** @type {Promise<void>} */
    const promise = new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject, begin, end, changes: this.#watchers.any ? kept(changes) : null })
    })
    if (end >= GROUP_BYTES) this.flush()
    else if (!this.#scheduled) {
      this.#scheduled = true
      platform().afterTurn(this.#atEnd)
    }
    return promise
  }

  /** Commits the group now. Its promises learn the outcome; this never throws. */
  flush() {
    const group = this.#waiting
    if (group.length === 0) return
    const engine = this.#engine
    const durability = this.#durability
    const bytes = engine.staged
    this.#waiting = []
    this.#durability = 0
    try {
      if (bytes > 0) engine.commit(durability, 0, bytes)
      for (const one of group) this.#done(one)
    } catch (error) {
      if (group.length > 1 && isOneCallers(error)) {
        this.#commitOneByOne(group, durability)
      } else for (const one of group) one.reject(error)
    }
    this.#discard()
    this.#committed(bytes, durability)
  }

  /** @param {Waiting[]} group @param {number} durability */
  #commitOneByOne(group, durability) {
    for (const one of group) {
      try {
        if (one.end > one.begin) this.#engine.commit(durability, one.begin, one.end)
        this.#done(one)
      } catch (error) {
        one.reject(error)
      }
    }
  }

  /** @param {Waiting} one whose changes are committed */
  #done(one) {
    one.resolve()
    if (one.changes !== null) this.#watchers.committed(one.changes)
  }

  #discard() {
    try {
      this.#engine.discard()
    } catch {
      // The engine has stopped: the promises know.
    }
  }

  /** A write that is committed before it returns. @param {number} durability
   * @param {readonly Change[]} changes @param {NameChange} [at] for messages */
  now(durability, changes, at) {
    const bytes = this.alone(changes, at, (end) => this.#engine.commit(durability, 0, end))
    if (this.#watchers.any) this.#watchers.committed(kept(changes))
    this.#committed(bytes, durability)
  }

  /** Stages changes with nothing beside them; how many bytes they are. @param {readonly Change[]} changes
   * @param {NameChange | undefined} at for messages @param {(end: number) => void} run what is done with them */
  alone(changes, at, run) {
    this.flush()
    try {
      this.#stage(changes, at)
      const bytes = this.#engine.staged
      if (bytes > 0) run(bytes)
      return bytes
    } finally {
      this.#discard()
    }
  }

  /** A commit of what is not in the stage. @param {number} bytes @param {number} durability
   * @param {() => readonly Change[]} run makes it, and returns the changes to tell watchers of */
  apart(bytes, durability, run) {
    this.flush()
    const changes = run()
    if (changes.length > 0) this.#watchers.committed(changes)
    this.#committed(bytes, durability)
  }
}

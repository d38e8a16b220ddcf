// kill_model.mjs: what a database must hold, after what its writers said (kill_writer.c describes the lines).
//
// A commit whose writer was killed before it returned is open: it may be there or not, whole. The scan after the kill
// settles it. Each thread owns its keys, so the commits of two threads never touch the same one, and the state of a
// thread's keys is that after all of its commits up to some number.

/** @typedef {Map<string, string>} State  "K/KEY" → "ID SIZE" */
/** @typedef {{ kind: string, k: string, key: string, end: string, size: string }} Change */
/** @typedef {{ thread: number, n: number, changes: Change[] }} Commit */

/** @param {string} text @returns {Change} */
function parseChange(text) {
  const kind = text[0] ?? ''
  const k = text[1] ?? ''
  const rest = text.slice(3)
  if (kind === 'p') {
    const at = rest.indexOf('=')
    return { kind, k, key: rest.slice(0, at), end: '', size: rest.slice(at + 1) }
  }
  const [key = '', end = ''] = rest.split('/')
  return { kind, k, key, end, size: '' }
}

/** "+ THREAD N CHANGES" @param {string} line @returns {Commit} */
export function parseCommit(line) {
  const [, thread, n, ...changes] = line.split(' ')
  return { thread: Number(thread), n: Number(n), changes: changes.map(parseChange) }
}

/** The keys of a state that a change touches, and the one it makes. @param {State} state @param {Change} change */
function keysOf(state, change) {
  if (change.kind === 'p' || change.kind === 'd') return [`${change.k}/${change.key}`]
  const begin = `${change.k}/${change.key}`
  const end = change.kind === 'x' ? `${change.k}0` : `${change.k}/${change.end}` // '0' comes after '/'
  return [...state.keys()].filter((key) => key >= begin && key < end)
}

/** @param {State} state @param {Commit} commit @param {number} round */
export function applyCommit(state, { thread, n, changes }, round) {
  changes.forEach((change, place) => {
    if (change.kind === 'p') state.set(`${change.k}/${change.key}`, `${round}.${thread}.${n}.${place} ${change.size}`)
    else for (const key of keysOf(state, change)) state.delete(key)
  })
}

/** Whose key it is. @param {string} key @param {number} threads */
export const ownerOf = (key, threads) => (threads === 1 ? 0 : Number(key[3]))

/** @typedef {{ lost: number, resurrected: number, half: number, strange: number, notes: string[] }} Damage */

/** @returns {Damage} */
export const noDamage = () => ({ lost: 0, resurrected: 0, half: 0, strange: 0, notes: [] })

export class Model {
  /** @type {State} */ state = new Map()
  /** @type {Map<number, Commit>} the commit of each thread that has not returned */
  open = new Map()
  round = 0
  threads = 1

  /** @param {number} round @param {number} threads */
  begin(round, threads) {
    this.round = round
    this.threads = threads
    this.open.clear()
  }

  /** @param {Commit} commit */
  start(commit) {
    this.open.set(commit.thread, commit)
  }

  /** @param {number} thread */
  finish(thread) {
    const commit = this.open.get(thread)
    if (commit === undefined) throw new Error(`thread ${thread} acknowledged a commit that it had not begun`)
    this.open.delete(thread)
    applyCommit(this.state, commit, this.round)
  }

  /**
   * Settles open commits by what was found, and compares. The model goes on from what was found.
   * @param {State} found @returns {Damage}
   */
  settle(found) {
    const damage = noDamage()
    let made = 0
    for (const commit of this.open.values()) {
      const after = new Map(this.state)
      applyCommit(after, commit, this.round)
      const touched = new Set(commit.changes.flatMap((change) => keysOf(this.state, change)))
      const changed = [...touched].filter((key) => this.state.get(key) !== after.get(key))
      const there = changed.filter((key) => found.get(key) === after.get(key)).length
      if (there !== 0 && there !== changed.length) {
        damage.half++
        damage.notes.push(`commit ${this.round}.${commit.thread}.${commit.n} is there by ${there} of ${changed.length}`)
      }
      if (there > 0) {
        made++
        this.state = after
      }
    }
    this.open.clear()
    this.#compare(found, damage)
    this.state = new Map(found)
    return Object.assign(damage, { made })
  }

  /** @param {State} found @param {Damage} damage */
  #compare(found, damage) {
    for (const [key, want] of this.state) {
      const got = found.get(key)
      if (got === want) continue
      damage.lost++
      damage.notes.push(`${key} should be ${want} and is ${got ?? 'not there'}`)
    }
    for (const [key, got] of found) {
      if (this.state.has(key)) continue
      damage.resurrected++
      damage.notes.push(`${key} was deleted and is ${got}`)
    }
    damage.notes.splice(10)
  }
}

/**
 * What a backup may hold: for each thread the state after some of the commits that were under way while it was made.
 */
export class Window {
  /** @type {Commit[]} */ commits = []

  /** @param {Model} model */
  constructor(model) {
    this.start = new Map(model.state)
    this.round = model.round
    this.threads = model.threads
    this.commits.push(...model.open.values())
  }

  /** @param {Commit} commit */
  add(commit) {
    this.commits.push(commit)
  }

  /** @param {State} found @returns {string} '' or what is wrong */
  explain(found) {
    for (let thread = 0; thread < this.threads; thread++) {
      const mine = (/** @type {State} */ state) =>
        new Map([...state].filter(([key]) => ownerOf(key, this.threads) === thread))
      const state = mine(this.start)
      const want = mine(found)
      let wrong = differences(state, want)
      const commits = this.commits.filter((commit) => commit.thread === thread)
      for (const commit of commits) {
        if (wrong === 0) break
        const touched = new Set(commit.changes.flatMap((change) => keysOf(state, change)))
        for (const key of touched) if (state.get(key) !== want.get(key)) wrong--
        applyCommit(state, commit, this.round)
        for (const key of touched) if (state.get(key) !== want.get(key)) wrong++
      }
      if (wrong !== 0) return `thread ${thread}: no state of ${commits.length + 1} is that of the backup (${wrong} off)`
    }
    return ''
  }
}

/** @param {State} a @param {State} b */
export function differences(a, b) {
  let count = 0
  for (const [key, value] of a) if (b.get(key) !== value) count++
  for (const key of b.keys()) if (!a.has(key)) count++
  return count
}

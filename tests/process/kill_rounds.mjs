// kill_rounds.mjs: rounds of kill -9 over the same databases.
//
// In each round a writer, native or Node, opens what the other one left, says what it finds, and writes until it is
// killed: while it opens, recovers, writes, backs up, compacts or closes. Then the other implementation opens what is
// left, for reading only in half of the rounds (then the next writer finds it as the killed one left it), scans it and
// verifies it; the model says what must be there. Between, databases are created and killed in their creation.

import { rmSync } from 'node:fs'
import { join } from 'node:path'

import { Model, Window, differences, noDamage, parseCommit } from './kill_model.mjs'
import { Seeded, lookNative, lookNode, pause, programs, scriptPath, startLines } from './process_support.mjs'

/** Phases, how often, and microseconds from their beginning to the kill, at most: natively and in Node. */
const PHASES = /** @type {const} */ ([
  { name: 'opening', weight: 22, native: 8000, node: 60000 },
  { name: 'open', weight: 4, native: 3000, node: 20000 },
  { name: 'writing', weight: 44, native: 250000, node: 300000 },
  { name: 'backup', weight: 10, native: 200000, node: 200000 },
  { name: 'compact', weight: 10, native: 60000, node: 60000 },
  { name: 'closing', weight: 10, native: 4000, node: 15000 },
])

/** @typedef {import('./kill_model.mjs').Damage} Damage */
/** @typedef {(typeof PHASES)[number]['name']} PhaseName */
/** @typedef {{ writer: 'native' | 'node', phase: PhaseName, after: number, inside: boolean, threads: number,
 *   commits: number, durability: string, backup: boolean, noThread: boolean, seed: number }} Plan */

/** @param {Seeded} random @param {string} durability @returns {Plan} */
function makePlan(random, durability) {
  const writer = random.pick(/** @type {const} */ (['native', 'node']))
  let at = random.below(100)
  const phase = PHASES.find(({ weight }) => (at -= weight) < 0) ?? PHASES[2]
  const short = random.below(2) === 0 // half of the kills come early, where more happens
  const limit = phase[writer] / (short ? 8 : 1)
  return {
    writer,
    phase: phase.name,
    after: random.below(Math.max(1, Math.floor(limit))),
    inside: writer === 'native' && random.below(2) === 0,
    threads: writer === 'native' ? random.pick([1, 1, 2, 4]) : 1,
    commits: phase.name === 'closing' ? 1 + random.below(1500) : 0,
    durability,
    backup: phase.name === 'backup',
    noThread: random.below(8) === 0,
    seed: random.below(1 << 30),
  }
}

/** @param {Plan} plan @param {string} path @param {number} round @param {string} backup */
function commandOf(plan, path, round, backup) {
  const strict = { strict: 1, relaxed: 0, mixed: 2 }[plan.durability]
  const set = [`round=${round}`, `seed=${plan.seed}`, `strict=${strict}`, `commits=${plan.commits}`]
  if (plan.backup) set.push(`backup=${backup}`)
  if (plan.phase === 'compact') set.push('compact=1')
  if (plan.writer === 'node') return [process.execPath, scriptPath('kill_writer.mjs'), 'write', path, ...set]
  set.push(`threads=${plan.threads}`, `no_thread=${plan.noThread ? 1 : 0}`)
  if (plan.inside) set.push(`kill=${plan.phase}`, `after=${plan.after}`)
  return [programs.writer, 'write', path, ...set]
}

/** A database, what it must hold, and what was counted. */
export class Lane {
  model = new Model()
  round = 0
  /** @type {Window[]} what the target of backups may hold */
  windows = []
  backupMayFail = true // no backup has returned yet

  /** @param {string} place @param {string} layout @param {string} durability @param {string} [name] */
  constructor(place, layout, durability, name = `${layout}-${durability}`) {
    this.layout = layout
    this.durability = durability
    this.path = join(place, layout === 'single' ? `${name}.varve` : name)
    this.backup = join(place, `${name}-backup`)
    this.name = name
  }
}

export const newTotals = () => ({
  rounds: 0,
  killed: 0,
  acknowledged: 0,
  changes: 0,
  lost: 0,
  resurrected: 0,
  half: 0,
  failures: 0,
  openMade: 0,
  openNot: 0,
  backups: 0,
})
/** @typedef {ReturnType<typeof newTotals>} Totals */

export class KillRounds {
  /** @type {Map<string, Totals>} by writer, durability and layout */
  totals = new Map()
  /** @type {Map<string, number>} kills by phase and writer */
  phases = new Map()
  /** @type {string[]} */
  problems = []
  made = 0

  /** @param {string} place @param {number} seed @param {string[]} layouts */
  constructor(place, seed, layouts) {
    this.place = place
    this.random = new Seeded(seed)
    this.layouts = layouts
    this.lanes = layouts.flatMap((layout) => ['relaxed', 'strict'].map((level) => new Lane(place, layout, level)))
  }

  /** The next round, of a lane by chance, or of a database that is killed while it is created. */
  async next() {
    if (this.random.below(10) === 0) return this.#creation()
    return this.#round(this.random.pick(this.lanes), makePlan(this.random, this.random.pick(['relaxed', 'strict'])))
  }

  async #creation() {
    const layout = this.random.pick(this.layouts)
    const lane = new Lane(this.place, layout, 'relaxed', `new-${this.made++}`)
    const plan = makePlan(this.random, this.random.pick(['relaxed', 'strict']))
    plan.phase = this.random.pick(/** @type {const} */ (['opening', 'opening', 'opening', 'open']))
    plan.after = this.random.below(plan.writer === 'native' ? 4000 : 40000)
    plan.backup = false
    await this.#round(lane, plan)
    const again = makePlan(this.random, plan.durability)
    Object.assign(again, { phase: 'writing', after: this.random.below(30000), commits: 0, backup: false })
    await this.#round(lane, again)
    rmSync(lane.path, { recursive: true, force: true })
  }

  /** @param {Plan} plan @param {Lane} lane */
  #totalsOf(plan, lane) {
    const name = `${plan.writer} ${plan.durability} ${lane.layout}`
    const totals = this.totals.get(name) ?? newTotals()
    this.totals.set(name, totals)
    return totals
  }

  /** @param {Lane} lane @param {Plan} plan */
  async #round(lane, plan) {
    const round = ++lane.round
    const totals = this.#totalsOf(plan, lane)
    totals.rounds++
    lane.model.begin(round, plan.threads)
    const said = await this.#write(lane, plan, totals)
    const problem = (/** @type {string} */ text) => {
      totals.failures++
      this.problems.push(`${lane.name} round ${round}, ${JSON.stringify(plan)}: ${text}`)
    }
    for (const text of said.wrong) problem(text)
    const readOnly = this.random.below(2) === 0
    const look = plan.writer === 'native' ? lookNode : lookNative
    const seen = await look(lane.path, readOnly)
    const nothing = seen.code === 'MISSING' && lane.model.state.size === 0 && lane.model.open.size === 0
    if (seen.state === null && !nothing)
      return problem(`${look.name} readOnly=${readOnly}: ${seen.code} ${seen.message}`)
    const open = lane.model.open.size
    const damage = /** @type {import('./kill_model.mjs').Damage & { made: number }} */ (
      lane.model.settle(seen.state ?? new Map())
    )
    totals.openMade += damage.made
    totals.openNot += open - damage.made
    this.#count(totals, damage, problem)
    if (plan.backup) await this.#checkBackup(lane, said, totals, problem)
  }

  /** @param {Totals} totals @param {Damage} damage @param {(text: string) => void} problem */
  #count(totals, damage, problem) {
    totals.lost += damage.lost
    totals.resurrected += damage.resurrected
    totals.half += damage.half
    if (damage.notes.length > 0) problem(damage.notes.join('; '))
  }

  /** Runs the writer until it is dead. @param {Lane} lane @param {Plan} plan @param {Totals} totals */
  async #write(lane, plan, totals) {
    const said = { wrong: /** @type {string[]} */ ([]), window: /** @type {Window | null} */ (null), saved: false }
    /** @type {import('./kill_model.mjs').State} */
    const found = new Map()
    const { child, ended } = startLines(commandOf(plan, lane.path, lane.round, lane.backup), (line) => {
      if (line[0] === '=') {
        const [, k, key, id, size] = line.split(' ')
        found.set(`${k}/${key}`, `${id} ${size}`)
      } else if (line[0] === '+') {
        const commit = parseCommit(line)
        lane.model.start(commit)
        if (!said.saved) said.window?.add(commit)
      } else if (line[0] === '!') {
        const thread = Number(line.split(' ')[1])
        totals.acknowledged++
        totals.changes += lane.model.open.get(thread)?.changes.length ?? 0
        lane.model.finish(thread)
      } else if (line[0] === '@') phase(line.slice(2))
      else said.wrong.push(line)
    })
    const phase = (/** @type {string} */ name) => {
      if (name === plan.phase && !plan.inside) void pause(plan.after / 1000).then(() => child.kill('SIGKILL'))
      if (name === 'backup') said.window = new Window(lane.model)
      if (name === 'saved') said.saved = true
      if (name !== 'scanned') return
      const damage = noDamage()
      const off = differences(lane.model.state, found)
      if (off > 0) {
        damage.notes.push(`the writer found ${off} entries that differ from what was there`)
        damage.lost += off
      }
      this.#count(totals, damage, (text) => said.wrong.push(text))
    }
    const { code, signal, errors, timedOut } = await ended
    if (timedOut) said.wrong.push('it hung')
    else if (signal === 'SIGKILL') {
      totals.killed++
      const name = `${plan.phase} ${plan.writer}`
      this.phases.set(name, (this.phases.get(name) ?? 0) + 1)
    } else if (signal !== null || code !== 0 || errors !== '')
      said.wrong.push(`it ended with ${signal ?? code} ${errors}`)
    return said
  }

  /**
   * A backup that returned is whole; one that was killed does not open, or is an earlier one, or is whole.
   * @param {Lane} lane @param {{ window: Window | null, saved: boolean }} said @param {Totals} totals
   * @param {(text: string) => void} problem
   */
  async #checkBackup(lane, said, totals, problem) {
    if (said.window !== null) lane.windows.push(said.window)
    if (said.saved) {
      lane.windows.splice(0, lane.windows.length - 1)
      lane.backupMayFail = false
      totals.backups++
    }
    const seen = await this.random.pick([lookNative, lookNode])(lane.backup, true)
    if (seen.state === null) {
      const unfinished =
        /^(MISSING|NOT_DATABASE)$/.test(seen.code) ||
        /SUPER is (missing|damaged at offset 0: it is empty)/.test(seen.message)
      if (lane.backupMayFail && unfinished) return
      return problem(`backup: ${seen.code} ${seen.message}`)
    }
    const state = seen.state
    const reasons = lane.windows.map((window) => window.explain(state))
    if (!reasons.includes('')) problem(`backup: ${reasons.join('; ') || 'it opens, and none was made'}`)
  }
}

/** @param {Map<string, Totals>} totals */
export function tableOf(totals) {
  const columns = /** @type {const} */ ([
    'rounds',
    'killed',
    'acknowledged',
    'changes',
    'lost',
    'resurrected',
    'half',
    'openMade',
    'openNot',
    'backups',
    'failures',
  ])
  const sum = newTotals()
  for (const row of totals.values()) for (const name of columns) sum[name] += row[name]
  const line = (/** @type {string} */ name, /** @type {Totals} */ row) =>
    name.padEnd(26) + columns.map((column) => String(row[column]).padStart(13)).join('')
  return [
    'writer durability layout'.padEnd(26) + columns.map((column) => column.padStart(13)).join(''),
    ...[...totals].sort().map(([name, row]) => line(name, row)),
    line('all', sum),
  ].join('\n')
}

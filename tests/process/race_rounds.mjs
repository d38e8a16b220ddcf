// race_rounds.mjs: processes, native and Node, that open a database at one instant.
//
// In each round all racers try at the same microsecond: where there is no database yet, where there is one, or where
// there is one whose owner was killed just now. One gets it; it must find the number of the last winner, and stores the
// next. The others are refused, with a sentence that names a process that was there, or wait and get it in turn.

import { rmSync } from 'node:fs'
import { join } from 'node:path'

import { Agent, kinds } from './process_agents.mjs'
import { Seeded } from './process_support.mjs'

const IN_ADVANCE_MS = 6
const WAIT_MS = 20_000

export class RaceRounds {
  counts = { rounds: 0, winners: 0, refused: 0, named: 0, waited: 0, nobody: 0, killed: 0, created: 0 }
  /** @type {Record<string, number>} */
  wins = { native: 0, node: 0 }
  /** @type {string[]} */
  problems = []
  /** @type {Agent[]} */
  racers = []
  /** @type {Agent | null} the owner that was killed just now */
  dying = null
  made = 0

  /** @param {string} place @param {number} seed @param {string[]} layouts @param {number} [racers] */
  constructor(place, seed, layouts, racers = 4) {
    this.place = place
    this.random = new Seeded(seed)
    this.layouts = layouts
    this.racers = Array.from({ length: racers }, (_, i) => new Agent(kinds[i % 2] ?? 'node'))
    /** @type {Map<string, number>} path → number of the last winner */
    this.numbers = new Map()
  }

  /** @param {string} layout */
  #pathOf(layout, name = 'raced') {
    return join(this.place, layout === 'single' ? `${name}.varve` : name)
  }

  async next() {
    const layout = this.random.pick(this.layouts)
    const kind = this.random.pick(/** @type {const} */ (['none', 'existing', 'killed', 'killed']))
    const wait = this.random.below(3) === 0 ? WAIT_MS : 0
    const path = this.#pathOf(layout, kind === 'none' ? `raced-${this.made++}` : 'raced')
    this.counts.rounds++
    if (kind === 'none') this.counts.created++
    if (kind === 'killed') await this.#killOwner(path)
    await Promise.all(this.racers.map((racer) => racer.must('pid'))) // all have started
    const at = performance.timeOrigin + performance.now() + IN_ADVANCE_MS
    const what = `round ${this.counts.rounds} (${layout}, ${kind}, wait ${wait})`
    if (wait > 0) await this.#allInTurn(path, at, what)
    else await this.#oneOnly(path, at, what)
    await this.dying?.ended
    this.dying = null
    if (kind !== 'none') return
    rmSync(path, { recursive: true, force: true })
    this.numbers.delete(path)
  }

  /** One of the racers opens it, writes, and is killed; another process takes its place. @param {string} path */
  async #killOwner(path) {
    const i = this.random.below(this.racers.length)
    const owner = /** @type {Agent} */ (this.racers[i])
    this.racers[i] = new Agent(owner.kind)
    await this.racers[i].must('pid')
    const answer = await owner.open(path)
    if (!answer.startsWith('ok')) this.problems.push(`round ${this.counts.rounds}: nobody has ${path}: ${answer}`)
    else await this.#take(owner, path, `round ${this.counts.rounds}, the owner to be killed`)
    this.counts.killed++
    owner.child.kill('SIGKILL')
    if (this.random.below(2) === 0) await owner.ended
    else this.dying = owner // its last thread may be in the middle of a write: nobody may have the database before
  }

  /** The one that has it finds what the last one stored. @param {Agent} racer @param {string} path
   * @param {string} what */
  async #take(racer, path, what) {
    const want = this.numbers.get(path) ?? 0
    const found = Number(await racer.must('number winner'))
    if (found !== want) this.problems.push(`${what}: ${racer.kind} finds ${found}, and ${want} was stored`)
    await racer.must(`number winner ${want + 1}`)
    this.numbers.set(path, want + 1)
    this.wins[racer.kind] = (this.wins[racer.kind] ?? 0) + 1
  }

  /** @param {string} path @param {number} at @param {string} what */
  async #oneOnly(path, at, what) {
    const answers = await Promise.all(this.racers.map((racer) => racer.open(path, 0, at)))
    const winners = this.racers.filter((_, i) => answers[i]?.startsWith('ok'))
    if (winners.length > 1) this.problems.push(`${what}: ${winners.length} processes have it open`)
    for (const answer of answers) this.#checkRefusal(answer, what)
    this.counts.winners += winners.length
    for (const winner of winners) {
      await this.#take(winner, path, what)
      await winner.must('close')
    }
    if (winners.length === 1) return
    // All stepped back before each other; then the next one gets it.
    if (this.dying === null) this.counts.nobody++
    await this.dying?.ended
    const racer = this.random.pick(this.racers)
    const answer = await racer.open(path)
    if (!answer.startsWith('ok')) return void this.problems.push(`${what}: nobody gets it, then ${answer}`)
    await this.#take(racer, path, what)
    await racer.must('close')
  }

  /** @param {string} answer @param {string} what */
  #checkRefusal(answer, what) {
    if (answer.startsWith('ok')) return
    this.counts.refused++
    if (!answer.startsWith('error LOCKED ')) return void this.problems.push(`${what}: ${answer}`)
    const pid = Number(/process (\d+)/.exec(answer)?.[1] ?? 0)
    if ([...this.racers, this.dying].some((racer) => racer?.pid === pid)) this.counts.named++
    else if (pid !== 0) this.problems.push(`${what}: process ${pid} is none of the racers: ${answer}`)
  }

  /** @param {string} path @param {number} at @param {string} what */
  async #allInTurn(path, at, what) {
    await Promise.all(
      this.racers.map(async (racer) => {
        const answer = await racer.open(path, WAIT_MS, at)
        if (!answer.startsWith('ok')) return void this.problems.push(`${what}: ${racer.kind} waited: ${answer}`)
        this.counts.waited++
        await this.#take(racer, path, what)
        await racer.must('close')
      }),
    )
    this.counts.winners++
  }

  async end() {
    await Promise.all(this.racers.map((racer) => racer.end()))
  }
}

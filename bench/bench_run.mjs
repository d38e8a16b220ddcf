/**
 * Runs the workers: round by round, group by group, one engine after the other, each in a process of its own.
 *
 * @typedef {import('./bench_rows.mjs').Group} Group
 * @typedef {{ row: string, value: number, unit: string, ops?: number, cpu?: number }} Line  what a worker prints
 * @typedef {Map<string, Map<string, number[]>>} Samples         engine → row → a value each time
 *
 * @typedef {object} Plan
 * @property {string} workers    the directory of the worker programs
 * @property {string} dir        where the databases go
 * @property {string[]} engines  'leveldb', or with a variant 'leveldb-16m'
 * @property {Group[]} groups
 * @property {number} rounds
 * @property {number} seed
 * @property {string[]} options  passed on to the workers
 * @property {(text: string) => void} progress
 */
import { spawnSync } from 'node:child_process'
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'

/**
 * @param {string} output
 * @returns {Line[]}
 */
function parseLines(output) {
  return output
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line))
}

/**
 * One process. A group that is meant to be killed has to end by SIGKILL, any other with 0.
 * @param {Plan} plan
 * @param {Group} group
 * @param {string} engine
 * @param {string[]} options
 * @returns {{ lines: Line[], problem: string | undefined }}
 */
function runWorker(plan, group, engine, options) {
  const dash = engine.indexOf('-')
  const program = join(plan.workers, `bench_${dash < 0 ? engine : engine.slice(0, dash)}`)
  const variant = dash < 0 ? '' : engine.slice(dash + 1)
  const dir = join(plan.dir, engine, group.data)
  if (group.fresh) rmSync(dir, { recursive: true, force: true })
  mkdirSync(dir, { recursive: true })
  const words = ['--group', group.name, '--dir', dir, '--variant', variant, ...plan.options, ...options]
  const child = spawnSync(program, words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
  const killed = child.signal === 'SIGKILL' && child.stdout.includes('crash_log')
  const good = group.name === 'crash' ? killed : child.status === 0
  const why = child.stderr?.trim() || child.error?.message || child.signal || `exit code ${child.status}`
  return { lines: parseLines(child.stdout ?? ''), problem: good ? undefined : `${engine}, ${group.name}: ${why}` }
}

/**
 * Lines of a crash and of the open after it give one more row: what 64 MiB of log would have cost.
 * @param {Map<string, number>} crash
 * @param {Line[]} lines
 */
function addOpenPerLog(crash, lines) {
  const log = crash.get('crash_log') ?? 0
  const opened = lines.find((line) => line.row === 'open_crash')
  if (opened && log >= 0.25) lines.push({ row: 'open_crash_64', value: (opened.value * 64) / log, unit: 'ms' })
}

/** Collects samples and problems, and checks that all engines read the same bytes. */
class Results {
  /** @type {Samples} */ samples = new Map()
  /** @type {string[]} */ problems = []
  /** @type {Map<string, { engine: string, sum: number }>} */ #sums = new Map()
  /** @type {Map<string, Map<string, number>>} */ crashes = new Map()
  /** @type {Set<string>} */ broken = new Set() // "engine, data" whose writer failed: what would read it is left out

  /**
   * @param {string} engine
   * @param {Line[]} lines
   */
  add(engine, lines) {
    const rows = this.samples.get(engine) ?? new Map()
    this.samples.set(engine, rows)
    /** @param {string} row @param {number} value */
    const push = (row, value) => rows.set(row, [...(rows.get(row) ?? []), value])
    for (const { row, value, ops, cpu } of lines) {
      push(row, value)
      if (ops && cpu) push(`${row}_cpu`, ops / cpu)
    }
  }

  /**
   * @param {string} step   a group in a round
   * @param {string} engine
   * @param {Line[]} lines
   */
  check(step, engine, lines) {
    const line = lines.find((each) => each.row === 'read_sum')
    if (!line) return
    const first = this.#sums.get(step)
    if (!first) this.#sums.set(step, { engine, sum: line.value })
    else if (first.sum !== line.value) {
      this.problems.push(`${engine} read other bytes than ${first.engine} (${step})`)
    }
  }
}

/**
 * @param {Plan} plan
 * @param {Results} results
 * @param {number} round
 * @param {Group} group
 * @param {string} engine
 */
function runStep(plan, results, round, group, engine) {
  const crash = results.crashes.get(engine) ?? new Map()
  const data = `${engine}, ${group.data}`
  if (group.fresh) results.broken.delete(data)
  if (results.broken.has(data)) return
  const options = ['--seed', String(plan.seed + round)]
  if (group.name === 'crashopen') options.push('--written', String(crash.get('crash_written') ?? 0))
  if (group.name === 'sync') spawnSync('sync')
  for (let time = 0; time < (group.times ?? 1); time++) {
    const { lines, problem } = runWorker(plan, group, engine, options)
    if (problem) {
      results.problems.push(problem)
      results.broken.add(data)
    }
    if (group.name === 'crash') results.crashes.set(engine, new Map(lines.map((line) => [line.row, line.value])))
    if (group.name === 'crashopen') addOpenPerLog(crash, lines)
    else results.check(`${group.name}, round ${round + 1}`, engine, lines)
    results.add(engine, lines)
    if (problem) return
  }
}

/**
 * Runs everything. The order of the engines turns by one each round, so that none is always after the same one.
 * @param {Plan} plan
 * @returns {{ samples: Samples, problems: string[] }}
 */
export function runPlan(plan) {
  const results = new Results()
  for (let round = 0; round < plan.rounds; round++) {
    const turn = round % plan.engines.length
    const engines = [...plan.engines.slice(turn), ...plan.engines.slice(0, turn)]
    plan.groups.forEach((group, at) => {
      for (const engine of engines) {
        plan.progress(`round ${round + 1} of ${plan.rounds}: ${group.name}, ${engine}`)
        runStep(plan, results, round, group, engine)
        const last = !plan.groups.slice(at + 1).some((later) => later.data === group.data)
        if (last) rmSync(join(plan.dir, engine, group.data), { recursive: true, force: true })
      }
    })
  }
  return { samples: results.samples, problems: results.problems }
}

#!/usr/bin/env node
// torture_processes.mjs: npm run torture:processes: real processes, killed at random moments, for as long as is wanted.
//
//   npm run torture:processes -- --rounds 600            rounds of kill -9
//   npm run torture:processes -- --minutes 10            as many as there is time for
//   npm run torture:processes -- --seed 7 --dir PLACE --layout single --keep
//
// The same seed makes the same plan of rounds; the moment of a kill is the clock's all the same. It ends with 1 when
// anything was lost, and leaves the databases then. tests/process/kill_rounds.mjs says what a round is.

import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'

import { KillRounds, tableOf } from '../tests/process/kill_rounds.mjs'
import { layouts, programs } from '../tests/process/process_support.mjs'

const { values } = parseArgs({
  options: {
    rounds: { type: 'string' },
    minutes: { type: 'string' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000_007) },
    dir: { type: 'string', default: tmpdir() },
    layout: { type: 'string' },
    keep: { type: 'boolean', default: false },
  },
})

const PROBLEMS_MAX = 5

async function main() {
  const rounds = Number(values.rounds ?? (values.minutes === undefined ? 600 : Infinity))
  const until = performance.now() + Number(values.minutes ?? Infinity) * 60_000
  if (Number.isNaN(rounds) || Number.isNaN(until)) throw new Error('--rounds and --minutes take a number')
  if (!existsSync(programs.writer)) throw new Error(`${programs.writer} was not built: npm run build`)
  const kinds = values.layout === undefined ? await layouts() : [values.layout]
  const place = mkdtempSync(join(values.dir, 'varve-torture-'))
  const run = new KillRounds(place, Number(values.seed), kinds)
  console.log(`seed ${values.seed}, layouts ${kinds.join(' and ')}, databases in ${place}`)
  const since = performance.now()
  for (let i = 0; i < rounds && performance.now() < until && run.problems.length < PROBLEMS_MAX; i++) {
    await run.next()
    if (i % 50 === 49) progress(run, i + 1, since)
  }
  console.log(tableOf(run.totals))
  console.log([...run.phases].sort().map(([name, count]) => `killed in ${name}: ${count}`).join('\n'))
  console.log(`${((performance.now() - since) / 1000).toFixed(0)} s, seed ${values.seed}`)
  for (const problem of run.problems) console.log(`PROBLEM ${problem}`)
  if (run.problems.length === 0 && !values.keep) rmSync(place, { recursive: true, force: true })
  process.exitCode = run.problems.length === 0 ? 0 : 1
}

/** @param {KillRounds} run @param {number} rounds @param {number} since */
function progress(run, rounds, since) {
  const acknowledged = [...run.totals.values()].reduce((sum, row) => sum + row.acknowledged, 0)
  const seconds = ((performance.now() - since) / 1000).toFixed(0)
  console.log(`${seconds} s: ${rounds} rounds, ${acknowledged} commits acknowledged, ${run.problems.length} problems`)
}

await main()

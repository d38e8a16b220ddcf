#!/usr/bin/env node
// torture_processes.mjs: npm run torture:processes: real processes, killed at random moments, for as long as is wanted.
//
//   npm run torture:processes -- --rounds 600            rounds of kill -9
//   npm run torture:processes -- --minutes 10            as many as there is time for
//   npm run torture:processes -- --seed 7 --dir PLACE --layout single --keep
//
// Beside them processes race to open a database, a round for every three, and verbs of the command-line program are
// killed, a round for every forty. The same seed makes the same plan of rounds; the moment of a kill is the clock's all
// the same. It ends with 1 when anything was lost, and leaves the databases then. tests/process/kill_rounds.mjs says
// what a round is.

import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'

import { CliKills } from '../tests/process/cli_kills.mjs'
import { KillRounds, tableOf } from '../tests/process/kill_rounds.mjs'
import { RaceRounds } from '../tests/process/race_rounds.mjs'
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
  const part = (/** @type {string} */ name) => {
    mkdirSync(join(place, name))
    return join(place, name)
  }
  const seed = Number(values.seed)
  const run = new KillRounds(part('kills'), seed, kinds)
  const races = new RaceRounds(part('races'), seed, kinds)
  const verbs = new CliKills(part('verbs'), seed, kinds)
  const problems = () => [...run.problems, ...races.problems, ...verbs.problems]
  console.log(`seed ${values.seed}, layouts ${kinds.join(' and ')}, databases in ${place}`)
  const since = performance.now()
  for (let i = 0; i < rounds && performance.now() < until && problems().length < PROBLEMS_MAX; i++) {
    await run.next()
    if (i % 3 === 0) await races.next()
    if (i % 40 === 0) await verbs.round()
    if (i % 50 === 49) progress(run, i + 1, problems().length, since)
  }
  await races.end()
  console.log(tableOf(run.totals))
  console.log(
    [...run.phases]
      .sort()
      .map(([name, count]) => `killed in ${name}: ${count}`)
      .join('\n'),
  )
  console.log(`races to open: ${JSON.stringify(races.counts)}, won by ${JSON.stringify(races.wins)}`)
  console.log(`verbs: ${JSON.stringify(verbs.counts)}`)
  console.log(`${((performance.now() - since) / 1000).toFixed(0)} s, seed ${values.seed}`)
  for (const problem of problems()) console.log(`PROBLEM ${problem}`)
  if (problems().length === 0 && !values.keep) rmSync(place, { recursive: true, force: true })
  process.exitCode = problems().length === 0 ? 0 : 1
}

/** @param {KillRounds} run @param {number} rounds @param {number} problems @param {number} since */
function progress(run, rounds, problems, since) {
  const acknowledged = [...run.totals.values()].reduce((sum, row) => sum + row.acknowledged, 0)
  const seconds = ((performance.now() - since) / 1000).toFixed(0)
  console.log(`${seconds} s: ${rounds} rounds, ${acknowledged} commits acknowledged, ${problems} problems`)
}

await main()

// process_cli.test.js: the command-line program, killed in the middle of its long verbs.

import assert from 'node:assert/strict'
import { it } from 'node:test'

import { CliKills } from './cli_kills.mjs'
import { layouts, placeFor, seedOf, skip } from './process_support.mjs'

const ROUNDS = Number(process.env.VARVE_PROCESS_ROUNDS ?? 2)

it('leaves sources as they were, and no half databases', { skip }, async (t) => {
  const seed = seedOf()
  const run = new CliKills(placeFor(t), seed, await layouts())
  assert.ok(run.full.rows > 1000, run.full.why)
  for (let i = 0; i < ROUNDS && run.problems.length === 0; i++) await run.round()
  t.diagnostic(`VARVE_SEED=${seed} ${JSON.stringify(run.counts)}`)
  assert.deepEqual(run.problems, [])
})

// process_race.test.js: processes that open a database at one instant.

import assert from 'node:assert/strict'
import { it } from 'node:test'

import { layouts, placeFor, seedOf, skip } from './process_support.mjs'
import { RaceRounds } from './race_rounds.mjs'

const ROUNDS = Number(process.env.VARVE_PROCESS_ROUNDS ?? 24)

it('has one owner at a time, who finds what the last one stored', { skip }, async (t) => {
  const seed = seedOf()
  const race = new RaceRounds(placeFor(t), seed, await layouts())
  t.after(() => race.end())
  for (let i = 0; i < ROUNDS && race.problems.length === 0; i++) await race.next()
  const { counts } = race
  t.diagnostic(`VARVE_SEED=${seed} ${JSON.stringify(counts)} wins ${JSON.stringify(race.wins)}`)
  assert.deepEqual(race.problems, [])
  assert.ok(counts.nobody <= ROUNDS / 10, `${counts.nobody} of ${ROUNDS} rounds without a winner`)
  assert.ok(counts.named >= counts.refused * 0.9, `${counts.named} of ${counts.refused} refusals name a process`)
})

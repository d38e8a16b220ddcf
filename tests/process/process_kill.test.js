// process_kill.test.js: a few rounds of kill -9. `npm run torture:processes` goes on for as long as is wanted.

import assert from 'node:assert/strict'
import { it } from 'node:test'

import { Model, Window } from './kill_model.mjs'
import { KillRounds, tableOf } from './kill_rounds.mjs'
import { layouts, placeFor, seedOf, skip } from './process_support.mjs'

const ROUNDS = Number(process.env.VARVE_PROCESS_ROUNDS ?? 24)

it('keeps what was acknowledged, and nothing else, whoever is killed', { skip }, async (t) => {
  const seed = seedOf()
  const run = new KillRounds(placeFor(t), seed, await layouts())
  for (let i = 0; i < ROUNDS && run.problems.length === 0; i++) await run.next()
  t.diagnostic(`VARVE_SEED=${seed}\n${tableOf(run.totals)}`)
  assert.deepEqual(run.problems, [])
})

// The model itself: it must see what it is there to see.
const commit = (thread, n, changes) => ({ thread, n, changes })
const put = (key, size = '100') => ({ kind: 'p', k: '0', key, end: '', size })
const del = (key) => ({ kind: 'd', k: '0', key, end: '', size: '' })

function modelOf(...commits) {
  const model = new Model()
  model.begin(1, 1)
  commits.forEach((changes, n) => {
    model.start(commit(0, n, changes))
    model.finish(0)
  })
  return model
}

it('has a model that sees a lost write, a deleted key and half a batch', () => {
  const whole = new Map([
    ['0/p0-a', '1.0.0.0 100'],
    ['0/p0-b', '1.0.0.1 100'],
  ])
  const damageOf = (model, found) => {
    const { lost, resurrected, half } = model.settle(found)
    return { lost, resurrected, half }
  }
  const both = [put('p0-a'), put('p0-b')]
  const none = { lost: 0, resurrected: 0, half: 0 }
  assert.deepEqual(damageOf(modelOf(both), whole), none)
  assert.deepEqual(damageOf(modelOf(both), new Map([...whole].slice(1))), { ...none, lost: 1 })
  assert.deepEqual(damageOf(modelOf(both, [del('p0-a')]), whole), { ...none, resurrected: 1 })
  assert.deepEqual(damageOf(modelOf(both, [put('p0-a')]), whole), { ...none, lost: 1 }, 'an older value')
  for (const [kept, half] of /** @type {const} */ ([
    [0, 0],
    [1, 1],
    [2, 0],
  ])) {
    const model = modelOf()
    model.start(commit(0, 0, both))
    assert.equal(damageOf(model, new Map([...whole].slice(0, kept))).half, half, `${kept} of a batch of two`)
  }
  const model = modelOf(both)
  const window = new Window(model)
  window.add(commit(0, 1, [del('p0-a'), del('p0-b')]))
  assert.equal(window.explain(whole), '')
  assert.equal(window.explain(new Map()), '')
  assert.notEqual(window.explain(new Map([...whole].slice(1))), '', 'a backup of half a batch')
})

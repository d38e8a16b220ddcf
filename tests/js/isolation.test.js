// isolation.test.js: the table of isolation: every schedule at every level, in memory and over tables on disk. Each
// cell prints what is expected and what came out.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { PLACES, errorOf, openIn } from './support.js'

const LEVELS = ['read-committed', 'snapshot', 'serializable']

/** 'ok', or the conflict. */
async function commit(tx) {
  try {
    await tx.commit()
    return 'ok'
  } catch (error) {
    if (error.code !== 'ERR_DB_CONFLICT' || error.retryable !== true) throw error
    return 'CONFLICT'
  }
}
/** The rows that a predicate holds for, as text: all of the range is read. */
async function scan(tx, holds = () => true, range = undefined) {
  const found = []
  for await (const [key, value] of tx.entries(range)) if (holds(value)) found.push(`${key}:${value}`)
  return `{${found}}`
}
const by = (n) => (value) => value % n === 0
const is = (n) => (value) => value === n
const every = (outcome) => [outcome, outcome, outcome]
const decade = (n) => ({ gte: `${n}00`, lt: `${n}:` })

/** What the schedules begin with: { 1: 10, 2: 20 }. Each returns its outcome; `expected` is by level. */
const ROWS = [
  {
    name: 'G0 dirty write',
    run: async (db, begin) => {
      const [t1, t2] = [begin(), begin()]
      await t1.put('1', 11)
      await t2.put('1', 12)
      await t1.put('2', 21)
      const first = await commit(t1)
      await t2.put('2', 22)
      return `${first} ${await commit(t2)} ${await scan(db)}`
    },
    expected: ['ok ok {1:12,2:22}', 'ok CONFLICT {1:11,2:21}', 'ok CONFLICT {1:11,2:21}'],
  },
  {
    name: 'G1a aborted read',
    run: async (db, begin) => {
      const [t1, t2] = [begin(), begin()]
      await t1.put('1', 101)
      const first = await t2.get('1')
      await t1.rollback()
      return `${first} ${await t2.get('1')} ${await commit(t2)}`
    },
    expected: every('10 10 ok'),
  },
  {
    name: 'G1b intermediate read',
    run: async (db, begin) => {
      const [t1, t2] = [begin(), begin()]
      await t1.put('1', 101)
      const first = await t2.get('1')
      await t1.put('1', 11)
      return `${first} ${await commit(t1)} ${await t2.get('1')} ${await commit(t2)}`
    },
    expected: ['10 ok 11 ok', '10 ok 10 ok', '10 ok 10 ok'],
  },
  {
    name: 'G1c circular flow',
    run: async (db, begin) => {
      const [t1, t2] = [begin(), begin()]
      await t1.put('1', 11)
      await t2.put('2', 22)
      return `${await t1.get('2')} ${await t2.get('1')} ${await commit(t1)} ${await commit(t2)}`
    },
    expected: ['20 10 ok ok', '20 10 ok ok', '20 10 ok CONFLICT'],
  },
  {
    name: 'OTV observed transaction vanishes',
    run: async (db, begin) => {
      const [t1, t2, t3] = [begin(), begin(), begin()]
      await t1.put('1', 11)
      await t1.put('2', 19)
      await t2.put('1', 12)
      const seen = [await commit(t1), await t3.get('1')]
      await t2.put('2', 18)
      seen.push(await t3.get('2'), await commit(t2), await t3.get('2'), await t3.get('1'))
      return seen.join(' ')
    },
    expected: ['ok 11 19 ok 18 12', 'ok 10 20 CONFLICT 20 10', 'ok 10 20 CONFLICT 20 10'],
  },
  {
    name: 'PMP predicate-many-preceders',
    run: async (db, begin) => {
      const [t1, t2] = [begin(), begin()]
      const first = await scan(t1, is(30))
      await t2.put('3', 30)
      return `${first} ${await commit(t2)} ${await scan(t1, by(3))} ${await commit(t1)}`
    },
    expected: ['{} ok {3:30} ok', '{} ok {} ok', '{} ok {} ok'],
  },
  {
    name: 'PMP for writes',
    run: async (db, begin) => {
      const [t1, t2] = [begin(), begin()]
      for await (const [key, value] of t1.entries()) await t1.put(key, value + 10)
      for await (const [key, value] of t2.entries()) if (value === 20) await t2.del(key)
      return `${await commit(t1)} ${await commit(t2)} ${await scan(db)}`
    },
    expected: ['ok ok {1:20}', 'ok CONFLICT {1:20,2:30}', 'ok CONFLICT {1:20,2:30}'],
  },
  {
    name: 'P4 lost update',
    run: async (db, begin) => {
      const [t1, t2] = [begin(), begin()]
      const values = [await t1.get('1'), await t2.get('1')]
      await t1.put('1', values[0] + 1)
      await t2.put('1', values[1] + 1)
      const outcome = [await commit(t1), await commit(t2), await db.get('1')]
      if (outcome[1] === 'CONFLICT') {
        const again = begin()
        await again.put('1', (await again.get('1')) + 1)
        outcome.push('retried', await commit(again), await db.get('1'))
      }
      return outcome.join(' ')
    },
    expected: ['ok ok 11', 'ok CONFLICT 11 retried ok 12', 'ok CONFLICT 11 retried ok 12'],
  },
  {
    name: 'G-single read skew',
    run: async (db, begin) => {
      const [t1, t2] = [begin(), begin()]
      const first = await t1.get('1')
      await t2.put('1', 12)
      await t2.put('2', 18)
      return `${first} ${await commit(t2)} ${await t1.get('2')} ${await commit(t1)}`
    },
    expected: ['10 ok 18 ok', '10 ok 20 ok', '10 ok 20 ok'],
  },
  {
    name: 'G-single by predicates',
    run: async (db, begin) => {
      const [t1, t2] = [begin(), begin()]
      const first = await scan(t1, by(5))
      await t2.put('1', 12)
      return `${first} ${await commit(t2)} ${await scan(t1, by(3))} ${await commit(t1)}`
    },
    expected: ['{1:10,2:20} ok {1:12} ok', '{1:10,2:20} ok {} ok', '{1:10,2:20} ok {} ok'],
  },
  {
    name: 'G-single by a write predicate',
    run: async (db, begin) => {
      const [t1, t2] = [begin(), begin()]
      const first = await t1.get('1')
      await t2.put('1', 12)
      await t2.put('2', 18)
      const second = await commit(t2)
      for await (const [key, value] of t1.entries()) if (value === 20) await t1.del(key)
      return `${first} ${second} ${await commit(t1)} ${await scan(db)}`
    },
    expected: ['10 ok ok {1:12,2:18}', '10 ok CONFLICT {1:12,2:18}', '10 ok CONFLICT {1:12,2:18}'],
  },
  {
    name: 'G2-item write skew',
    run: async (db, begin) => {
      const [t1, t2] = [begin(), begin()]
      for (const tx of [t1, t2]) await tx.getMany(['1', '2'])
      await t1.put('1', 11)
      await t2.put('2', 21)
      return `${await commit(t1)} ${await commit(t2)}`
    },
    expected: ['ok ok', 'ok ok', 'ok CONFLICT'],
  },
  {
    name: 'G2 by predicates',
    run: async (db, begin) => {
      const [t1, t2] = [begin(), begin()]
      const seen = [await scan(t1, by(3)), await scan(t2, by(3))]
      await t1.put('3', 30)
      await t2.put('4', 42)
      return `${seen} ${await commit(t1)} ${await commit(t2)}`
    },
    expected: ['{},{} ok ok', '{},{} ok ok', '{},{} ok CONFLICT'],
  },
  {
    name: 'G2 read-only anomaly',
    run: async (db, begin) => {
      const [t1, t2] = [begin(), begin()]
      await scan(t1)
      await t2.put('2', (await t2.get('2')) + 5)
      const second = await commit(t2)
      const t3 = begin()
      const seen = await scan(t3)
      const third = await commit(t3)
      await t1.put('1', 0)
      return `${second} ${seen} ${third} ${await commit(t1)}`
    },
    expected: ['ok {1:10,2:25} ok ok', 'ok {1:10,2:25} ok ok', 'ok {1:10,2:25} ok CONFLICT'],
  },
  {
    name: 'empty ranges',
    run: async (db, begin) => {
      const [t1, t2] = [begin(), begin()]
      const seen = [await scan(t1, undefined, decade(1)), await scan(t2, undefined, decade(2))]
      await t1.put('250', 1)
      await t2.put('150', 1)
      return `${seen} ${await commit(t1)} ${await commit(t2)}`
    },
    expected: ['{},{} ok ok', '{},{} ok ok', '{},{} ok CONFLICT'],
  },
  {
    name: 'ranges of tombstones alone, counted backwards',
    run: async (db, begin) => {
      for (const key of ['110', '150', '250']) await db.put(key, 1)
      await db.flush()
      await db.clear({ gte: '100', lt: '13' })
      await db.batch(['150', '250'].map((key) => ({ type: 'del', key })))
      const [t1, t2] = [begin(), begin()]
      const seen = [await scan(t1, undefined, { ...decade(1), reverse: true }), await t2.count(decade(2))]
      await t1.put('250', 1)
      await t2.put('150', 1)
      return `${seen} ${await commit(t1)} ${await commit(t2)}`
    },
    expected: ['{},0 ok ok', '{},0 ok ok', '{},0 ok CONFLICT'],
  },
  {
    name: 'a range cut short by a limit: behind it',
    run: async (db, begin) => {
      for (const key of ['110', '150']) await db.put(key, 1)
      const t1 = begin()
      const seen = await scan(t1, undefined, { ...decade(1), limit: 1 })
      await db.put('120', 1)
      await t1.put('1', 0)
      return `${seen} ${await commit(t1)}`
    },
    expected: every('{110:1} ok'),
  },
  {
    name: 'a range cut short by a limit: before it',
    run: async (db, begin) => {
      for (const key of ['110', '150']) await db.put(key, 1)
      const t1 = begin()
      const seen = await scan(t1, undefined, { ...decade(1), limit: 1 })
      await db.put('105', 1)
      await t1.put('1', 0)
      return `${seen} ${await commit(t1)}`
    },
    expected: ['{110:1} ok', '{110:1} ok', '{110:1} CONFLICT'],
  },
  {
    name: 'a key that was not there',
    run: async (db, begin) => {
      const [t1, t2] = [begin(), begin()]
      const seen = [await t1.has('5'), await t2.get('6')]
      await t1.put('6', 1)
      await t2.put('5', 1)
      return `${seen} ${await commit(t1)} ${await commit(t2)}`
    },
    expected: ['false, ok ok', 'false, ok ok', 'false, ok CONFLICT'],
  },
  {
    name: 'write skew of keys read for update',
    run: async (db, begin) => {
      const [t1, t2] = [begin(), begin()]
      await t1.getForUpdate('1')
      const locked = await errorOf(t2.getForUpdate('1')).catch(() => ({ code: 'none' }))
      await t1.getForUpdate('2')
      await t1.put('1', 11)
      await t2.put('2', 21)
      return `${locked.code} ${await commit(t2)} ${await commit(t1)}`
    },
    expected: every('ERR_DB_CONFLICT ok CONFLICT'),
  },
]

for (const place of [PLACES[0], PLACES[3]]) {
  describe(`isolation: ${place.name}`, () => {
    for (const { name, run, expected } of ROWS) {
      LEVELS.forEach((isolation, level) => {
        it(`${name}, ${isolation}`, async (t) => {
          const { db } = await openIn(t, place, { valueEncoding: 'json', memtable: 65536 })
          await db.batch([
            { type: 'put', key: '1', value: 10 },
            { type: 'put', key: '2', value: 20 },
          ])
          if (place.lasts) await db.flush()
          const all = []
          const begin = () => {
            const tx = db.begin({ isolation, lockWait: 0 })
            all.push(tx)
            return tx
          }
          const got = await run(db, begin)
          for (const tx of all) await tx.rollback()
          t.diagnostic(`${name} | ${isolation} | expected ${expected[level]} | got ${got}`)
          assert.equal(got, expected[level])
        })
      })
    }
  })
}

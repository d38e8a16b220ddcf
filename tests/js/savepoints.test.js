// savepoints.test.js: transactions that are synchronous, nested, marked with savepoints, and many at once.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { PLACES, Random, errorOf, openIn, seedOf } from './support.js'

/** A database in memory with { a: '1', b: '2', c: '3' }. */
async function opened(t, options) {
  const { db } = await openIn(t, PLACES[0], options)
  await db.batch(['a', 'b', 'c'].map((key, i) => ({ type: 'put', key, value: String(i + 1) })))
  return db
}
const turn = () => new Promise((resolve) => setImmediate(resolve))

describe('transactionSync()', () => {
  it('commits, returns, and sees itself', async (t) => {
    const db = await opened(t)
    const sum = db.transactionSync((tx) => {
      tx.putSync('d', '4')
      return [...tx.valuesSync()].reduce((total, value) => total + Number(value), 0)
    })
    assert.deepEqual([sum, db.getSync('d')], [10, '4'])
  })

  it('refuses promises, and says what to call', async (t) => {
    const db = await opened(t)
    let ran = false
    const asynchronous = await errorOf(() =>
      db.transactionSync(async (tx) => {
        ran = true
        tx.putSync('a', 'x')
      }),
    )
    assert.ok(asynchronous instanceof TypeError && !ran)
    assert.match(asynchronous.message, /use await db.transaction\(async \(tx\) => …\)/)
    const promised = await errorOf(() => db.transactionSync((tx) => tx.put('a', 'x')))
    assert.ok(promised instanceof TypeError)
    assert.match(promised.message, /returned a promise; .* use await db.transaction/)
    const failing = () => db.transactionSync((tx) => tx.get('a').then(() => Promise.reject(new Error('unheard'))))
    assert.ok((await errorOf(failing)) instanceof TypeError)
    const nested = () => db.transactionSync((tx) => tx.transactionSync(() => Promise.resolve()))
    assert.ok((await errorOf(nested)) instanceof TypeError)
    await turn()
    assert.equal(db.getSync('a'), '1')
  })
})

describe('nested transactions and savepoints', () => {
  it('keep or undo their own changes', async (t) => {
    const db = await opened(t)
    const space = db.keyspace('space')
    await db.transaction(async (tx) => {
      await tx.put('a', 'outer')
      const kept = await tx.transaction(async (inner) => {
        await inner.put('b', 'inner')
        await inner.keyspace(space).put('s', '1')
        const undone = inner.transaction(async (innermost) => {
          await innermost.clear()
          assert.equal(await innermost.count(), 0)
          throw new Error('undone')
        })
        assert.equal((await errorOf(undone)).message, 'undone')
        return inner.get('b')
      })
      assert.equal(kept, 'inner')
      tx.transactionSync((inner) => inner.putSync('c', 'sync'))
      const failing = () =>
        tx.transactionSync((inner) => {
          inner.putSync('c', 'never')
          throw new Error('undone')
        })
      assert.throws(failing, /undone/)
    })
    assert.equal([...db.entriesSync()].join(), 'a,outer,b,inner,c,sync')
    assert.equal(await space.get('s'), '1')
  })

  it('are all undone with the outer one', async (t) => {
    const db = await opened(t)
    const tx = db.begin()
    await tx.transaction((inner) => inner.put('b', 'inner'))
    await tx.rollback()
    assert.equal(await db.get('b'), '2')
  })

  it('run one at a time', async (t) => {
    const db = await opened(t)
    await db.transaction(async (tx) => {
      let go
      const running = tx.transaction(async (inner) => {
        await inner.put('x', '1')
        await new Promise((resolve) => (go = resolve))
      })
      while (go === undefined) await turn()
      const refusals = [tx.put('y', '1'), tx.transaction(() => {}), tx.commit(), () => tx.savepoint()]
      for (const use of refusals) {
        const error = await errorOf(use)
        assert.ok(error instanceof TypeError)
        assert.match(error.message, /has to wait for the nested transaction/)
      }
      assert.equal(await tx.get('x'), '1') // reading is allowed
      go()
      await running
      await tx.put('y', '1')
    })
    assert.equal(await db.get('y'), '1')
  })

  it('refuse to be used after their end, and to end themselves', async (t) => {
    const db = await opened(t)
    const tx = db.begin()
    let old
    await tx.transaction(async (inner) => {
      old = inner
      assert.match((await errorOf(inner.commit())).message, /committed when its function has ended/)
      assert.match((await errorOf(inner.rollback())).message, /rolled back when its function throws/)
    })
    assert.match((await errorOf(old.put('a', 'x'))).message, /comes too late/)
    await tx.commit()
  })

  it('savepoints are gone back to, any number of times, and released', async (t) => {
    const db = await opened(t)
    const tx = db.begin()
    const one = tx.savepoint()
    await tx.put('x', '1')
    const two = tx.savepoint()
    await tx.put('y', '1')
    two.rollback()
    assert.deepEqual(await tx.getMany(['x', 'y']), ['1', undefined])
    await tx.put('y', '2')
    two.rollback()
    await tx.put('y', '3')
    two.release()
    assert.match((await errorOf(() => two.rollback())).message, /The savepoint is gone/)
    const three = tx.savepoint()
    one.rollback()
    assert.match((await errorOf(() => three.rollback())).message, /The savepoint is gone/)
    assert.match((await errorOf(() => three.release())).message, /The savepoint is gone/)
    assert.deepEqual(await tx.getMany(['x', 'y']), [undefined, undefined])
    await tx.put('z', '1')
    await tx.commit()
    assert.equal([...db.keysSync()].join(), 'a,b,c,z')
  })
})

it('money is never made or lost: random transfers, audited all the time', async (t) => {
  const seed = seedOf()
  t.diagnostic(`VARVE_SEED=${seed}`)
  const random = new Random(seed)
  const { db } = await openIn(t, PLACES[3], { valueEncoding: 'json', memtable: 65536, memory: 1 << 20 })
  const accounts = Array.from({ length: 40 }, (_, i) => `account ${i}`)
  await db.batch(accounts.map((key) => ({ type: 'put', key, value: 100 })))
  const isolations = ['snapshot', 'serializable']
  let retried = 0
  const transfer = async () => {
    const [from, to] = [random.pick(accounts), random.pick(accounts)]
    if (from === to) return
    const isolation = random.pick(isolations)
    const pessimistic = random.chance(30)
    retried--
    await db.transaction(
      async (tx) => {
        retried++
        const read = (key) => (pessimistic ? tx.getForUpdate(key) : tx.get(key))
        const [a, b] = [await read(from), await read(to)]
        if (random.chance(20)) await turn()
        await tx.put(from, a - 1)
        await tx.put(to, b + 1)
        const savepoint = tx.savepoint()
        if (random.chance(20)) await tx.clear()
        savepoint.rollback()
        if (random.chance(5)) await tx.rollback()
      },
      { isolation, retries: Infinity, lockWait: 20 },
    )
  }
  let stop = false
  let audits = 0
  const audit = async () => {
    while (!stop) {
      const sum = await db.transaction(
        async (tx) => {
          let total = 0
          for await (const value of tx.values({ reverse: random.chance(50) })) total += value
          return total
        },
        { readOnly: true },
      )
      assert.equal(sum, 4000)
      audits++
      await turn()
    }
  }
  const auditing = audit()
  for (let round = 0; round < 40; round++) await Promise.all(Array.from({ length: 25 }, transfer))
  stop = true
  await auditing
  t.diagnostic(`1,000 transfers, ${retried} retries, ${audits} audits`)
  assert.ok(audits > 10)
})

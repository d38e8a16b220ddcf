// transactions.test.js: transactions of JavaScript: what they see, how they are run again, nested, forgotten, misused.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { Database, DatabaseError, Transaction } from '../../bindings/js/index.js'
import { PLACES, atEnd, errorOf, openIn, runNode } from './support.js'

/** A database in memory with { a: '1', b: '2', c: '3' }. */
async function opened(t, options) {
  const { db } = await openIn(t, PLACES[0], options)
  await db.batch(['a', 'b', 'c'].map((key, i) => ({ type: 'put', key, value: String(i + 1) })))
  return db
}
const conflict = (error) => error instanceof DatabaseError && error.code === 'ERR_DB_CONFLICT'
const turn = () => new Promise((resolve) => setImmediate(resolve))

describe('a transaction', () => {
  it('reads what it wrote, in gets and in both directions, and nobody else does', async (t) => {
    const db = await opened(t)
    const result = await db.transaction(async (tx) => {
      assert.ok(tx instanceof Transaction)
      await tx.put('d', '4')
      tx.delSync('a')
      await tx.batch([
        { type: 'put', key: 'b', value: 'two' },
        { type: 'del', key: 'c' },
        { type: 'put', key: 'c', value: 'three' },
      ])
      assert.equal(await tx.get('a'), undefined)
      assert.deepEqual(await tx.getMany(['a', 'b', 'c', 'd']), [undefined, 'two', 'three', '4'])
      assert.deepEqual(
        [tx.hasSync('a'), await tx.has('d'), await tx.count(), tx.countSync({ gt: 'c' })],
        [false, true, 3, 1],
      )
      assert.deepEqual([...tx.entriesSync()].join(), 'b,two,c,three,d,4')
      const keys = []
      for await (const key of tx.keys({ reverse: true, lt: 'd' })) keys.push(key)
      assert.deepEqual(keys, ['c', 'b'])
      await tx.clear({ prefix: 'b' })
      await tx.clear({ limit: 1 })
      assert.deepEqual([...tx.valuesSync()], ['4'])
      await tx.put('bb', 'new in what was cleared')
      assert.deepEqual([...db.keysSync()], ['a', 'b', 'c'])
      return 'result'
    })
    assert.equal(result, 'result')
    assert.deepEqual([...db.keysSync()], ['bb', 'd'])
  })

  it('walks over what there was when the walk began', async (t) => {
    const db = await opened(t)
    const tx = db.begin()
    await tx.put('d', '4')
    const rows = tx.entriesSync()
    await tx.put('e', '5')
    await tx.del('b')
    assert.equal([...rows].join(), 'a,1,b,2,c,3,d,4')
    assert.equal([...tx.keysSync()].join(), 'a,c,d,e')
    await tx.rollback()
  })

  it('sees what was written before it, and with read-committed what is written meanwhile', async (t) => {
    const db = await opened(t)
    void db.put('d', '4')
    const [snapshot, latest] = [db.begin(), db.begin({ isolation: 'read-committed' })]
    void db.put('e', '5')
    assert.deepEqual(await snapshot.getMany(['d', 'e']), ['4', undefined])
    assert.deepEqual(await latest.getMany(['d', 'e']), ['4', '5'])
    for (const tx of [snapshot, latest]) await tx.commit()
  })

  it('leaves nothing when it fails, and hands the failure on', async (t) => {
    const db = await opened(t)
    const fault = new Error('of the program')
    const failing = db.transaction(async (tx) => {
      await tx.put('a', 'x')
      throw fault
    })
    assert.equal(await errorOf(failing), fault)
    const sync = () =>
      db.transactionSync((tx) => {
        tx.putSync('a', 'x')
        throw fault
      })
    assert.equal(await errorOf(sync), fault)
    assert.equal(await db.get('a'), '1')
    assert.equal(db.stats().transactions ?? 0, 0)
  })

  it('is over after its end, and so are its keyspaces, rows and savepoints', async (t) => {
    const db = await opened(t)
    const space = db.keyspace('space')
    for (const end of ['commit', 'rollback']) {
      const tx = db.begin()
      await tx.put('x', end)
      const inner = tx.keyspace(space)
      const rows = tx.keys()
      const savepoint = tx.savepoint()
      await tx[end]()
      assert.equal(tx.status, end === 'commit' ? 'committed' : 'rolled back')
      const uses = [
        tx.get('a'),
        tx.put('a', 'b'),
        inner.get('a'),
        rows.next(),
        tx.getForUpdate('a'),
        () => tx.savepoint(),
      ]
      for (const use of [...uses, () => savepoint.rollback(), () => tx.keyspace('new'), () => tx.countSync()]) {
        const error = await errorOf(use)
        assert.equal(error.code, 'ERR_DB_CLOSED')
        assert.match(error.message, /^the transaction was (committed|rolled back): begin another one$/)
      }
      await tx.rollback() // allowed
      if (end === 'rollback') assert.equal((await errorOf(tx.commit())).code, 'ERR_DB_CLOSED')
    }
    assert.equal(await db.get('x'), 'commit')
  })

  it('may leave keyspaces of the database to others: several are open at once', async (t) => {
    const db = await opened(t)
    const users = db.keyspace('users', { valueEncoding: 'json' })
    const all = Array.from({ length: 20 }, () => db.begin())
    await Promise.all(all.map((tx, i) => tx.keyspace(users).put(`u${i}`, { i })))
    await all[0].batch([{ type: 'put', key: 'x', value: { y: 1 }, keyspace: users }])
    await all[1].keyspace('users', { valueEncoding: 'json' }).keyspace('nested').put('n', [1])
    assert.equal(await users.count(), 0)
    for (const tx of all) await tx.commit()
    assert.equal(await users.count(), 21)
    assert.deepEqual(await users.get('x'), { y: 1 })
    assert.deepEqual(await users.keyspace('nested').get('n'), [1])
  })

  it('tells watchers of its commit, at once, also those that came late', async (t) => {
    const db = await opened(t, { keyEncoding: 'utf8', valueEncoding: 'json' })
    const users = db.keyspace('users', { keyEncoding: 'tuple' })
    const told = []
    db.watch(undefined, (changes) => told.push(changes))
    const tx = db.begin()
    await tx.put('a', 'ü')
    await tx.keyspace(users).put(['u', 1], 'x')
    const savepoint = tx.savepoint()
    await tx.put('undone', 1)
    savepoint.rollback()
    await tx.del('b')
    await tx.clear({ gte: 'x' })
    users.watch({ prefix: ['u'] }, (changes) => told.push(changes))
    await turn()
    assert.deepEqual(told, [])
    await tx.commit()
    await turn()
    assert.deepEqual(told, [
      [
        { type: 'put', key: 'a', value: 'ü' },
        { type: 'del', key: 'b' },
        { type: 'clear', gte: new Uint8Array([120]) },
      ],
      [{ type: 'put', key: ['u', 1], value: 'x' }],
    ])
    const second = db.begin()
    await second.put('a', 1)
    await second.rollback()
    await turn()
    assert.equal(told.length, 2)
  })

  it('that reads only takes no writes and never conflicts', async (t) => {
    const db = await opened(t)
    const tx = db.begin({ readOnly: true, isolation: 'serializable' })
    assert.equal(await tx.get('a'), '1')
    await db.put('a', 'changed')
    assert.equal([...tx.valuesSync()].join(), '1,2,3')
    assert.equal((await errorOf(tx.put('a', 'x'))).code, 'ERR_DB_READONLY')
    await tx.commit()
  })

  it('commits a batch of changes or none of it', async (t) => {
    const db = await opened(t)
    const tx = db.begin()
    await tx.put('x', '1')
    const ops = [
      { type: 'put', key: 'y', value: '1' },
      { type: 'put', key: 'k'.repeat(70000), value: '' },
    ]
    assert.equal((await errorOf(tx.batch(ops))).code, 'ERR_DB_KEY_TOO_LARGE')
    const space = db.keyspace('gone')
    await db.dropKeyspace('gone')
    const dropped = [ops[0], { type: 'put', key: 'z', value: '1', keyspace: space }]
    assert.equal((await errorOf(tx.batch(dropped))).code, 'ERR_DB_CLOSED')
    assert.equal([...tx.keysSync()].join(), 'a,b,c,x')
    await tx.commit()
    assert.equal([...db.keysSync()].join(), 'a,b,c,x')
  })

  for (const place of PLACES.filter(({ lasts }) => lasts)) {
    it(`is kept when the database is opened again: ${place.name}`, async (t) => {
      const { db, open } = await openIn(t, place)
      await db.transaction(
        async (tx) => {
          for (let i = 0; i < 3000; i++) tx.putSync(`k${i}`, 'x'.repeat(i))
          await tx.clear({ gte: 'k2', lt: 'k3' })
        },
        { durability: 'strict' },
      )
      const open1 = db.begin()
      await open1.put('never', 'committed')
      const rows = [...db.entriesSync()]
      assert.ok(rows.length > 1000 && rows.length < 3000)
      await db.close()
      const again = await open()
      assert.deepEqual([...again.entriesSync()], rows)
      await again.verify()
    })
  }
})

describe('conflicts', () => {
  it('name the key and the keyspace, in the encoding of the keyspace', async (t) => {
    const db = await opened(t)
    const scores = db.keyspace('scores', { keyEncoding: 'tuple', valueEncoding: 'json' })
    const first = db.begin()
    const second = db.begin({ isolation: 'serializable' })
    await second.keyspace(scores).count({ prefix: ['chess'] })
    await second.put('x', '1')
    await first.keyspace(scores).put(['chess', 7], 1)
    await first.commit()
    const error = await errorOf(second.commit())
    assert.ok(conflict(error) && error.retryable)
    assert.deepEqual([error.key, error.keyspace], [['chess', 7], 'scores'])
    const third = db.begin()
    await third.put('a', 'x')
    await db.put('a', 'y')
    const own = await errorOf(third.commit())
    assert.deepEqual([own.key, own.keyspace], ['a', ''])
    assert.match(own.message, /the key "a"/)
  })

  it('are met by running the function again', async (t) => {
    const db = await opened(t)
    let runs = 0
    const value = await db.transaction(async (tx) => {
      const old = Number(await tx.get('a'))
      if (++runs < 4) await db.put('a', String(old + 10))
      await tx.put('a', String(old + 1))
      return old + 1
    })
    assert.deepEqual([runs, value, await db.get('a')], [4, 32, '32'])
    assert.equal((db.stats().conflicts ?? 3) === 3, true)
  })

  it('are handed on when there were too many, and other failures at once', async (t) => {
    const db = await opened(t)
    for (const [options, expected] of [
      [{}, 6],
      [{ retries: 0 }, 1],
      [{ retries: 2 }, 3],
    ]) {
      let runs = 0
      const failing = db.transaction(async (tx) => {
        runs++
        await tx.put('a', 'x')
        await db.put('a', `y${runs}`)
      }, options)
      assert.ok(conflict(await errorOf(failing)))
      assert.equal(runs, expected)
    }
    let runs = 0
    const foreign = new DatabaseError('ERR_DB_CONFLICT', 'not of this transaction', { retryable: true })
    const failing = db.transaction(() => {
      runs++
      throw foreign
    })
    assert.equal(await errorOf(failing), foreign)
    assert.equal(runs, 1)
  })

  it('do not lose one of many increments', async (t) => {
    const db = await opened(t, { valueEncoding: 'json' })
    await db.put('n', 0)
    const increment = () =>
      db.transaction(
        async (tx) => {
          const n = await tx.get('n')
          await turn()
          await tx.put('n', n + 1)
        },
        { retries: Infinity },
      )
    await Promise.all(Array.from({ length: 30 }, increment))
    assert.equal(await db.get('n'), 30)
  })

  it('are avoided by getForUpdate(), which waits its turn', async (t) => {
    const db = await opened(t, { valueEncoding: 'json' })
    const space = db.keyspace('space')
    await space.put('n', 0)
    let runs = 0
    const increment = () =>
      db.transaction(
        async (tx) => {
          runs++
          const n = await tx.keyspace(space).getForUpdate('n')
          await turn()
          await tx.keyspace(space).put('n', n + 1)
        },
        { retries: 0, lockWait: 10000 },
      )
    await Promise.all(Array.from({ length: 50 }, increment))
    assert.deepEqual([await space.get('n'), runs], [50, 50])
  })

  it('of locks come when the wait is over', async (t) => {
    const db = await opened(t)
    const first = db.begin()
    const second = db.begin({ lockWait: 30 })
    assert.equal(await first.getForUpdate('a'), '1')
    assert.equal(first.getForUpdateSync('none'), undefined)
    const begin = performance.now()
    const error = await errorOf(second.getForUpdate('a'))
    assert.ok(conflict(error) && performance.now() - begin >= 25)
    assert.equal(error.key, 'a')
    assert.ok(conflict(await errorOf(() => second.getForUpdateSync('a'))))
    assert.equal(await second.getForUpdate('b'), '2') // it is not over
    await first.put('a', 'x')
    const waiting = db.begin({ lockWait: 5000 }).getForUpdate('a')
    await first.commit()
    assert.equal(await waiting, 'x')
    const late = await errorOf(second.getForUpdate('a'))
    assert.ok(conflict(late))
  })
})

describe('transaction()', () => {
  it('stops at once when its signal says so', async (t) => {
    const db = await opened(t)
    const stop = new AbortController()
    let seen
    const running = db.transaction(
      async (tx) => {
        await tx.put('a', 'x')
        await wait(20)
        seen = await errorOf(tx.put('b', 'x'))
      },
      { signal: stop.signal },
    )
    await turn()
    stop.abort(new Error('enough'))
    assert.equal((await errorOf(running)).message, 'enough')
    assert.equal(await db.get('a'), '1')
    await wait(30)
    assert.equal(seen.code, 'ERR_DB_CLOSED')
    const never = db.transaction(() => assert.fail(), { signal: AbortSignal.abort(new Error('before')) })
    assert.equal((await errorOf(never)).message, 'before')
  })

  it('may be rolled back from inside, and then gives the result all the same', async (t) => {
    const db = await opened(t)
    const result = await db.transaction(async (tx) => {
      await tx.put('a', 'x')
      await tx.rollback()
      return 'kept nothing'
    })
    assert.deepEqual([result, await db.get('a')], ['kept nothing', '1'])
  })

  it('is not awaited by what it forgot to await: that fails, and harms nothing', async (t) => {
    const db = await opened(t)
    let late
    await db.transaction(async (tx) => {
      late = errorOf(turn().then(() => tx.put('a', 'late')))
      await tx.put('b', 'x')
    })
    assert.equal((await late).code, 'ERR_DB_CLOSED')
    assert.equal(await db.get('a'), '1')
  })

  it('of a database that is closed meanwhile fails', async (t) => {
    const db = await opened(t)
    const failing = db.transaction(async (tx) => {
      await tx.put('a', 'x')
      await db.close()
    })
    assert.equal((await errorOf(failing)).code, 'ERR_DB_CLOSED')
  })
})

describe('a transaction that is not ended', () => {
  it('is rolled back by `await using`, and by closing the database', async (t) => {
    const { db, open } = await openIn(t, PLACES[1])
    const tx = db.begin()
    await tx.put('a', 'x')
    await tx[Symbol.asyncDispose]()
    assert.equal(tx.status, 'rolled back')
    const left = db.begin()
    await left.put('a', 'x')
    left.entries()
    await db.close()
    assert.equal((await errorOf(left.commit())).code, 'ERR_DB_CLOSED')
    assert.equal((await errorOf(left.get('a'))).code, 'ERR_DB_CLOSED')
    assert.equal(await (await open()).count(), 0)
  })

  it('is rolled back when it is collected, with a warning, but not while a part of it is used', async () => {
    const { ended } = runNode(`
      import { setFlagsFromString } from 'node:v8'
      import { runInNewContext } from 'node:vm'
      setFlagsFromString('--expose-gc')
      const gc = runInNewContext('gc')
      const db = await Database.open(':memory:')
      db.on('warning', ({ message }) => console.log(message))
      const space = db.keyspace('space')
      let part = db.begin().keyspace(space)
      const collect = async () => { for (let i = 0; i < 15; i++) { gc(); await new Promise((r) => setTimeout(r, 3)) } }
      await collect()
      await part.put('a', 'b')
      console.log('still', await part.get('a'))
      part = null
      await collect()
      console.log('open', db.stats().transactions)
      await db.transaction(async (tx) => tx.put('a', 'b'))
      await db.close()`)
    const { stdout, stderr, code } = await ended
    assert.equal(code, 0, stderr)
    const lines = stdout.trim().split('\n')
    assert.equal(lines[0], 'still b')
    assert.match(lines[1], /what begin\(\) opened was never closed, only collected: commit it or roll it back/)
    assert.equal(lines[2], 'open 0')
  })

  it('holds up neither process nor worker', async () => {
    const { ended } = runNode(`const db = await Database.open(':memory:'); await db.begin().put('a', 'b')`)
    assert.equal((await ended).code, 0)
  })
})

it('misuse is a TypeError that names the fix', async (t) => {
  const db = await opened(t)
  const other = await opened(t)
  const refused = async (use, pattern) => {
    const error = await errorOf(use)
    assert.ok(error instanceof TypeError, String(error))
    assert.match(error.message, pattern)
  }
  await refused(db.transaction(), /transaction\(\) takes a function of the transaction; got undefined/)
  await refused(() => db.transactionSync('x'), /takes a function/)
  await refused(
    () => db.begin({ isolation: 'serialisable' }),
    /must be one of 'read-committed', 'snapshot', 'serializable'/,
  )
  await refused(() => db.begin({ isolaton: 'snapshot' }), /Did you mean 'isolation'/)
  await refused(() => db.begin({ retries: 5 }), /begin\(\) has no option 'retries'/)
  await refused(() => db.begin({ durability: 'fast' }), /durability must be/)
  await refused(() => db.begin({ readOnly: 1 }), /readOnly must be/)
  await refused(() => db.begin({ lockWait: '5' }), /lockWait must be/)
  await refused(
    db.transaction(() => {}, { retries: -1 }),
    /retries must be/,
  )
  await refused(
    db.transaction(() => {}, { signal: {} }),
    /signal must be/,
  )
  await refused(() => new Transaction(), /Begin a transaction with/)
  const tx = db.begin()
  atEnd(t, () => tx.rollback())
  await refused(tx.put('a', 'b', { durability: 'strict' }), /durability is of the whole transaction/)
  await refused(() => tx.watch(), /watch\(\) is of the database: a transaction has none/)
  await refused(tx.getStream('a'), /getStream\(\) is of the database/)
  await refused(tx.putStream('a', []), /putStream\(\) is of the database/)
  const snapshot = db.snapshot()
  await refused(tx.get('a', { snapshot }), /reads the state of its own/)
  await refused(() => tx.keysSync({ snapshot }), /reads the state of its own/)
  snapshot.close()
  await refused(() => tx.keyspace(other.keyspace('x')), /belongs to another Database/)
  await refused(() => tx.keyspace(db.keyspace('x'), { valueEncoding: 'json' }), /keyspace\(\) of a Keyspace/)
  const inner = tx.keyspace('x')
  const op = { type: 'put', key: 'a', value: 'b', keyspace: inner }
  await refused(db.batch([op]), /belongs to a transaction: write it through that one/)
  await refused(db.begin().batch([op]), /belongs to a transaction/)
  await tx.batch([op])
  assert.equal(await inner.get('a'), 'b')
})

it('opens and closes without the database being told of anything left', async (t) => {
  const db = await Database.open(':memory:')
  const warned = []
  db.on('warning', (warning) => warned.push(warning))
  for (let i = 0; i < 2000; i++) {
    const tx = db.begin()
    tx.putSync('a', String(i))
    if (i % 3 === 0) tx.commitSync()
    else tx.rollbackSync()
  }
  t.diagnostic(`memory ${db.stats().memoryBytes}`)
  assert.equal(await db.get('a'), '1998')
  await db.close()
  assert.deepEqual(warned, [])
})

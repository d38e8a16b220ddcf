// indexes.test.js: indexes that maintain themselves, and manual ones: what they find is what a look at all rows finds,
// after every way of writing, in transactions, and when the database is opened again.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { PLACES, Random, atEnd, errorOf, openIn, runNode, seedOf } from './support.js'

const DEFINITION = {
  valueEncoding: 'json',
  indexes: {
    email: { kind: 'hash', unique: true },
    'age,city': {},
    'address.zip': {},
    tags: { multi: true },
    initial: { key: (user, key) => (user.email ? [user.email[0], key.length] : undefined) },
  },
}

async function people(t, place = PLACES[0]) {
  const opened = await openIn(t, place)
  const users = opened.db.keyspace('users', DEFINITION)
  await users.batch([
    {
      type: 'put',
      key: '1',
      value: { email: 'ann@x', age: 18, city: 'Paris', tags: ['a', 'b', 'a'], address: { zip: 7 } },
    },
    { type: 'put', key: '2', value: { email: 'bob@x', age: 18, city: 'Rome', tags: ['b'] } },
    { type: 'put', key: '3', value: { email: 'cat@x', age: 20, city: 'Paris', address: { zip: 3 } } },
    { type: 'put', key: '4', value: { age: 21, tags: [] } },
    { type: 'put', key: '5', value: { email: null, age: 1, city: 'Rome' } },
  ])
  return { ...opened, users }
}

describe('an index that maintains itself', () => {
  it('finds rows by one field, by several, by a path, by each of many, and by a function', async (t) => {
    const { users } = await people(t)
    const { by } = users
    assert.deepEqual(Object.keys(by), Object.keys(DEFINITION.indexes))
    assert.equal((await by.email.get('bob@x')).city, 'Rome')
    assert.equal(await by.email.get('nobody@x'), undefined)
    assert.deepEqual([await by.email.getKey('cat@x'), by.email.getKeySync('dan@x')], ['3', undefined])
    assert.deepEqual([await by.email.has('ann@x'), by.email.hasSync('dan@x')], [true, false])
    assert.deepEqual(
      (await by.email.getMany(['cat@x', 'dan@x'])).map((row) => row?.age),
      [20, undefined],
    )
    assert.equal(by['age,city'].getSync([18, 'Rome']).email, 'bob@x')
    assert.deepEqual([...by['address.zip'].keysSync()], ['3', '1'])
    assert.deepEqual([...by.tags.keysSync({ eq: 'b' })], ['1', '2'])
    assert.deepEqual(
      [...by.initial.postingsSync()],
      [
        [['a', 1], '1'],
        [['b', 1], '2'],
        [['c', 1], '3'],
      ],
    )
  })

  it('walks in its order, in both directions, from bound to bound', async (t) => {
    const { users } = await people(t)
    const index = users.by['age,city']
    const keys = (range) => [...index.keysSync(range)].join('')
    assert.equal(keys(), '5123')
    assert.equal(keys({ reverse: true }), '3215')
    assert.equal(keys({ gte: [18] }), '123')
    assert.equal(keys({ gt: [18] }), '3')
    assert.equal(keys({ lte: [18] }), '512')
    assert.equal(keys({ lt: [18] }), '5')
    assert.equal(keys({ gt: 1, lte: [18, 'Paris'] }), '1')
    assert.equal(keys({ prefix: [18] }), '12')
    assert.equal(keys({ prefix: 18, reverse: true, limit: 1 }), '2')
    assert.equal(keys({ eq: [18, 'Paris'] }), '1')
    assert.equal(keys({ eq: [18] }), '')
    assert.equal(keys({ limit: 0 }), '')
    assert.deepEqual(
      [await index.count(), index.countSync({ gte: [18], limit: 2 }), await index.count({ prefix: [1] })],
      [4, 2, 1],
    )
    assert.deepEqual(
      [await index.min(), await index.max()],
      [
        [[1, 'Rome'], '5'],
        [[20, 'Paris'], '3'],
      ],
    )
    assert.equal(await users.by.tags.count({ eq: 'none' }), 0)
    const rows = []
    for await (const [key, { city }] of index.entries({ gt: [1] })) rows.push(key + city)
    assert.deepEqual(rows, ['1Paris', '2Rome', '3Paris'])
    const values = []
    for await (const value of index.values({ eq: [20, 'Paris'] })) values.push(value.email)
    assert.deepEqual(values, ['cat@x'])
    for await (const [found, key] of index.postings({ limit: 1 })) assert.deepEqual([found, key], [[1, 'Rome'], '5'])
  })

  it('walks over one state: postings and rows', async (t) => {
    const { db, users } = await people(t)
    const seen = []
    for await (const [key, row] of users.by['age,city'].entries()) {
      if (seen.length === 0) {
        await users.put('2', { email: 'moved@x', age: 99, city: 'Oslo' })
        await users.del('3')
      }
      seen.push(`${key} ${row.city}`)
    }
    assert.deepEqual(seen, ['5 Rome', '1 Paris', '2 Rome', '3 Paris'])
    assert.deepEqual([...users.by['age,city'].keysSync()], ['5', '1', '2'])
    const rows = users.by.email.entriesSync({ eq: 'ann@x' })
    rows.next()
    rows.return()
    for (const _ of users.by.tags.valuesSync()) break
    const { transactions, iterators } = db.stats()
    assert.deepEqual([transactions, iterators], [0, 0])
  })

  it('is changed by every way of writing, and by none that fails', async (t) => {
    const { db, users } = await people(t)
    const emails = () => [...users.by.initial.postingsSync()].map(([key]) => key[0]).join('')
    users.putSync('1', { email: 'zoe@x' })
    assert.equal(emails(), 'bcz')
    await users.del('1')
    await users.batch([
      { type: 'put', key: '6', value: { email: 'dan@x' } },
      { type: 'del', key: '2' },
      { type: 'put', key: '6', value: { email: 'eve@x' } },
    ])
    assert.equal(emails(), 'ce')
    await users.clear({ gte: '6' })
    assert.equal(emails(), 'c')
    await users.putStream('7', [new TextEncoder().encode(JSON.stringify({ email: 'fay@x' }))])
    assert.equal(emails(), 'cf')
    await db.transaction(async (tx) => {
      await tx.keyspace(users).put('8', { email: 'gus@x' })
      await tx.batch([{ type: 'del', key: '7', keyspace: users }])
      assert.equal((await tx.keyspace(users).by.email.get('gus@x')).email, 'gus@x')
      assert.equal(await tx.keyspace(users).by.email.get('fay@x'), undefined)
      assert.equal(users.by.email.getKeySync('fay@x'), '7')
    })
    assert.equal(emails(), 'cg')
    await errorOf(
      db.transaction(async (tx) => {
        await tx.keyspace(users).clear()
        assert.equal(await tx.keyspace(users).by.email.count({ eq: 'gus@x' }), 0)
        throw new Error('undone')
      }),
    )
    assert.equal(emails(), 'cg')
    for (const index of Object.values(users.by)) await index.verify()
    await db.dropKeyspace('users')
    assert.deepEqual(db.indexes(), [])
  })

  it('that is unique refuses a second row, alone of those that are written with it', async (t) => {
    const { db, users } = await people(t)
    const writes = [
      users.put('10', { email: 'ten@x' }),
      users.put('11', { email: 'ann@x' }),
      users.put('12', { email: 'twelve@x' }),
    ]
    const [first, second, third] = await Promise.allSettled(writes)
    assert.deepEqual([first.status, second.reason?.code, third.status], ['fulfilled', 'ERR_DB_EXISTS', 'fulfilled'])
    assert.match(second.reason.message, /the unique index "users.by.email" has the key/)
    assert.deepEqual([await users.has('10'), await users.has('11'), await users.has('12')], [true, false, true])
    await users.put('1', { email: 'ann@x', age: 77 }) // its own
    await users.batch([
      { type: 'del', key: '1' },
      { type: 'put', key: '11', value: { email: 'ann@x' } },
    ])
    assert.equal(await users.by.email.getKey('ann@x'), '11')
    const [one, two] = [db.begin(), db.begin()]
    await one.keyspace(users).put('20', { email: 'same@x' })
    await two.keyspace(users).put('21', { email: 'same@x' })
    await one.commit()
    assert.equal((await errorOf(two.commit())).code, 'ERR_DB_CONFLICT')
  })

  it('makes transactions that read it conflict as reads of rows do', async (t) => {
    const { db, users } = await people(t)
    const tx = db.begin({ isolation: 'serializable' })
    assert.equal(await tx.keyspace(users).by['age,city'].count({ prefix: [50] }), 0)
    await users.put('30', { age: 50, city: 'Bonn' })
    await tx.put('x', '1')
    const error = await errorOf(tx.commit())
    assert.equal(error.code, 'ERR_DB_CONFLICT')
    const other = db.begin({ isolation: 'serializable' })
    assert.equal(await other.keyspace(users).by.email.get('new@x'), undefined)
    await users.put('31', { email: 'old@x' })
    await other.put('x', '1')
    await other.commit()
  })

  it('hands on what its function throws, and refuses what it may not do', async (t) => {
    const { db } = await openIn(t, PLACES[0], { valueEncoding: 'json' })
    let misbehave = () => 1
    const space = db.keyspace('space', { indexes: { it: { key: (row) => misbehave(row) } } })
    const refused = async (run, pattern) => {
      misbehave = run
      const writes = [space.put('bad', { n: 1 }), db.put('good', 1)]
      const [bad, good] = await Promise.allSettled(writes)
      assert.match(bad.reason.message, pattern)
      assert.equal(good.status, 'fulfilled')
      misbehave = () => 1
      assert.equal(await space.has('bad'), false)
    }
    const fault = new Error('of the program')
    await refused(() => {
      throw fault
    }, /The keys of a row for the index 'it' could not be made: of the program/)
    await refused(() => ({}), /a tuple cannot hold/)
    await refused(() => db.getSync('x'), /cannot be used by a function that tells index keys/)
    await refused(() => db.putSync('x', 1), /cannot be used by a function that tells index keys/)
    await refused(() => db.begin(), /cannot be used by a function that tells index keys/)
    let inner
    misbehave = () => {
      inner = db.put('x', 1)
      return 1
    }
    await space.put('a', {})
    assert.equal((await errorOf(inner)).code, 'ERR_DB_BUSY')
    assert.equal(await db.has('x'), false)
    misbehave = () => undefined
    await space.put('b', {})
    assert.deepEqual([...space.by.it.keysSync()], ['a'])
    await db.close()
  })

  it('cannot be forgotten: its keyspace is not written without it', async (t) => {
    const { db, open, users } = await people(t, PLACES[1])
    await users.put('6', { email: 'new@x' })
    await db.close()
    const again = await open()
    const bare = again.keyspace('users', { valueEncoding: 'json' })
    assert.equal((await bare.get('6')).email, 'new@x')
    const error = await errorOf(bare.put('7', { email: 'seven@x' }))
    assert.equal(error.code, 'ERR_DB_INVALID')
    assert.match(error.message, /users\.by\./)
    const whole = again.keyspace('users', DEFINITION)
    await bare.put('7', { email: 'seven@x' })
    assert.equal(await whole.by.email.getKey('seven@x'), '7')
    const changed = { ...DEFINITION, indexes: { email: { kind: 'btree' } } }
    assert.equal((await errorOf(() => again.keyspace('users', changed))).code, 'ERR_DB_INVALID')
  })

  for (const place of PLACES.filter(({ lasts }) => lasts)) {
    it(`is built of rows that are there, kept, rebuilt and dropped: ${place.name}`, async (t) => {
      const { db, open } = await openIn(t, place, { memtable: 65536 })
      const plain = db.keyspace('users', { valueEncoding: 'json' })
      const count = 5000
      await plain.batch(
        Array.from({ length: count }, (_, i) => ({
          type: 'put',
          key: `u${i}`,
          value: { email: `e${i}`, age: i % 50 },
        })),
      )
      const indexes = { email: { kind: 'hash', unique: true }, age: {} }
      const users = db.keyspace('users', { valueEncoding: 'json', indexes })
      assert.equal(await users.by.email.getKey('e4321'), 'u4321')
      assert.equal(await users.by.age.count({ eq: 7 }), count / 50)
      assert.deepEqual(users.by.email.info(), {
        name: 'users.by.email',
        kind: 'hash',
        unique: true,
        maintained: true,
        entries: count,
      })
      await db.flush()
      await db.close()
      const again = await open()
      const back = again.keyspace('users', { valueEncoding: 'json', indexes })
      assert.equal((await back.by.email.get('e4999')).age, 49)
      assert.equal([...back.by.age.valuesSync({ gte: 49 })].length, count / 50)
      await back.by.age.rebuild()
      const report = await back.by.age.verify({ onProgress: () => true })
      assert.deepEqual(report, { rows: count, entries: count, missing: 0, wrong: 0 })
      assert.deepEqual(again.indexes(), ['users.by.age', 'users.by.email'])
      assert.deepEqual([await back.by.age.drop(), await back.by.age.drop()], [true, false])
      assert.equal(await again.dropIndex('users.by.email'), true)
      assert.equal((await errorOf(back.by.age.count())).code, 'ERR_DB_CLOSED')
      await back.put('more', {})
      assert.deepEqual(again.indexes(), [])
      await again.verify()
    })
  }

  it('that cannot be built is not there', async (t) => {
    const { db } = await openIn(t, PLACES[0], { valueEncoding: 'json' })
    const plain = db.keyspace('space')
    await plain.batch(['1', '2'].map((key) => ({ type: 'put', key, value: { a: 1 } })))
    const unique = { indexes: { a: { unique: true } } }
    assert.equal((await errorOf(() => db.keyspace('space', unique))).code, 'ERR_DB_EXISTS')
    assert.deepEqual(db.indexes(), [])
    await plain.put('2', { a: 2 })
    assert.equal(await db.keyspace('space', unique).by.a.getKey(2), '2')
  })

  it('finds what a look at all rows finds: random writes', async (t) => {
    const seed = seedOf()
    t.diagnostic(`VARVE_SEED=${seed}`)
    const random = new Random(seed)
    const { db, open } = await openIn(t, PLACES[3], { memtable: 65536, memory: 1 << 20 })
    const options = {
      keyEncoding: 'tuple',
      valueEncoding: 'json',
      indexes: { 'a,b': {}, c: { kind: 'hash' }, d: { multi: true } },
    }
    const check = (space) => {
      const rows = [...space.entriesSync()]
      const expected = rows.filter(([, row]) => row.a !== undefined && row.b !== undefined).length
      assert.equal(space.by['a,b'].countSync(), expected)
      for (let c = 0; c < 5; c++) {
        const keys = rows.filter(([, row]) => row.c === c).map(([key]) => key)
        assert.deepEqual([...space.by.c.keysSync({ eq: c })], keys)
      }
      const d = random.below(8)
      const withD = rows.filter(([, row]) => row.d.includes(d))
      assert.deepEqual([...space.by.d.entriesSync({ eq: d })], withD)
      const [low, high] = [random.below(5), random.below(5)]
      const between = rows.filter(([, { a, b }]) => b !== undefined && a >= low && a <= high)
      between.sort(([k1, r1], [k2, r2]) => r1.a - r2.a || r1.b - r2.b || k1[0] - k2[0])
      assert.deepEqual([...space.by['a,b'].entriesSync({ gte: [low], lte: [high] })], between)
    }
    const row = () => ({
      a: random.chance(80) ? random.below(5) : undefined,
      b: random.chance(80) ? random.below(5) : undefined,
      c: random.below(5),
      d: Array.from({ length: random.below(4) }, () => random.below(8)),
    })
    let space = db.keyspace('space', options)
    let current = db
    for (let round = 0; round < 60; round++) {
      const key = () => [random.below(300)]
      const write = async (to) => {
        const dice = random.below(10)
        if (dice < 6) await to.put(key(), row())
        else if (dice < 8) await to.del(key())
        else if (dice < 9) await to.clear({ gte: key(), limit: 5 })
        else await to.clear({ gte: key(), lt: key() })
      }
      for (let i = 0; i < 20; i++) await write(space)
      await current.transaction(async (tx) => {
        const inside = tx.keyspace(space)
        for (let i = 0; i < 5; i++) await write(inside)
        const savepoint = tx.savepoint()
        for (let i = 0; i < 5; i++) await write(inside)
        if (random.chance(50)) savepoint.rollback()
        check(inside)
        if (random.chance(30)) await tx.rollback()
      })
      check(space)
      if (random.chance(10)) {
        await current.close()
        current = await open()
        space = current.keyspace('space', options)
      }
    }
    for (const index of Object.values(space.by)) await index.verify()
  })
})

describe('a manual index', () => {
  it('keeps the postings that it is given', async (t) => {
    const { db, open } = await openIn(t, PLACES[3])
    const index = db.index('by colour', { valueEncoding: 'tuple' })
    await Promise.all([index.insert('red', [2]), index.insert('red', [1]), index.insert('blue', [3])])
    await index.insert('red', [1])
    index.insertSync('green', [4])
    assert.deepEqual(
      [...index.postingsSync()],
      [
        ['blue', [3]],
        ['green', [4]],
        ['red', [1]],
        ['red', [2]],
      ],
    )
    assert.deepEqual(
      [...index.postingsSync({ eq: 'red', reverse: true })],
      [
        ['red', [2]],
        ['red', [1]],
      ],
    )
    assert.deepEqual([...index.postingsSync({ prefix: 'gr' })].length, 1)
    assert.deepEqual([...index.postingsSync({ gt: 'blue', lte: 'green' })], [['green', [4]]])
    assert.deepEqual(
      [await index.getKey('red'), await index.getKey('pink'), await index.min()],
      [[1], undefined, ['blue', [3]]],
    )
    assert.deepEqual([await index.remove('red', [1]), index.removeSync('red', [1])], [true, false])
    await db.close()
    const again = await open()
    const back = again.index('by colour', { valueEncoding: 'tuple' })
    assert.deepEqual([await back.count(), await back.max()], [3, ['red', [2]]])
    assert.deepEqual(again.indexes(), ['by colour'])
    assert.equal(await back.drop(), true)
  })

  it('that is a hash is asked for equality alone', async (t) => {
    const { db } = await openIn(t, PLACES[0])
    const index = db.index('h', { kind: 'hash', unique: true })
    await index.insert('a', '1')
    assert.equal((await errorOf(index.insert('a', '2'))).code, 'ERR_DB_EXISTS')
    assert.deepEqual([...index.postingsSync({ eq: 'a' })], [['a', '1']])
    for (const run of [() => index.postingsSync(), () => index.countSync({ prefix: 'a' }), index.min()]) {
      assert.equal((await errorOf(run)).code, 'ERR_DB_UNSUPPORTED')
    }
  })

  it('is part of a transaction', async (t) => {
    const { db } = await openIn(t, PLACES[0])
    const index = db.index('i')
    await db.transaction(async (tx) => {
      await tx.index(index).insert('a', '1')
      await tx.put('1', 'a')
      assert.equal(await tx.index(index).getKey('a'), '1')
      assert.equal(await index.getKey('a'), undefined)
    })
    assert.equal(await index.getKey('a'), '1')
    const [one, two] = [db.begin(), db.begin()]
    await one.index(index).remove('a', '1')
    await two.index(index).remove('a', '1')
    await one.commit()
    assert.equal((await errorOf(two.commit())).code, 'ERR_DB_CONFLICT')
  })
})

it('misuse is a TypeError that names the fix', async (t) => {
  const { db, users } = await people(t)
  const other = (await openIn(t, PLACES[0])).db
  const refused = async (use, pattern) => {
    const error = await errorOf(use)
    assert.ok(error instanceof TypeError, String(error))
    assert.match(error.message, pattern)
  }
  const define = (indexes) => () => db.keyspace('x', { valueEncoding: 'json', indexes })
  await refused(define(5), /indexes must be an object like/)
  await refused(define({ a: { kind: 'tree' } }), /kind must be 'btree' or 'hash'/)
  await refused(define({ a: { uniqe: true } }), /the index 'a' has no option 'uniqe'. Did you mean 'unique'/)
  await refused(define({ a: { unique: 1 } }), /unique must be true or false/)
  await refused(define({ a: { multi: 1 } }), /multi of the index 'a' must be/)
  await refused(define({ a: { key: 'email' } }), /key of the index 'a' must be a function/)
  await refused(() => users.by['age,city'].keysSync({ eq: 1, gte: 1 }), /got both eq and another bound/)
  await refused(() => users.by['age,city'].keysSync({ gt: 1, gte: 1 }), /got both gt and gte/)
  await refused(() => users.by['age,city'].keysSync({ lt: 1, lte: 1 }), /got both lt and lte/)
  await refused(() => users.by['age,city'].keysSync({ limit: -1 }), /limit must be/)
  await refused(() => users.by['age,city'].keysSync({ reverse: 1 }), /reverse must be/)
  await refused(() => users.by['age,city'].countSync({ form: 1 }), /count\(\) has no option 'form'/)
  await refused(users.by.email.getMany('a'), /getMany\(\) takes an array/)
  await refused(() => db.index(''), /index\(\) takes a name/)
  await refused(() => db.index('x', { extract: 1 }), /index\(\) has no option 'extract'/)
  await refused(db.dropIndex(5), /dropIndex\(\) takes a name/)
  const tx = db.begin()
  atEnd(t, () => tx.rollback())
  await refused(() => tx.index(other.index('x')), /takes what db.index\(name\) returned/)
  await refused(() => tx.keyspace('x', { indexes: {} }), /opened with db.keyspace\(\), not in a transaction/)
})

it('rows of an index that are forgotten are told of, and let go of', async () => {
  const { ended } = runNode(`
    import { setFlagsFromString } from 'node:v8'
    import { runInNewContext } from 'node:vm'
    setFlagsFromString('--expose-gc')
    const gc = runInNewContext('gc')
    const db = await Database.open(':memory:', { valueEncoding: 'json' })
    db.on('warning', ({ message }) => console.log(message))
    const space = db.keyspace('s', { indexes: { n: {} } })
    for (let i = 0; i < 100; i++) space.putSync(String(i), { n: i })
    space.by.n.entriesSync().next()
    for (let i = 0; i < 15; i++) { gc(); await new Promise((r) => setTimeout(r, 3)) }
    console.log(db.stats().iterators, db.stats().transactions)
    await db.close()`)
  const { stdout, stderr, code } = await ended
  assert.equal(code, 0, stderr)
  assert.match(stdout, /opened was never closed, only collected/)
  assert.equal(stdout.trim().split('\n').at(-1), '0 0')
})

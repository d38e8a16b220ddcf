// database.test.js: what a user of Database sees, in memory, on a host in memory, and in a directory.

import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { describe, it } from 'node:test'
import { Database, DatabaseError, Snapshot } from '../../bindings/js/index.js'
import { PLACES, atEnd, errorOf, openIn, temporaryDirectory } from './support.js'

const all = async (rows) => {
  const list = []
  for await (const row of rows) list.push(row)
  return list
}

for (const place of PLACES) {
  describe(`Database in ${place.name}`, () => {
    it('stores, finds, overwrites and removes', async (t) => {
      const { db } = await openIn(t, place)
      assert.equal(await db.get('user:1'), undefined)
      assert.equal(await db.put('user:1', 'Alice'), undefined)
      assert.equal(await db.get('user:1'), 'Alice')
      assert.equal(await db.has('user:1'), true)
      await db.put('user:1', 'Bob')
      assert.equal(db.getSync('user:1'), 'Bob')
      await db.del('user:1')
      await db.del('user:1')
      assert.equal(await db.get('user:1'), undefined)
      assert.equal(db.hasSync('user:1'), false)
      db.putSync('empty', '')
      assert.equal(db.getSync('empty'), '')
      db.delSync('empty')
      assert.equal(db.countSync(), 0)
    })

    it('commits a batch whole, in its order', async (t) => {
      const { db } = await openIn(t, place)
      await db.put('b', 'old')
      await db.batch([
        { type: 'put', key: 'a', value: '1' },
        { type: 'del', key: 'b' },
        { type: 'put', key: 'c', value: '2' },
        { type: 'put', key: 'c', value: '3' },
      ])
      assert.deepEqual(await all(db.entries()), [
        ['a', '1'],
        ['c', '3'],
      ])
      const error = await errorOf(
        db.batch([
          { type: 'put', key: 'd', value: '4' },
          { type: 'putt', key: 'e', value: '5' },
        ]),
      )
      assert.ok(error instanceof TypeError)
      assert.match(error.message, /Change 1 .*'put' or 'del'/)
      assert.equal(await db.get('d'), undefined)
      db.batchSync([{ type: 'del', key: 'a' }])
      await db.batch([])
      assert.deepEqual(await all(db.keys()), ['c'])
    })

    it('gives many values at once, in the order of the keys', async (t) => {
      const { db } = await openIn(t, place)
      await db.batch(
        Array.from({ length: 3000 }, (_, i) => ({ type: 'put', key: `k${i}`, value: `v${i}`.repeat(i % 300) })),
      )
      const keys = Array.from({ length: 4000 }, (_, i) => `k${(i * 7) % 4000}`)
      const values = await db.getMany(keys)
      assert.equal(values.length, 4000)
      keys.forEach((key, i) => {
        const n = Number(key.slice(1))
        assert.equal(values[i], n < 3000 ? `v${n}`.repeat(n % 300) : undefined)
      })
      assert.deepEqual(db.getManySync([]), [])
      assert.deepEqual(db.getManySync(['k1']), ['v1'])
    })

    it('walks ranges both ways', async (t) => {
      const { db } = await openIn(t, place)
      const letters = [...'abcdefghij']
      await db.batch(letters.map((key) => ({ type: 'put', key, value: key.toUpperCase() })))
      assert.deepEqual(await all(db.keys({ gte: 'c', lt: 'f' })), ['c', 'd', 'e'])
      assert.deepEqual(await all(db.keys({ gt: 'c', lte: 'f' })), ['d', 'e', 'f'])
      assert.deepEqual(await all(db.values({ gt: 'h', reverse: true })), ['J', 'I'])
      assert.deepEqual(await all(db.entries({ limit: 2, reverse: true })), [
        ['j', 'J'],
        ['i', 'I'],
      ])
      assert.deepEqual(await all(db.keys({ prefix: 'c' })), ['c'])
      assert.deepEqual(await all(db.keys({ lt: '' })), [])
      assert.deepEqual(await all(db.keys({ gte: '' })), letters)
      assert.deepEqual(await all(db.keys({ gt: 'f', lt: 'c' })), [])
      assert.deepEqual(await all(db.keys({ limit: 0 })), [])
      assert.deepEqual([...db.entriesSync({ prefix: 'j' })], [['j', 'J']])
      assert.deepEqual([...db.valuesSync({ lte: 'b' })], ['A', 'B'])
      assert.equal(await db.count({ gte: 'b', lte: 'd' }), 3)
      assert.equal(await db.count({ lt: '' }), 0)
    })

    it('closes an iterator that is left early, and sees one state', async (t) => {
      const { db } = await openIn(t, place)
      await db.batch(
        Array.from({ length: 100 }, (_, i) => ({ type: 'put', key: `k${String(i).padStart(3, '0')}`, value: 'v' })),
      )
      for await (const key of db.keys()) if (key === 'k050') break
      for (const key of db.keysSync()) if (key === 'k020') break
      assert.equal(db.stats().iterators, 0)
      const rows = db.keys()
      await db.clear()
      await db.put('later', '1')
      assert.equal((await all(rows)).length, 100)
      assert.equal(db.stats().iterators, 0)
    })

    it('clears ranges, with and without a limit', async (t) => {
      const { db } = await openIn(t, place)
      const fill = () => db.batch([...'abcdefghij'].map((key) => ({ type: 'put', key, value: '1' })))
      await fill()
      await db.clear({ gte: 'c', lt: 'f' })
      assert.deepEqual([...db.keysSync()].join(''), 'abfghij')
      await db.clear({ limit: 2 })
      assert.deepEqual([...db.keysSync()].join(''), 'fghij')
      db.clearSync({ limit: 1, reverse: true })
      assert.deepEqual([...db.keysSync()].join(''), 'fghi')
      await db.clear({ gt: 'f', prefix: 'g' })
      assert.deepEqual([...db.keysSync()].join(''), 'fhi')
      await db.clear({ gt: 'z', lt: 'a' })
      await db.clear({ lt: '' })
      assert.deepEqual([...db.keysSync()].join(''), 'fhi')
      await db.clear({ durability: 'strict' })
      assert.equal(db.countSync(), 0)
    })

    it('clears a prefix that ends in the largest byte', async (t) => {
      const { db } = await openIn(t, place, { keyEncoding: 'view' })
      for (const key of [[1], [255], [255, 1], [255, 255], [255, 255, 7]]) await db.put(Uint8Array.from(key), 'v')
      await db.clear({ prefix: Uint8Array.from([255, 255]) })
      assert.deepEqual(
        [...db.keysSync()].map((key) => [...key]),
        [[1], [255], [255, 1]],
      )
      await db.clear({ prefix: Uint8Array.from([255]) })
      assert.equal(await db.count(), 1)
    })

    it('keeps snapshots apart from later writes', async (t) => {
      const { db } = await openIn(t, place)
      await db.put('a', '1')
      const snap = db.snapshot()
      assert.ok(snap instanceof Snapshot)
      await db.put('a', '2')
      await db.put('b', '2')
      assert.equal(await db.get('a', { snapshot: snap }), '1')
      assert.equal(await db.has('b', { snapshot: snap }), false)
      assert.deepEqual(await db.getMany(['a', 'b'], { snapshot: snap }), ['1', undefined])
      assert.deepEqual(await all(db.entries({ snapshot: snap })), [['a', '1']])
      assert.equal(await db.count({ snapshot: snap }), 1)
      assert.equal(await db.get('a'), '2')
      assert.ok(db.stats().sequence > snap.sequence)
      assert.equal(db.stats().snapshots, 1)
      snap.close()
      snap.close()
      assert.equal(db.stats().snapshots, 0)
      const error = await errorOf(db.get('a', { snapshot: snap }))
      assert.equal(error.code, 'ERR_DB_CLOSED')
      assert.match(error.message, /snapshot/)
      const other = await Database.open(':memory:')
      atEnd(t, () => other.close())
      const foreign = other.snapshot()
      assert.match((await errorOf(db.get('a', { snapshot: foreign }))).message, /another Database/)
      assert.match((await errorOf(db.get('a', { snapshot: {} }))).message, /db\.snapshot\(\)/)
      const owned = db.snapshot()
      owned[Symbol.dispose ?? Symbol.for('Symbol.dispose')]()
      assert.equal(db.stats().snapshots, 0)
    })

    it('keeps keyspaces apart, and commits across them', async (t) => {
      const { db, open } = await openIn(t, place)
      const users = db.keyspace('users', { valueEncoding: 'json' })
      const posts = db.keyspace('posts')
      assert.equal(users.name, 'users')
      await users.put('a', { n: 1 })
      await posts.put('a', 'hello')
      await db.put('a', 'root')
      assert.deepEqual([await users.get('a'), await posts.get('a'), await db.get('a')], [{ n: 1 }, 'hello', 'root'])
      assert.deepEqual([users.countSync(), posts.countSync(), db.countSync()], [1, 1, 1])
      await db.batch([
        { type: 'put', key: 'b', value: { n: 2 }, keyspace: users },
        { type: 'del', key: 'a', keyspace: posts },
        { type: 'put', key: 'b', value: 'root' },
      ])
      assert.deepEqual(await all(users.entries()), [
        ['a', { n: 1 }],
        ['b', { n: 2 }],
      ])
      assert.equal(posts.countSync(), 0)
      assert.deepEqual(db.keyspaces(), ['posts', 'users'])
      await users.clear()
      assert.equal(await db.count(), 2)
      assert.equal(await db.dropKeyspace('posts'), true)
      assert.equal(await db.dropKeyspace('posts'), false)
      assert.equal((await errorOf(posts.get('a'))).code, 'ERR_DB_CLOSED')
      const foreign = (await Database.open(':memory:')).keyspace('x')
      const error = await errorOf(db.batch([{ type: 'del', key: 'a', keyspace: foreign }]))
      assert.match(error.message, /another Database/)
      if (!place.lasts) return
      await users.put('z', { last: true })
      await db.close()
      const again = await open()
      assert.deepEqual(again.keyspaces(), ['users'])
      assert.deepEqual(await again.keyspace('users', { valueEncoding: 'json' }).get('z'), { last: true })
    })

    it('keeps what was stored when it is closed and opened again', { skip: !place.lasts }, async (t) => {
      const { db, open } = await openIn(t, place)
      for (let i = 0; i < 5000; i++) void db.put(`key ${i}`, `value ${i}`)
      await db.close()
      const again = await open({ createIfMissing: false })
      assert.equal(await again.count(), 5000)
      assert.equal(await again.get('key 4999'), 'value 4999')
      await again.put('more', '1', { durability: 'strict' })
      await again.close()
      const reader = await open({ readOnly: true })
      assert.equal(await reader.get('more'), '1')
      assert.equal((await errorOf(reader.put('a', 'b'))).code, 'ERR_DB_READONLY')
      await reader.close()
      assert.equal((await errorOf(open({ errorIfExists: true }))).code, 'ERR_DB_EXISTS')
    })

    it('answers after close with ERR_DB_CLOSED', async (t) => {
      const { db } = await openIn(t, place)
      await db.put('a', '1')
      const keyspace = db.keyspace('k')
      const snapshot = db.snapshot()
      const rows = db.keys()
      assert.equal(db.status, 'open')
      await db.close()
      await db.close()
      assert.equal(db.status, 'closed')
      const calls = [
        ...[() => db.get('a'), () => db.getSync('a'), () => db.put('a', '1'), () => db.putSync('a', '1')],
        ...[() => db.del('a'), () => db.batch([{ type: 'del', key: 'a' }]), () => db.clear(), () => db.count()],
        ...[() => db.getMany(['a']), () => db.has('a'), () => all(db.keys()), () => all(rows), () => db.snapshot()],
        ...[() => db.keyspace('x'), () => keyspace.get('a'), () => keyspace.put('a', '1'), () => db.sync()],
        ...[() => db.compact(), () => db.verify(), () => db.stats(), () => db.keyspaces()],
      ]
      for (const call of calls) {
        const error = await errorOf(call)
        assert.ok(error instanceof DatabaseError, `${call}: ${error}`)
        assert.equal(error.code, 'ERR_DB_CLOSED')
      }
      snapshot.close()
    })

    it('does not break when memory grows', async (t) => {
      const { db } = await openIn(t, place, { memory: 256 << 20 })
      const big = 'ab\u00e9'.repeat(17_000_000)
      await db.put('small', 'before')
      const rows = db.entriesSync()
      await db.put('big', big)
      assert.deepEqual([...rows], [['small', 'before']])
      assert.equal((await db.get('big')) === big, true)
      assert.equal(await db.get('small'), 'before')
      const [one, two] = await db.getMany(['small', 'big'])
      assert.equal(one, 'before')
      assert.equal(two.length, big.length)
      await db.del('big')
      assert.deepEqual(await all(db.keys()), ['small'])
    })

    it('reports what it is and what it did', async (t) => {
      const { db, location } = await openIn(t, place)
      for (let i = 0; i < 2000; i++) void db.put(`k${i}`, 'x'.repeat(100))
      await db.sync()
      const stats = db.stats()
      assert.equal(stats.writes, 2000)
      assert.ok(stats.bytesWritten > 200_000, String(stats.bytesWritten))
      assert.ok(Array.isArray(stats.levels))
      assert.equal(db.path, location)
      assert.match(Database.version, /^\d+\.\d+\.\d+$/)
      const steps = []
      await db.compact({ onProgress: (done, total) => void steps.push([done, total]) })
      const report = await db.verify({ onProgress: () => {} })
      assert.equal(report.errors, 0)
      assert.ok(report.entries >= 2000)
    })
  })
}

describe('backup and restore', () => {
  it('makes a copy that opens, and brings it up to date', async (t) => {
    const directory = temporaryDirectory(t)
    const db = await Database.open(`${directory}/db`)
    atEnd(t, () => db.close())
    for (let i = 0; i < 3000; i++) void db.put(`k${i}`, 'x'.repeat(200))
    const first = await db.backup(`${directory}/backup`)
    assert.ok(first.filesCopied > 0)
    await db.put('later', '1')
    const second = await db.backup(`${directory}/backup`, { onProgress: () => {} })
    assert.ok(second.filesKept > 0, JSON.stringify(second))
    await Database.restore(`${directory}/backup`, `${directory}/restored`)
    const restored = await Database.open(`${directory}/restored`, { createIfMissing: false })
    atEnd(t, () => restored.close())
    assert.equal(await restored.count(), 3001)
    assert.equal(await restored.get('later'), '1')
    assert.deepEqual((await restored.verify()).errors, 0)
  })

  it('stops when onProgress says false, and gives back what it throws', async (t) => {
    const db = await Database.open(`${temporaryDirectory(t)}/db`)
    atEnd(t, () => db.close())
    for (let i = 0; i < 3000; i++) void db.put(`k${i}`, 'x'.repeat(200))
    assert.equal((await errorOf(db.compact({ onProgress: () => false }))).code, 'ERR_DB_ABORTED')
    const mine = new Error('mine')
    const thrown = await errorOf(
      db.verify({
        onProgress: () => {
          throw mine
        },
      }),
    )
    assert.equal(thrown, mine)
    let inside
    await db.compact({
      onProgress: () =>
        void (inside ??= (() => {
          try {
            db.getSync('k1')
          } catch (error) {
            return error
          }
        })()),
    })
    assert.equal(inside.code, 'ERR_DB_BUSY')
    assert.equal(db.countSync(), 3000)
  })
})

describe('opening', () => {
  it('says what is wrong with a place', async (t) => {
    const directory = temporaryDirectory(t)
    const missing = await errorOf(Database.open(`${directory}/none`, { createIfMissing: false }))
    assert.equal(missing.code, 'ERR_DB_MISSING')
    assert.deepEqual(readdirSync(directory), [])
    const parent = await errorOf(Database.open(`${directory}/no/such/parent`))
    assert.equal(parent.code, 'ERR_DB_MISSING')
    assert.equal(parent.cause.code, 'ENOENT')
    const file = new URL(import.meta.url).pathname
    assert.equal((await errorOf(Database.open(file))).code, 'ERR_DB_NOT_DATABASE')
  })

  it('takes the engine as bytes, as a module and as a URL', async () => {
    const { readFileSync } = await import('node:fs')
    const url = new URL('../../dist/varve.wasm', import.meta.url)
    const bytes = readFileSync(url)
    for (const wasm of [bytes, new WebAssembly.Module(bytes), url, new Response(bytes)]) {
      const db = await Database.open(':memory:', { wasm })
      await db.put('a', '1')
      assert.equal(await db.get('a'), '1')
      await db.close()
    }
    const db = Database.openSync(':memory:', { wasm: bytes })
    db.putSync('a', '1')
    db.closeSync()
    const html = await errorOf(Database.open(':memory:', { wasm: new Response('<!doctype html>') }))
    assert.match(html.message, /HTML page/)
  })

  it('disposes of a database', async () => {
    const db = await Database.open(':memory:')
    await db[Symbol.asyncDispose ?? Symbol.for('Symbol.asyncDispose')]()
    assert.equal(db.status, 'closed')
  })
})

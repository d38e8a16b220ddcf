// reentry.test.js: code of the application that runs while a change is encoded (toJSON, encoders, getters) may use the
// database: no change is lost, and no batch is committed by half.

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { Database } from '../../bindings/js/index.js'
import { atEnd, errorOf } from './support.js'

async function open(t) {
  const db = await Database.open(':memory:', { valueEncoding: 'json' })
  atEnd(t, () => db.close())
  await db.put('q', 1)
  return db
}

/** Everything that an encoder may do to the database, by name. */
const USES = {
  getSync: (db) => db.getSync('q'),
  getManySync: (db) => db.getManySync(['q']),
  hasSync: (db) => db.hasSync('q'),
  countSync: (db) => db.countSync(),
  entriesSync: (db) => [...db.entriesSync({ gte: 'a' })],
  snapshot: (db) => db.snapshot().close(),
  keyspace: (db) => db.keyspace('other'),
  stats: (db) => db.stats(),
  syncSync: (db) => db.syncSync(),
  put: (db) => void db.put('other', 1),
  putSync: (db) => db.putSync('other', 1),
  delSync: (db) => db.delSync('other'),
  batchSync: (db) => db.batchSync([{ type: 'put', key: 'other', value: 1 }]),
  clearSync: (db) => db.clearSync({ prefix: 'nothing' }),
}
const METHODS = {
  batch: (db, changes) => db.batch(changes),
  batchSync: (db, changes) => db.batchSync(changes),
  puts: (db, changes) => Promise.all(changes.map(({ key, value }) => db.put(key, value))),
}

for (const [name, use] of Object.entries(USES)) {
  it(`keeps every change when an encoder calls ${name}()`, async (t) => {
    for (const write of Object.values(METHODS)) {
      const db = await open(t)
      const value = { toJSON: () => (use(db), 2) }
      const changes = ['a', 'b', 'c'].map((key, i) => ({ type: 'put', key, value: i === 1 ? value : 1 }))
      const before = db.put('before', 1)
      await write(db, changes)
      await before
      assert.deepEqual(await db.getMany(['before', 'a', 'b', 'c']), [1, 1, 2, 1])
    }
  })

  it(`commits nothing of a batch that fails when an encoder calls ${name}()`, async (t) => {
    for (const write of [METHODS.batch, METHODS.batchSync]) {
      const db = await open(t)
      const value = {
        toJSON() {
          use(db)
          throw new Error('no')
        },
      }
      const before = db.put('before', 1)
      const changes = [
        { type: 'put', key: 'a', value: 1 },
        { type: 'put', key: 'b', value },
      ]
      assert.match((await errorOf(() => write(db, changes))).message, /^Change 1 .*'b'.*: no$/)
      await before
      assert.deepEqual(await db.getMany(['before', 'a', 'b']), [1, undefined, undefined])
    }
  })
}

it('keeps every change when a key encoder writes while a clear is made', async (t) => {
  const db = await open(t)
  let use = () => {}
  const encode = (key) => (use(), key)
  const space = db.keyspace('s', { keyEncoding: { format: 'utf8', encode, decode: String } })
  await space.batch(['a', 'b', 'c'].map((key) => ({ type: 'put', key, value: 1 })))
  use = () => void db.put('other', 1)
  const before = db.put('before', 1)
  await space.clear({ gte: 'b', limit: 1 })
  await before
  use = () => {}
  assert.deepEqual([...space.keysSync()], ['a', 'c'])
  assert.deepEqual(await db.getMany(['before', 'other']), [1, 1])
})

it('takes an encoder that uses one array again and again', async (t) => {
  const db = await open(t)
  const scratch = new Uint8Array(1)
  const encode = (n) => (scratch.fill(n), scratch)
  const own = { encode, decode: (bytes) => bytes[0] }
  const space = db.keyspace('s', { keyEncoding: own, valueEncoding: own })
  await space.batch([1, 2, 3].map((n) => ({ type: 'put', key: n, value: 10 * n })))
  await space.put(4, 40)
  const rows = [1, 2, 3, 4].map((n) => [n, 10 * n])
  assert.deepEqual([...space.entriesSync()], rows)
})

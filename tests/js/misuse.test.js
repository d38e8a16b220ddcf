// misuse.test.js: a mistake of the program is a TypeError whose message names the fix; a failure of the database has
// a code.

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { inspect } from 'node:util'
import { Database, DatabaseError } from '../../bindings/js/index.js'
import { errorOf, temporaryDirectory } from './support.js'

/** [what is done, what the message must say] */
const MISTAKES = [
  [(db) => db.put('a', undefined), /del\(key\)/],
  [(db) => db.put(undefined, 'a'), /key must not be undefined: pass a string/],
  [(db) => db.put('a', 'b', { sync: true }), /no option 'sync'\. Did you mean durability: 'strict'\?/],
  [(db) => db.put('a', 5), /valueEncoding: 'json'/],
  [(db) => db.put(5, 'a'), /String\(key\)/],
  [(db) => db.get(Buffer.from('a')), /keyEncoding: 'buffer'/],
  [(db) => db.get('a', { snapshto: 1 }), /Did you mean 'snapshot'/],
  [(db) => db.get('a', 'b'), /options of get\(\) must be an object/],
  [(db) => db.put('a', 'b', { durabilty: 'strict' }), /Did you mean 'durability'/],
  [(db) => db.put('a', 'b', { durability: 'eventual' }), /'relaxed' or 'strict'/],
  [(db) => db.entries({ gt: 'a', gte: 'b' }), /both gt and gte/],
  [(db) => db.keysSync({ lt: 'a', lte: 'b' }), /both lt and lte/],
  [(db) => db.keys({ revers: true }), /Did you mean 'reverse'/],
  [(db) => db.keys({ reverse: 1 }), /true or false/],
  [(db) => db.keys({ limit: 1.5 }), /whole number/],
  [(db) => db.keys({ limit: -1 }), /limit must be a whole number from 0, or Infinity/],
  [(db) => db.clear({ limit: -1 }), /limit must be a whole number from 0, or Infinity/],
  ...['gt', 'gte', 'lt', 'lte', 'prefix'].flatMap((bound) =>
    ['clear', 'clearSync', 'count', 'countSync', 'keys', 'keysSync', 'values', 'entries', 'entriesSync'].map(
      (method) => [
        (db) => db[method]({ [bound]: undefined }),
        new RegExp(`got ${bound}: undefined: leave ${bound} out`),
      ],
    ),
  ),
  [(db) => db.count({ limit: 1 }), /no option 'limit'/],
  [(db) => db.keys(null), /must be an object; got null/],
  [(db) => db.batch({}), /array of changes/],
  [(db) => db.batch([null]), /^Change 0 of batch\(\): it must be \{ type: 'put'.*got null/],
  [(db) => db.batch([{ type: 'put', key: 'a' }]), /^Change 0 .*value must not be undefined/],
  [
    (db) =>
      db.batch([
        { type: 'del', key: 'a' },
        { type: 'put', key: 'a', value: 5 },
      ]),
    /^Change 1 of batch\(\): A value must/,
  ],
  [(db) => db.batch([{ type: 'put', key: 'a', vaule: 'b' }]), /^Change 0 .*no field 'vaule'\. Did you mean 'value'/],
  [(db) => db.batch([{ typ: 'put', key: 'a', value: 'b' }]), /Did you mean 'type'/],
  [(db) => db.batch([{ type: 'delete', key: 'a' }]), /^Change 0 .*the string 'delete'\. Did you mean 'del'/],
  [(db) => db.batch([{ type: 'putt', key: 'a', value: '' }]), /Did you mean 'put'/],
  [(db) => db.batch([{ type: 'del', key: 'a', keyspace: 'users' }]), /db\.keyspace\(name\)/],
  [
    (db) =>
      db.batch([
        { type: 'put', key: 'a', value: 'b' },
        { type: 'del', key: 'a', keyspce: db.keyspace('x') },
      ]),
    /Did you mean 'keyspace'/,
  ],
  [(db) => db.getMany('a'), /array of keys/],
  [(db) => db.keyspace(''), /takes a name/],
  [(db) => db.keyspace('x', { valueEncoding: 'jsno' }), /Did you mean 'json'/],
  [(db) => db.clear({ snapshot: db.snapshot() }), /no option 'snapshot'/],
  [(db) => db.compact({ onProgress: 5 }), /function of \(done, total\)/],
  [(db) => db.put('\ud800', 'a'), /surrogate pair/],
  [(db) => db.put('a', '\udc00'), /surrogate pair/],
  [(db) => db.get('longer than what is written by hand \ud800'), /surrogate pair/],
  [(db) => db.clear({ prefix: '\ud800' }), /surrogate pair/],
  [() => Database.open(), /takes a path, or ':memory:'/],
  [() => Database.open(':memory:', { createIfMising: true }), /Did you mean 'createIfMissing'/],
  [() => Database.open(':memory:', { lock: { waits: 1 } }), /^lock has no option 'waits'\. Did you mean 'wait'/],
  [() => Database.open('x', { lock: 5 }), /^lock must be \{ wait: milliseconds \}; got the number 5$/],
  [() => Database.open(':memory:', { memory: '32 MB' }), /whole number of bytes/],
  [() => Database.open(':memory:', { readOnly: 'yes' }), /true or false/],
  [() => Database.open('x', { readOnly: true, createIfMissing: true }), /cannot be created/],
  [() => Database.open('x', { createIfMissing: false, errorIfExists: true }), /pass one of them/],
  [() => Database.open('x', { compression: 'zip' }), /'lz4' or 'none'/],
  [() => Database.open(new URL('http://a/b')), /file: URL/],
  [() => Database.open('a\0b'), /zero byte/],
  [() => Database.open(':memory:', { wasm: 'dist/varve.wasm' }), /URL, a Response/],
  [() => new Database(), /Database\.open/],
]

it('answers a mistake with a TypeError that names the fix', async (t) => {
  const db = await Database.open(':memory:')
  t.after(() => db.close())
  for (const [mistake, message] of MISTAKES) {
    const error = await errorOf(() => mistake(db))
    assert.ok(error instanceof TypeError, `${mistake}: ${error.stack}`)
    assert.match(error.message, message, String(mistake))
  }
  assert.equal(db.countSync(), 0, 'nothing was stored by any of them')
})

it('rejects, rather than throws, from the methods that return promises', async (t) => {
  const db = await Database.open(':memory:')
  t.after(() => db.close())
  for (const call of [
    () => db.get(5),
    () => db.put(5, 5),
    () => db.del(5),
    () => db.batch(5),
    () => db.clear(5),
    () => db.has(5),
  ]) {
    const promise = call()
    assert.ok(promise instanceof Promise)
    assert.ok((await errorOf(promise)) instanceof TypeError)
  }
})

it('gives each bad key and value its own code', async (t) => {
  const db = await Database.open(':memory:', { keyEncoding: 'buffer', valueEncoding: 'buffer' })
  t.after(() => db.close())
  const v = Buffer.from('v')
  const cases = [
    ['ERR_DB_KEY_TOO_LARGE', () => db.put(Buffer.alloc(65537), v)],
    ['ERR_DB_KEY_TOO_LARGE', () => db.get(Buffer.alloc(65537))],
    ['ERR_DB_KEY_TOO_LARGE', () => db.get('x'.repeat(65537))],
    ['ERR_DB_KEY_TOO_LARGE', () => db.put('\u00e9'.repeat(32769), v)],
    ['ERR_DB_KEY_TOO_LARGE', () => db.getMany(['\u20ac'.repeat(30000)])],
    ['ERR_DB_VALUE_TOO_LARGE', () => db.put('a', new Uint8Array(2 ** 30 + 1))],
    ['ERR_DB_INVALID', () => db.keyspace('n'.repeat(256))],
  ]
  for (const [code, call] of cases) {
    const error = await errorOf(call)
    assert.ok(error instanceof DatabaseError, `${call}: ${error}`)
    assert.equal(error.code, code, String(call))
    assert.equal(error.name, 'DatabaseError')
    assert.ok(error.message.length > 10)
  }
  const largest = Buffer.alloc(65536, 7)
  await db.put(largest, v)
  assert.deepEqual(await db.get(largest), v)
  assert.deepEqual([...db.keysSync({ gt: Buffer.alloc(65536, 6), lte: largest })].length, 1)
  assert.equal(db.countSync(), 1)
})

it('names the change of a batch whose key the engine refuses', async (t) => {
  const db = await Database.open(':memory:')
  t.after(() => db.close())
  const changes = [
    { type: 'put', key: 'a', value: '1' },
    { type: 'put', key: 'k'.repeat(65537), value: '1' },
  ]
  for (const run of [() => db.batch(changes), () => db.batchSync(changes)]) {
    const error = await errorOf(run)
    assert.equal(error.code, 'ERR_DB_KEY_TOO_LARGE')
    assert.match(error.message, /^change 1 of batch\(\): a key may have at most/)
  }
  assert.equal(db.countSync(), 0)
})

it('names key and encoding when an encoding fails, and keeps the cause', async (t) => {
  const db = await Database.open(':memory:')
  t.after(() => db.close())
  await db.put('user:1', 'no JSON')
  const loop = {}
  loop.self = loop
  const json = db.keyspace('json', { valueEncoding: 'json' })
  const stored = await errorOf(json.put('a', loop))
  assert.ok(stored instanceof TypeError && stored.cause instanceof TypeError)
  assert.match(
    stored.message,
    /^The value of the key 'a' cannot be stored with the encoding 'json': .*(circular|cyclic)/s,
  )
  const fail = () => {
    throw new RangeError('too far')
  }
  const own = db.keyspace('json', { valueEncoding: { name: 'mine', encode: String, decode: fail } })
  await own.put('b', 'x')
  for (const read of [
    () => own.get('b'),
    () => own.getManySync(['b']),
    () => [...own.entriesSync()],
    () => [...own.valuesSync()],
  ]) {
    const error = await errorOf(read)
    assert.ok(error instanceof TypeError && error.cause instanceof RangeError)
    assert.match(error.message, /value.* is not what the encoding 'mine' reads: too far\. Use the encoding/)
  }
  assert.match((await errorOf(own.get('b'))).message, /^The value of the key 'b'/)
  const bytes = db.keyspace('json', { keyEncoding: 'view', valueEncoding: 'json' })
  assert.match((await errorOf(bytes.get(Buffer.from('b')))).message, /the key 0x62 is not what the encoding 'json'/)
})

it('shows where a database is, and how it is', async () => {
  const db = await Database.open(':memory:')
  assert.equal(inspect(db), `Database { path: ":memory:", status: 'open' }`)
  assert.equal(inspect(db.keyspace('k')), 'Keyspace { name: "k" }')
  await db.close()
  assert.equal(inspect(db), `Database { path: ":memory:", status: 'closed' }`)
})

it('names a target that is the database or the backup itself', async (t) => {
  const path = `${temporaryDirectory(t)}/db`
  const db = await Database.open(path)
  for (const target of [path, `${path}/../db/`]) {
    const error = await errorOf(db.backup(target))
    assert.equal(error.code, 'ERR_DB_INVALID')
    assert.match(error.message, /is the database itself: give another directory/)
  }
  await db.backup(`${path}2`)
  assert.match((await errorOf(Database.restore(`${path}2`, `${path}2`))).message, /is the backup itself/)
  await db.close()
})

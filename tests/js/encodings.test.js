// encodings.test.js: what goes in comes out, for text of every kind, bytes, JSON and an application's own.

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { Database } from '../../bindings/js/index.js'
import { Random, atEnd, errorOf, seedOf } from './support.js'

async function open(t, options) {
  const db = await Database.open(':memory:', options)
  atEnd(t, () => db.close())
  return db
}

/** Ways to read one value, all of which must agree. */
async function readings(db, key) {
  return [
    db.getSync(key),
    await db.get(key),
    (await db.getMany(['nothing', key]))[1],
    [...db.valuesSync({ gte: key, limit: 1 })][0],
    [...db.entriesSync({ gte: key, limit: 1 })][0][1],
  ]
}

const TEXTS = [
  ...[
    '',
    'a',
    'plain',
    '\0',
    'a\0b',
    '\0\0\0',
    '\x7f',
    '\x80',
    'é',
    'ß',
    '€uro',
    '漢字',
    '😀',
    '👩‍👩‍👧',
    '\ufeffBOM',
    '\uffff',
  ],
  ...['x'.repeat(24), 'x'.repeat(25), 'é'.repeat(12), 'é'.repeat(13), 'x'.repeat(23) + 'é', 'x'.repeat(1023) + 'é'],
  ...[
    'x'.repeat(1024),
    'x'.repeat(1025),
    'é'.repeat(2048),
    '😀'.repeat(1025),
    'x'.repeat(100_000),
    'é'.repeat(100_000),
  ],
]

it('keeps text as it is, as value and as key', async (t) => {
  const db = await open(t)
  for (const text of TEXTS) {
    await db.put('key', text)
    for (const found of await readings(db, 'key')) assert.equal(found, text)
    if (text === '' || Buffer.byteLength(text) > 65536) continue
    await db.clear()
    await db.put(text, 'v')
    assert.deepEqual([...db.keysSync()], [text])
    assert.equal(db.getSync(text), 'v')
    assert.equal(db.hasSync(text + 'x'), false)
    await db.del(text)
  }
})

it('orders keys as the bytes of UTF-8', async (t) => {
  const db = await open(t)
  const keys = ['\uffff', '😀', 'é', 'z', 'Z', '\x7f', '\x80', '\0', 'a\0', 'a', 'ab']
  await db.batch(keys.map((key) => ({ type: 'put', key, value: key })))
  const sorted = [...keys].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
  assert.deepEqual([...db.keysSync()], sorted)
  assert.deepEqual([...db.valuesSync({ reverse: true })], sorted.reverse())
})

it('keeps bytes as they are', async (t) => {
  const random = new Random(seedOf())
  for (const [encoding, type] of [
    ['buffer', globalThis.Buffer ?? Uint8Array],
    ['view', Uint8Array],
  ]) {
    const db = await open(t, { keyEncoding: encoding, valueEncoding: encoding })
    for (const size of [0, 1, 2, 3, 7, 255, 256, 1023, 1024, 1025, 5000, 300_000]) {
      const value = Uint8Array.from({ length: size }, () => random.below(256))
      const key = Uint8Array.from({ length: 1 + random.below(300) }, () => random.below(256))
      await db.put(key, value)
      for (const found of await readings(db, key)) {
        assert.ok(found instanceof type && found.constructor === type, `${encoding}: ${found.constructor.name}`)
        assert.deepEqual([...found], [...value])
      }
      assert.deepEqual([...[...db.keysSync({ gte: key, limit: 1 })][0]], [...key])
      await db.clear()
    }
  }
})

it('gives copies: what was read does not change afterwards', async (t) => {
  const db = await open(t, { valueEncoding: 'view' })
  for (const size of [10, 3000]) {
    await db.put('a', new Uint8Array(size).fill(1))
    const first = db.getSync('a')
    const rows = [...db.valuesSync()]
    await db.put('a', new Uint8Array(size).fill(2))
    for (let i = 0; i < 50; i++) db.getSync('a')
    assert.ok([...first, ...rows[0]].every((byte) => byte === 1))
    first.fill(9)
    assert.ok(db.getSync('a').every((byte) => byte === 2))
  }
})

it('takes any view of bytes, and strings as UTF-8, for bytes', async (t) => {
  const db = await open(t, { keyEncoding: 'buffer', valueEncoding: 'buffer' })
  await db.put('key', new Uint16Array([0x4241, 0x4443]).subarray(1))
  assert.equal(Buffer.from(db.getSync(Buffer.from('key'))).toString(), 'CD')
  await db.put('key', new DataView(new ArrayBuffer(3)))
  assert.equal(db.getSync('key').length, 3)
  await db.put('key', new Uint8Array([1, 2]).buffer)
  assert.deepEqual([...db.getSync('key')], [1, 2])
  assert.ok((await errorOf(db.put('key', { length: 1 }))) instanceof TypeError)
})

it('keeps what JSON can hold, half pairs included', async (t) => {
  const db = await open(t, { keyEncoding: 'json', valueEncoding: 'json' })
  const values = [
    null,
    true,
    0,
    -1.5,
    'text',
    '\ud800 half',
    '\udc00',
    [],
    { a: [1, { b: null }], ü: '😀' },
    [undefined],
  ]
  for (const value of values) {
    await db.put(['key', 1], value)
    const expected = JSON.parse(JSON.stringify(value))
    for (const found of [db.getSync(['key', 1]), (await db.getMany([['key', 1]]))[0]]) assert.deepEqual(found, expected)
  }
  await db.put('\ud800', 1)
  await db.put('\ud801', 2)
  assert.deepEqual([...db.entriesSync({ gte: '\ud800' })].map(([key]) => key).slice(0, 2), ['\ud800', '\ud801'])
  assert.match((await errorOf(db.put('a', () => 1))).message, /JSON can hold/)
  const loop = {}
  loop.self = loop
  assert.ok((await errorOf(db.put('a', loop))) instanceof TypeError)
})

it('takes an encoding of the application', async (t) => {
  const db = await open(t, {
    keyEncoding: {
      name: 'u32',
      format: 'view',
      encode: (n) => Uint8Array.of(n >>> 24, n >>> 16, n >>> 8, n),
      decode: (b) => ((b[0] << 24) | (b[1] << 16) | (b[2] << 8) | b[3]) >>> 0,
    },
    valueEncoding: { format: 'utf8', encode: (date) => date.toISOString(), decode: (text) => new Date(text) },
  })
  const date = new Date(0)
  for (const n of [300, 2, 4_000_000_000, 70_000]) await db.put(n, date)
  assert.deepEqual([...db.keysSync({ gt: 2, reverse: true })], [4_000_000_000, 70_000, 300])
  assert.deepEqual(await db.get(300), date)
  await db.clear({ gte: 300, limit: 1 })
  assert.equal(db.hasSync(300), false)
  const failing = db.keyspace('x', { valueEncoding: { encode: () => 5, decode: () => 5 } })
  assert.ok((await errorOf(failing.put(1, 1))) instanceof TypeError)
})

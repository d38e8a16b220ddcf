// tuple.test.js: tuples as keys: their bytes are those that docs/FORMAT.md says, and sort as the tuples do.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { it } from 'node:test'
import { Database } from '../../bindings/js/index.js'
import { decodeTuple, encodeTuple } from '../../bindings/js/src/tuple.js'
import { Random, atEnd, errorOf, seedOf } from './support.js'

const hex = (tuple) => Buffer.from(encodeTuple(tuple)).toString('hex')

async function open(t) {
  const db = await Database.open(':memory:', { keyEncoding: 'tuple' })
  atEnd(t, () => db.close())
  return db
}

// ---- The order, as docs/FORMAT.md says it, and made without any bytes of tuples

const rankOf = (value) => {
  if (value === null) return 0
  const ranks = { boolean: 1, number: 2, bigint: 2, string: 4 }
  const rank = ranks[typeof value]
  if (rank !== undefined) return rank
  return value instanceof Date ? 3 : value instanceof Uint8Array ? 5 : 6
}
const orderOf = (a, b) => (a < b ? -1 : a > b ? 1 : 0) // JavaScript compares numbers with bigints exactly

function compareElements(a, b) {
  const rank = rankOf(a)
  if (rank !== rankOf(b)) return rank - rankOf(b)
  if (rank === 0) return 0
  if (rank === 6) return compareTuples(a, b)
  if (rank === 5) return Math.sign(Buffer.compare(a, b))
  if (rank !== 4) return orderOf(a, b)
  return compareTuples(
    [...a].map((c) => c.codePointAt(0)),
    [...b].map((c) => c.codePointAt(0)),
  )
}

function compareTuples(a, b) {
  for (let i = 0; i < Math.min(a.length, b.length); i++) {
    const order = compareElements(a[i], b[i])
    if (order !== 0) return Math.sign(order)
  }
  return Math.sign(a.length - b.length)
}

const NUMBERS = [
  ...[0, -0, 1, -1, 0.5, -0.5, 1.5, 2n, 255, 256, 1e-300, -1e-300, 5e-324, 1e300, -1e300, Infinity, -Infinity],
  ...[
    2 ** 31,
    2 ** 32,
    2 ** 52 + 0.5,
    2 ** 53,
    2 ** 53 - 1,
    -(2 ** 53),
    2 ** 63,
    2 ** 64,
    -(2 ** 63),
    -(2 ** 64),
    2 ** 70,
  ],
]
const TEXTS = [
  '',
  'a',
  'b',
  'ab',
  'a\0',
  'a\0b',
  '\0',
  '\0\0',
  '\0\x01',
  'é',
  '\uffff',
  '😀',
  '\u{10ffff}',
  'z'.repeat(300),
]

/** Values that are near to one another, so that pairs of equal beginnings are common. */
function elementOf(random, depth) {
  const kind = random.below(depth < 2 ? 8 : 7)
  if (kind === 0) return null
  if (kind === 1) return random.chance(50)
  if (kind === 2) return random.pick(NUMBERS)
  if (kind === 3) {
    const near = random.pick([2n ** 53n, 2n ** 62n, 2n ** 63n - 2000n, 2n ** 64n - 3000n, 2n ** 60n])
    const value = near + BigInt(random.below(2000)) - (near > 2n ** 63n ? 0n : 1000n)
    return value <= 2n ** 63n && random.chance(50) ? -value : value
  }
  if (kind === 4) return random.pick(TEXTS)
  if (kind === 5) return Uint8Array.from({ length: random.below(4) }, () => random.pick([0, 1, 254, 255]))
  if (kind === 6) return new Date(random.pick([0, -1, 1, 1.7e12, -8.64e15, 8.64e15]))
  return tupleOf(random, depth + 1)
}
function tupleOf(random, depth = 0) {
  return Array.from({ length: random.below(4) }, () => elementOf(random, depth))
}

it('sorts by bytes as by what is in them, and is read back', () => {
  const seed = seedOf()
  const random = new Random(seed)
  for (let i = 0; i < 30_000; i++) {
    const a = tupleOf(random)
    const b = random.chance(30) && a.length > 0 ? [...a.slice(0, -1), elementOf(random, 0)] : tupleOf(random)
    const [left, right] = [encodeTuple(a), encodeTuple(b)]
    const say = `seed ${seed}: ${hex(a)} and ${hex(b)}`
    assert.equal(Math.sign(Buffer.compare(left, right)), compareTuples(a, b), say)
    const back = decodeTuple(left)
    assert.equal(compareTuples(back, a), 0, say)
    assert.equal(hex(back), hex(a), say)
    const longer = encodeTuple([...a, ...b])
    assert.equal(Buffer.compare(longer.subarray(0, left.length), left), 0, say)
  }
})

it('has the bytes that docs/FORMAT.md says', () => {
  const text = readFileSync(new URL('../../docs/FORMAT.md', import.meta.url), 'utf8')
  const rows = [...text.matchAll(/^\| `(\[.*?\])` \| (?:none|`([0-9a-f ]+)`) \|$/gm)]
  assert.ok(rows.length >= 10)
  for (const [, source, bytes = ''] of rows) {
    const tuple = source
      .replace(/2\^(\d+) ([+-]) 1/, (_, power, sign) => `2n ** ${power}n ${sign} 1n`)
      .replace(/bytes ([0-9a-f ]+)/, (_, list) => `Uint8Array.of(${list.split(' ').map((byte) => `0x${byte}`)})`)
    assert.equal(hex(new Function(`return ${tuple}`)()), bytes.replaceAll(' ', ''), source)
  }
})

it('gives integers that a double may not hold back as bigints, and all else as numbers', () => {
  const cases = [
    [2n, 2],
    [2 ** 53 - 1, 2 ** 53 - 1],
    [-(2n ** 53n) + 1n, -(2 ** 53) + 1],
    [2 ** 53, 2n ** 53n],
    [2n ** 53n + 1n, 2n ** 53n + 1n],
    [2n ** 63n - 1n, 2n ** 63n - 1n],
    [-(2n ** 63n), -(2n ** 63n)],
    [2n ** 64n - 1n, 2n ** 64n - 1n],
    [2 ** 64, 2 ** 64],
    [-Infinity, -Infinity],
    [-0, 0],
  ]
  for (const [value, expected] of cases) assert.deepEqual(decodeTuple(encodeTuple([value])), [expected])
  assert.ok(Object.is(decodeTuple(encodeTuple([-0]))[0], 0))
})

it('refuses what has no place in the order, and says why', async (t) => {
  const db = await open(t)
  const loop = []
  loop.push(loop)
  const cases = [
    [[NaN], /NaN/],
    [[2n ** 64n], /from -2\^63 to 2\^64 - 1; got 18446744073709551616/],
    [[-(2n ** 63n) - 1n], /from -2\^63/],
    [[new Date(NaN)], /invalid Date/],
    [['\ud800'], /surrogate/],
    [[undefined], /cannot hold undefined/],
    [[{ a: 1 }], /cannot hold an object of class Object/],
    [loop, /32 deep/],
    ['text', /must be an array/],
    [undefined, /must not be undefined/],
  ]
  for (const [key, message] of cases) {
    const error = await errorOf(db.put(key, 'x'))
    assert.ok(error instanceof TypeError)
    assert.match(error.message, message)
  }
  await db.put(['fine'], 'x')
  assert.deepEqual([...db.keysSync()], [['fine']])
})

it('refuses bytes that are no tuple', async (t) => {
  const db = await open(t)
  for (const bytes of [[0x11], [0], [0x40, 0x61], [0x30, 1], [0x40, 0xff, 0], [0x60, 0x10], Array(40).fill(0x60)]) {
    await db.put(Uint8Array.from(bytes), 'x', { keyEncoding: 'view' })
    assert.match((await errorOf(() => [...db.keysSync()])).message, /is not what the encoding 'tuple' reads/)
    await db.clear()
  }
})

it('finds ranges and prefixes by parts', async (t) => {
  const db = await open(t)
  const keys = [
    ['user', 1],
    ['user', 1, 'name'],
    ['user', 1.5],
    ['user', 2n],
    ['user', 10],
    ['users', 0],
  ]
  await db.batch(keys.toReversed().map((key) => ({ type: 'put', key, value: String(key) })))
  const found = (range) => [...db.keysSync(range)].map(String)
  assert.deepEqual(found({}), keys.map(String))
  assert.deepEqual(found({ prefix: ['user'] }), keys.slice(0, 5).map(String))
  assert.deepEqual(found({ prefix: ['user', 1] }), ['user,1', 'user,1,name'])
  assert.deepEqual(found({ gt: ['user', 1], lte: ['user', 2] }), ['user,1,name', 'user,1.5', 'user,2'])
  assert.deepEqual(found({ prefix: [], reverse: true, limit: 1 }), ['users,0'])
  assert.equal(await db.get(['user', 2]), 'user,2')
  assert.equal(await db.count({ prefix: ['user'] }), 5)
  await db.clear({ prefix: ['user', 1] })
  assert.equal(db.hasSync(['user', 1, 'name']), false)
})

it('is not confused by getters that make tuples themselves', async (t) => {
  const db = await open(t)
  const key = ['a', 'b', 'c']
  Object.defineProperty(key, 1, {
    get() {
      db.putSync(['inner', 1], 'x')
      return 'B'
    },
  })
  await db.put(key, 'outer')
  assert.deepEqual(
    [...db.keysSync()],
    [
      ['a', 'B', 'c'],
      ['inner', 1],
    ],
  )
})

// model.test.js: thousands of random operations, each answer compared with a sorted array's. A failure prints the
// seed; run it again with VARVE_SEED=<seed>. VARVE_SEEDS sets how many seeds each place gets, VARVE_STEPS how many
// steps a seed.

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { PLACES, Random, openIn, seedOf } from './support.js'

const SEEDS = Number(process.env.VARVE_SEEDS ?? 4)
const STEPS = Number(process.env.VARVE_STEPS ?? 1200)
const SPACES = ['', 'users', 'posts']

/** Order of keys as bytes of UTF-8. */
const compare = (a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))

/** What a keyspace should hold. */
class Model {
  rows = new Map()

  copy() {
    const other = new Model()
    other.rows = new Map(this.rows)
    return other
  }

  select({ gt, gte, lt, lte, prefix, reverse, limit = Infinity }) {
    let keys = [...this.rows.keys()].sort(compare)
    if (gt !== undefined) keys = keys.filter((key) => compare(key, gt) > 0)
    if (gte !== undefined) keys = keys.filter((key) => compare(key, gte) >= 0)
    if (lt !== undefined) keys = keys.filter((key) => compare(key, lt) < 0)
    if (lte !== undefined) keys = keys.filter((key) => compare(key, lte) <= 0)
    if (prefix !== undefined) keys = keys.filter((key) => key.startsWith(prefix))
    if (reverse) keys.reverse()
    return keys.slice(0, limit).map((key) => [key, this.rows.get(key)])
  }
}

const LETTERS = ['a', 'b', 'c', '\0', '\x7f', 'é', '€', '😀', '\uffff']

function randomKey(random) {
  if (random.chance(70)) return `k${String(random.below(400)).padStart(3, '0')}`
  return Array.from({ length: 1 + random.below(4) }, () => random.pick(LETTERS)).join('')
}

function randomValue(random) {
  const size = random.chance(3) ? random.below(20000) : random.below(60)
  return `${random.next()}${random.chance(20) ? 'ü' : 'x'}`.repeat(1 + Math.floor(size / 10))
}

function randomRange(random) {
  const range = {}
  const lower = random.below(3)
  const upper = random.below(3)
  if (lower > 0) range[lower === 1 ? 'gt' : 'gte'] = random.chance(5) ? '' : randomKey(random)
  if (upper > 0) range[upper === 1 ? 'lt' : 'lte'] = random.chance(5) ? '' : randomKey(random)
  if (random.chance(30)) range.prefix = randomKey(random).slice(0, 1 + random.below(3))
  if (range.prefix !== undefined && !range.prefix.isWellFormed()) delete range.prefix
  if (random.chance(50)) range.reverse = random.chance(70)
  if (random.chance(40)) range.limit = random.pick([0, 1, 5, 50, Infinity])
  return range
}

/** One database beside its models. */
class Run {
  snapshots = []
  models = new Map(SPACES.map((name) => [name, new Model()]))

  constructor(random, lasts, db, open) {
    Object.assign(this, { random, lasts, db, open })
    this.bind()
  }

  bind() {
    this.spaces = new Map(SPACES.map((name) => [name, name === '' ? this.db : this.db.keyspace(name)]))
  }

  /** A keyspace, its model, and perhaps a snapshot with the models of its time. */
  somewhere(readOnly = false) {
    const name = this.random.pick(SPACES)
    const store = this.spaces.get(name)
    if (readOnly && this.snapshots.length > 0 && this.random.chance(30)) {
      const { snapshot, models } = this.random.pick(this.snapshots)
      return { store, model: models.get(name), options: { snapshot } }
    }
    return { store, model: this.models.get(name), options: undefined }
  }

  write() {
    const { store, model } = this.somewhere()
    const { random } = this
    const key = randomKey(random)
    const kind = random.below(10)
    if (kind < 6) {
      const value = randomValue(random)
      model.rows.set(key, value)
      return random.chance(80) ? void store.put(key, value) : store.putSync(key, value)
    }
    model.rows.delete(key)
    return random.chance(80) ? void store.del(key) : store.delSync(key)
  }

  batch() {
    const { random } = this
    const ops = []
    for (let i = random.below(40); i > 0; i--) {
      const name = random.pick(SPACES)
      const key = randomKey(random)
      const keyspace = name === '' ? undefined : this.spaces.get(name)
      const rows = this.models.get(name).rows
      if (random.chance(70)) {
        const value = randomValue(random)
        rows.set(key, value)
        ops.push({ type: 'put', key, value, ...(keyspace && { keyspace }) })
      } else {
        rows.delete(key)
        ops.push({ type: 'del', key, ...(keyspace && { keyspace }) })
      }
    }
    return random.chance(50) ? void this.db.batch(ops) : this.db.batchSync(ops)
  }

  clear() {
    const { store, model } = this.somewhere()
    const range = randomRange(this.random)
    for (const [key] of model.select(range)) model.rows.delete(key)
    return this.random.chance(50) ? void store.clear(range) : store.clearSync(range)
  }

  async read() {
    const { store, model, options } = this.somewhere(true)
    const { random } = this
    if (random.chance(50)) {
      const key = randomKey(random)
      assert.equal(random.chance(50) ? store.getSync(key, options) : await store.get(key, options), model.rows.get(key))
      assert.equal(store.hasSync(key, options), model.rows.has(key))
      return
    }
    const keys = Array.from({ length: random.below(50) }, () => randomKey(random))
    assert.deepEqual(
      await store.getMany(keys, options),
      keys.map((key) => model.rows.get(key)),
    )
  }

  async walk() {
    const { store, model, options } = this.somewhere(true)
    const { random } = this
    const range = { ...randomRange(random), ...options }
    const expected = model.select(range)
    const kind = random.pick(['entries', 'keys', 'values'])
    const of = { entries: (row) => row, keys: ([key]) => key, values: ([, value]) => value }[kind]
    const found = []
    if (random.chance(50)) for (const row of store[`${kind}Sync`](range)) found.push(row)
    else for await (const row of store[kind](range)) found.push(row)
    assert.deepEqual(found, expected.map(of), JSON.stringify(range))
    const { reverse: _r, limit: _l, ...bounds } = range
    assert.equal(store.countSync(bounds), model.select(bounds).length)
  }

  async maintain() {
    const { random, db } = this
    const kind = random.below(6)
    if (kind === 0) await db.flush()
    else if (kind === 1) await db.compact()
    else if (kind === 2) await db.sync()
    else if (kind === 3) assert.equal((await db.verify()).errors, 0)
    else if (kind === 4 || !this.lasts) await new Promise((resolve) => setImmediate(resolve))
    else {
      for (const { snapshot } of this.snapshots.splice(0)) snapshot.close()
      await db.close()
      this.db = await this.open()
      this.bind()
    }
  }

  snapshot() {
    if (this.snapshots.length < 3) {
      const models = new Map([...this.models].map(([name, model]) => [name, model.copy()]))
      this.snapshots.push({ snapshot: this.db.snapshot(), models })
    } else this.snapshots.splice(this.random.below(3), 1)[0].snapshot.close()
  }

  async step() {
    const dice = this.random.below(1000)
    if (dice < 500) return this.write()
    if (dice < 560) return this.batch()
    if (dice < 585) return this.clear()
    if (dice < 780) return this.read()
    if (dice < 960) return this.walk()
    if (dice < 980) return this.snapshot()
    return this.maintain()
  }
}

const first = seedOf()
for (const place of PLACES) {
  for (let i = 0; i < SEEDS; i++) {
    const seed = (first + i) >>> 0
    it(`agrees with a sorted array in ${place.name}, VARVE_SEED=${seed}`, async (t) => {
      const random = new Random(seed)
      const options = random.chance(70) ? { memtable: 65536, memory: 1 << 20, tableSize: 65536, blockSize: 512 } : {}
      const { db, open } = await openIn(t, place, options)
      const run = new Run(random, place.lasts, db, open)
      for (let step = 0; step < STEPS; step++) {
        try {
          await run.step()
        } catch (error) {
          throw new Error(`step ${step} of VARVE_SEED=${seed}: ${error.stack}`, { cause: error })
        }
      }
    })
  }
}

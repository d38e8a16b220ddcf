// tabs_cases.js: tests of a database whose engine is in a worker: the interface, and two clients in one page.

import assert from '/tests/browser/assert.js'
import { Database, Keyspace, MemoryHost } from '/bindings/js/browser.js'
import { defaultStorage, deleteDatabase } from '/bindings/js/src/storage.js'
import { Random, atEnd, errorOf } from '/tests/browser/browser_support.js'
import { describe, it, run } from '/tests/browser/test.js'

let used = 0
/** @type {any} */
let storage
let seed = 1

/** Every worker that is made here, the last one last. @type {Worker[]} */
const workers = []
globalThis.Worker = class extends Worker {
  constructor(/** @type {any[]} */ ...args) {
    super(.../** @type {[any, any]} */ (args))
    workers.push(this)
  }
}

const wait = (/** @type {number} */ ms) => new Promise((resolve) => setTimeout(resolve, ms))

/** Clients of one new database; the first one's worker leads. */
async function clients(t, count, options = {}) {
  const name = `tabs ${storage} ${used++}`
  /** @type {any[]} */
  const all = []
  atEnd(t, () => deleteDatabase(name))
  for (let i = 0; i < count; i++) {
    const db = await Database.open(name, { storage, ...options })
    atEnd(t, () => db.close())
    all.push(db)
  }
  return { name, all, db: all[0], other: all[1] }
}

async function rowsOf(rows) {
  const all = []
  for await (const row of rows) all.push(row)
  return all
}

/** Ends the leader's worker without asking it. */
function killLeader(all) {
  const index = all.findIndex((db) => db.leads)
  workers[workers.length - all.length + index].terminate()
}

/** An own worker of the application, and how to call it. */
function ownWorker(t) {
  const worker = new Worker('/tests/browser/tabs/tabs_worker.js', { type: 'module' })
  atEnd(t, () => worker.terminate())
  let id = 0
  return (what, args = {}) =>
    new Promise((resolve, reject) => {
      const mine = ++id
      worker.addEventListener('message', ({ data }) => {
        if (data.id !== mine) return
        if (data.error === undefined) resolve(data.result)
        else reject(Object.assign(new Error(data.error.message), { code: data.error.code }))
      })
      worker.postMessage({ id: mine, what, args })
    })
}

function interfaceTests() {
  it('reads and writes', async (t) => {
    const { db } = await clients(t, 1)
    await db.put('a', 'ä€😀')
    await db.batch([
      { type: 'put', key: 'b', value: '2' },
      { type: 'del', key: 'none' },
    ])
    assert.equal(await db.get('a'), 'ä€😀')
    assert.equal(await db.get('none'), undefined)
    assert.deepEqual(await db.getMany(['b', 'none', 'a']), ['2', undefined, 'ä€😀'])
    assert.deepEqual([await db.has('b'), await db.has('c')], [true, false])
    await db.del('b')
    assert.equal(await db.count(), 1)
    await db.clear()
    assert.equal(await db.count(), 0)
    assert.equal(db.storage, storage)
    assert.equal(db instanceof Database, true)
    assert.equal(db.status, 'open')
  })

  it('reads what was written before in the same turn, in order', async (t) => {
    const { db } = await clients(t, 1)
    const seen = []
    void db.put('k', '1')
    seen.push(db.get('k'))
    void db.put('k', '2')
    seen.push(db.get('k'), db.count())
    void db.del('k')
    seen.push(db.get('k'), db.count())
    assert.deepEqual(await Promise.all(seen), ['1', '2', 1, undefined, 0])
  })

  it('walks ranges of all kinds, over many pages', async (t) => {
    const { db } = await clients(t, 1)
    const key = (i) => `k${String(i).padStart(5, '0')}`
    await db.batch(Array.from({ length: 3500 }, (_, i) => ({ type: 'put', key: key(i), value: String(i) })))
    const all = await rowsOf(db.entries())
    assert.equal(all.length, 3500)
    assert.deepEqual(all[3499], [key(3499), '3499'])
    assert.deepEqual(await rowsOf(db.keys({ gt: key(5), lte: key(7) })), [key(6), key(7)])
    assert.deepEqual(await rowsOf(db.values({ gte: key(5), lt: key(7), reverse: true })), ['6', '5'])
    assert.deepEqual(await rowsOf(db.keys({ prefix: 'k0349', reverse: true, limit: 2 })), [key(3499), key(3498)])
    assert.equal((await rowsOf(db.values({ limit: 1234 }))).length, 1234)
    assert.equal(await db.count({ prefix: 'k00' }), 1000)
    for await (const found of db.keys()) if (found === key(20)) break
    await db.clear({ prefix: 'k00', limit: 10 })
    await db.clear({ gte: key(3000) })
    assert.deepEqual((await rowsOf(db.keys({ limit: 1 })))[0], key(10))
    assert.equal(await db.count(), 2990)
    assert.equal((await db.stats()).iterators, 0)
  })

  it('has the encodings, in the page', async (t) => {
    const { db } = await clients(t, 1)
    const things = db.keyspace('things', { keyEncoding: 'tuple', valueEncoding: 'json' })
    await things.put(['a', 2], { n: [1, null] })
    await things.put(['a', 10], 'ten')
    assert.deepEqual(await rowsOf(things.entries({ prefix: ['a'] })), [
      [['a', 2], { n: [1, null] }],
      [['a', 10], 'ten'],
    ])
    const bytes = new Uint8Array([0, 255, 7]).subarray(0, 2)
    const written = db.put('raw', bytes, { valueEncoding: 'view' })
    bytes[0] = 9
    await written
    assert.deepEqual([...(await db.get('raw', { valueEncoding: 'view' }))], [0, 255])
    assert.deepEqual([...(await db.get('raw', { valueEncoding: 'buffer' }))], [0, 255])
    const large = new Uint8Array(3 << 20).fill(7)
    await db.put('large', large, { valueEncoding: 'view' })
    const back = await db.get('large', { valueEncoding: 'view' })
    assert.equal(back.length, large.length)
    assert.equal(back[back.length - 1], 7)
  })

  it('has keyspaces, nested ones too', async (t) => {
    const { db, other } = await clients(t, 2)
    const users = db.keyspace('users', { valueEncoding: 'json' })
    const inner = users.keyspace('sessions')
    assert.equal(users instanceof Keyspace, true)
    await db.batch([
      { type: 'put', key: 'a', value: 'plain' },
      { type: 'put', key: 'a', value: { n: 1 }, keyspace: users },
      { type: 'put', key: 'a', value: 7, keyspace: inner },
    ])
    assert.deepEqual([await db.get('a'), await users.get('a'), await inner.get('a')], ['plain', { n: 1 }, 7])
    assert.deepEqual(await other.keyspaces(), ['users', 'users/sessions'])
    assert.equal(await other.keyspace('users', { valueEncoding: 'json' }).keyspace('sessions').get('a'), 7)
    assert.equal(await db.dropKeyspace('users'), true)
    assert.equal(await db.dropKeyspace('users'), false)
    assert.equal((await errorOf(users.get('a'))).code, 'ERR_DB_CLOSED')
    assert.equal((await errorOf(inner.put('a', 1))).code, 'ERR_DB_CLOSED')
    assert.deepEqual(await db.keyspaces(), [])
    assert.equal(await db.keyspace('users').get('a'), undefined)
  })

  it('tells each caller of its own failure alone', async (t) => {
    const { db } = await clients(t, 1)
    const gone = db.keyspace('gone')
    await gone.put('a', '1')
    await db.dropKeyspace('gone')
    const results = await Promise.allSettled([
      db.put('a', '1'),
      gone.put('b', '2'),
      db.put('c', '3'),
      db.put('\ud800', 'half a pair'),
      db.put('d', '4'),
      db.get('c'),
      db.put('k'.repeat(70_000), 'v'),
      db.put('e', '5'),
    ])
    assert.deepEqual(
      results.map(({ status, value, reason }) => reason?.code ?? reason?.constructor.name ?? value ?? status),
      ['fulfilled', 'ERR_DB_CLOSED', 'fulfilled', 'TypeError', 'fulfilled', '3', 'ERR_DB_KEY_TOO_LARGE', 'fulfilled'],
    )
    assert.deepEqual(await rowsOf(db.keys()), ['a', 'c', 'd', 'e'])
  })

  it('has snapshots', async (t) => {
    const { db, other } = await clients(t, 2)
    await db.put('a', '1')
    const snapshot = other.snapshot()
    assert.equal(await other.get('a', { snapshot }), '1')
    await db.put('a', '2')
    assert.equal(await other.get('a', { snapshot }), '1')
    assert.deepEqual(await rowsOf(other.entries({ snapshot })), [['a', '1']])
    assert.equal(snapshot.sequence > 0, true)
    assert.equal((await errorOf(() => db.get('a', { snapshot }))) instanceof TypeError, true)
    snapshot.close()
    assert.equal((await errorOf(other.get('a', { snapshot }))).code, 'ERR_DB_CLOSED')
    assert.equal(await other.get('a'), '2')
    assert.equal((await db.stats()).snapshots, 0)
  })

  it('tells watchers of every client, in order', async (t) => {
    const { db, other } = await clients(t, 2, { valueEncoding: 'json' })
    /** @type {any[]} */
    const seen = []
    const watcher = other.watch({ prefix: 'w' }, (changes) => seen.push(...changes))
    await other.count()
    for (let i = 0; i < 20; i++) await (i % 2 ? db : other).put(`w${i}`, i)
    await db.put('x', 1)
    await db.del('w3')
    await other.count()
    await wait(50)
    assert.deepEqual(
      seen.map(({ type, key, value }) => [type, key, value]),
      [...Array.from({ length: 20 }, (_, i) => ['put', `w${i}`, i]), ['del', 'w3', undefined]],
    )
    watcher.close()
    const waiting = other.watch()
    const next = waiting.next()
    await other.count()
    await db.clear({ prefix: 'w' })
    assert.equal((await next).value[0].type, 'clear')
    await other.close()
    assert.equal((await waiting.next()).done, true)
  })

  it('looks after itself', async (t) => {
    const { db, other } = await clients(t, 2)
    for (let i = 0; i < 200; i++) void db.put(`k${i}`, 'v'.repeat(1000))
    await other.sync()
    await other.flush()
    const seen = []
    await other.compact({ onProgress: (done, total) => void seen.push([done, total]) })
    assert.equal(seen.length > 0, true)
    assert.equal((await other.verify()).errors, 0)
    const { entries, storage: kept, quota } = { entries: await db.count(), ...(await other.stats()) }
    assert.deepEqual([entries, kept], [200, db.storage])
    assert.equal(quota === undefined || quota > 0, true)
    const reason = new Error('enough')
    assert.equal(await errorOf(db.verify({ signal: AbortSignal.abort(reason) })), reason)
  })

  it('stops a walk that is aborted', async (t) => {
    const { db } = await clients(t, 1)
    await db.batch(Array.from({ length: 100 }, (_, i) => ({ type: 'put', key: `k${i}`, value: 'v' })))
    const controller = new AbortController()
    const rows = db.keys({ signal: controller.signal })
    await rows.next()
    controller.abort()
    assert.equal((await errorOf(rows.next())).name, 'AbortError')
    await db.count()
    assert.equal((await db.stats()).iterators, 0)
  })
}

function misuseTests() {
  it('names the fix for methods without a promise', async (t) => {
    const { db } = await clients(t, 1)
    for (const name of ['getSync', 'putSync', 'entriesSync', 'batchSync', 'closeSync', 'syncSync', 'countSync']) {
      const error = await errorOf(() => db[name]('a', 'b'))
      assert.equal(error instanceof TypeError, true)
      assert.match(error.message, /await/)
    }
    assert.equal((await errorOf(() => Database.openSync('x'))) instanceof TypeError, true)
    assert.match((await errorOf(Database.open('x', { storge: 'opfs' }))).message, /storge/)
    assert.match((await errorOf(Database.open('x', { storage: 'disk' }))).message, /'opfs'/)
    assert.match((await errorOf(db.put('a', undefined))).message, /undefined/)
    assert.match((await errorOf(db.get(7))).message, /String\(key\)/)
    assert.match((await errorOf(() => db.entries({ from: 1 }))).message, /from/)
  })

  it('fails when it is closed', async (t) => {
    const { db, name } = await clients(t, 1)
    const written = db.put('a', '1')
    await db.close()
    await written
    await db.close()
    for (const call of [() => db.get('a'), () => db.put('a', '2'), () => db.count(), () => db.entries().next()]) {
      assert.equal((await errorOf(call)).code, 'ERR_DB_CLOSED')
    }
    const again = await Database.open(name, { storage, createIfMissing: false })
    assert.equal(await again.get('a'), '1')
    await again.close()
  })

  it('knows what is there', async (t) => {
    const { name } = await clients(t, 1)
    assert.equal((await errorOf(Database.open(name, { storage, errorIfExists: true }))).code, 'ERR_DB_EXISTS')
    const none = `none ${used++}`
    assert.equal((await errorOf(Database.open(none, { storage, createIfMissing: false }))).code, 'ERR_DB_MISSING')
    assert.equal((await errorOf(Database.open(none, { storage, readOnly: true }))).code, 'ERR_DB_MISSING')
    const reader = await Database.open(name, { storage, readOnly: true })
    atEnd(t, () => reader.close())
    assert.equal((await errorOf(reader.put('a', '1'))).code, 'ERR_DB_READONLY')
    assert.equal(await reader.get('a'), undefined)
  })

  it('is in memory only when that is asked for', async (t) => {
    const db = await Database.open('in memory', { storage: 'memory' })
    atEnd(t, () => db.close())
    await db.put('a', '1')
    assert.deepEqual([await db.get('a'), db.storage], ['1', 'memory'])
    const local = await Database.open(':memory:')
    local.putSync('a', '1')
    assert.equal(local.getSync('a'), '1')
    assert.equal(local instanceof Database, true)
    local.closeSync()
    const own = Database.open('x', { host: new MemoryHost() })
    ;(await own).closeSync()
  })
}

function leaderTests() {
  it('goes on when the leader is closed', async (t) => {
    const { db, other } = await clients(t, 2)
    await db.put('a', '1')
    const pending = [other.put('b', '2'), other.get('a')]
    await db.close()
    await Promise.all(pending)
    await other.put('c', '3')
    assert.deepEqual(await rowsOf(other.keys()), ['a', 'b', 'c'])
    assert.equal(other.leads, true)
  })

  it('goes on when the leader is killed, and says what was lost', async (t) => {
    const { all, db, other } = await clients(t, 2)
    const users = other.keyspace('users')
    await users.put('u', '1')
    await db.batch(Array.from({ length: 2000 }, (_, i) => ({ type: 'put', key: `k${i}`, value: 'v' })))
    const snapshot = other.snapshot()
    await other.get('k0', { snapshot })
    const rows = other.keys()
    await rows.next()
    const seen = []
    other.watch({ prefix: 'w' }, (changes) => seen.push(...changes))
    await other.count()
    killLeader(all)
    const began = performance.now()
    await other.put('w1', 'v')
    const took = performance.now() - began
    assert.equal(took < 1500, true, `it took ${took} ms`)
    assert.equal(await users.get('u'), '1')
    assert.equal((await errorOf(other.get('k0', { snapshot }))).code, 'ERR_DB_LEADER_LOST')
    assert.equal((await errorOf(rowsOf(rows))).code, 'ERR_DB_LEADER_LOST')
    assert.equal((await rowsOf(other.keys({ prefix: 'k' }))).length, 2000)
    await db.put('w2', 'v')
    await other.count()
    await wait(50)
    const told = seen.filter(({ type }) => type !== 'missed').map(({ key }) => key)
    if (told.length === seen.length) assert.deepEqual(told, ['w1', 'w2']) // else the dying leader made w1
    assert.equal((await errorOf(other.get('k0', { snapshot }))).retryable, true)
  })

  it('does not make a keyspace anew that was dropped', async (t) => {
    const { all, db, other } = await clients(t, 2)
    const users = other.keyspace('users')
    await users.put('u', '1')
    await db.dropKeyspace('users')
    killLeader(all)
    assert.equal((await errorOf(users.put('u', '2'))).code, 'ERR_DB_CLOSED')
    assert.deepEqual(await other.keyspaces(), [])
  })

  it('makes each of many waiting writes once', async (t) => {
    const { all, db, other } = await clients(t, 3)
    const random = new Random(seed)
    await db.batch(Array.from({ length: 400 }, (_, i) => ({ type: 'put', key: `t${1000 + i}`, value: '' })))
    const writes = []
    for (let i = 0; i < 100; i++) {
      writes.push(other.clear({ prefix: 't', limit: 1 }), other.put(`n${i}`, ''))
      if (i === 30 || i === 60) {
        await wait(random.below(4))
        killLeader(all)
      }
      if (i % 10 === 0) await wait(random.below(3))
    }
    await Promise.all(writes)
    assert.deepEqual([await db.count({ prefix: 't' }), await db.count({ prefix: 'n' })], [300, 100])
  })

  it('is the same as a map, over two clients and dying leaders', async (t) => {
    const { all } = await clients(t, 2)
    const random = new Random(seed)
    const model = new Map()
    for (let step = 0; step < 250; step++) {
      const db = all[random.below(2)]
      const key = `k${random.below(30)}`
      const what = random.below(20)
      if (what < 8) model.set(key, String(step)) && (await db.put(key, String(step)))
      else if (what < 11) (model.delete(key), await db.del(key))
      else if (what < 16) assert.equal(await db.get(key), model.get(key), `step ${step}`)
      else if (what < 19) {
        const rows = [...model].sort(([a], [b]) => (a < b ? -1 : 1))
        assert.deepEqual(await rowsOf(db.entries()), rows, `step ${step}`)
      } else if (step % 3 === 0) killLeader(all)
    }
  })
}

function workerTests() {
  it('has the engine itself in a worker of the application', async (t) => {
    if (storage !== 'opfs') return
    const name = `own ${used++}`
    atEnd(t, () => deleteDatabase(name))
    const call = ownWorker(t)
    await call('open', { name, options: { sync: true } })
    assert.deepEqual(await call('puts', { entries: [['a', '1']] }), [['a', '1']])
    const db = await Database.open(name)
    atEnd(t, () => db.close())
    assert.equal(await db.get('a'), '1')
    const seen = []
    db.watch({}, (changes) => seen.push(...changes))
    await db.put('b', '2')
    assert.deepEqual(await call('puts', { entries: [['c', '3']] }), [
      ['a', '1'],
      ['b', '2'],
      ['c', '3'],
    ])
    await wait(50)
    assert.deepEqual(
      seen.map(({ key }) => key),
      ['b', 'c'],
    )
    const second = ownWorker(t)
    assert.equal((await errorOf(second('open', { name, options: { sync: true } }))).code, 'ERR_DB_LOCKED')
    await second('open', { name })
    assert.equal(await second('get', { key: 'c' }), '3')
    assert.equal((await errorOf(second('puts', { entries: [['d', '4']] }))).code, 'TypeError')
    await call('close')
    assert.equal(await second('get', { key: 'c' }), '3')
    assert.equal(await db.get('b'), '2')
    await second('close')
  })
}

/** @param {{ storage?: string, seed: number }} args */
export async function runCases(args, emit) {
  storage = args.storage ?? defaultStorage()
  seed = args.seed
  describe('the interface in a page', interfaceTests)
  describe('misuse', misuseTests)
  describe('leaders', leaderTests)
  describe('workers', workerTests)
  return run((line) => emit('line', line))
}

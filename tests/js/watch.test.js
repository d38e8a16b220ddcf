// watch.test.js: watch() tells of every commit, once, in order, and of nothing else.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'

import { Database } from 'varve'

/** @param {import('node:test').TestContext} t @param {any} [options] */
async function openMemory(t, options) {
  const db = await Database.open(':memory:', options)
  t.after(() => db.close())
  return db
}

const turn = () => new Promise((resolve) => setImmediate(resolve))

describe('watch', () => {
  it('tells each commit in its order, and only what is in the range', async (t) => {
    const db = await openMemory(t)
    /** @type {any[]} */
    const seen = []
    db.putSync('a:0', 'before')
    db.watch({ prefix: 'a:' }, (changes) => seen.push(changes))
    db.putSync('a:1', 'one')
    db.putSync('b:1', 'elsewhere')
    const both = [db.put('a:2', 'two'), db.del('a:1'), db.put('c', 'elsewhere')]
    await Promise.all(both)
    await db.batch([
      { type: 'put', key: 'a:3', value: 'three' },
      { type: 'put', key: 'a:3', value: 'again' },
    ])
    await turn()
    assert.deepEqual(seen.flat(), [
      { type: 'put', key: 'a:1', value: 'one' },
      { type: 'put', key: 'a:2', value: 'two' },
      { type: 'del', key: 'a:1' },
      { type: 'put', key: 'a:3', value: 'three' },
      { type: 'put', key: 'a:3', value: 'again' },
    ])
    assert.equal(seen.at(-1).length, 2)
  })

  it('is a loop without a listener, and ends with close, signal and the database', async (t) => {
    const db = await openMemory(t, { valueEncoding: 'json' })
    const watcher = db.watch({ gte: 'k', lt: 'l' })
    await db.put('k1', { n: 1 })
    await db.put('z', { n: 0 })
    await db.put('k2', { n: 2 })
    const got = []
    for await (const changes of watcher) {
      got.push(...changes.map(({ key, value }) => [key, value.n]))
      if (got.length === 2) break
    }
    assert.deepEqual(got, [
      ['k1', 1],
      ['k2', 2],
    ])
    const controller = new AbortController()
    const stopped = db.watch({ signal: controller.signal })
    const waiting = stopped.next()
    controller.abort()
    assert.equal((await waiting).done, true)
    const last = db.watch().next()
    await db.close()
    assert.equal((await last).done, true)
  })

  it('keeps keyspaces apart and gives each watcher its own encodings', async (t) => {
    const db = await openMemory(t)
    const users = db.keyspace('users', { valueEncoding: 'json' })
    /** @type {any[]} */
    const told = []
    users.watch({}, (changes) => told.push(...changes))
    users.watch({ valueEncoding: 'utf8' }, (changes) => told.push(...changes))
    await db.put('u', 'of the default keyspace')
    await db.batch([{ type: 'put', key: 'u', value: { a: 1 }, keyspace: users }])
    await turn()
    assert.deepEqual(told, [
      { type: 'put', key: 'u', value: { a: 1 } },
      { type: 'put', key: 'u', value: '{"a":1}' },
    ])
  })

  it('tells of cleared ranges that touch its own', async (t) => {
    const db = await openMemory(t)
    /** @type {any[]} */
    const told = []
    db.watch({ prefix: 'm' }, (changes) => told.push(...changes))
    await db.clear({ gte: 'a', lt: 'm' })
    await db.clear({ gte: 'l', lt: 'n' })
    await db.clear()
    await turn()
    assert.deepEqual(
      told,
      [{ type: 'clear', gte: Buffer.from('l'), lt: Buffer.from('n') }, { type: 'clear' }].map(view),
    )
  })

  it('tells nothing of a commit that failed, and what was passed, not what became of it', async (t) => {
    const db = await openMemory(t, { valueEncoding: 'view' })
    /** @type {any[]} */
    const told = []
    db.watch({}, (changes) => told.push(...changes))
    await assert.rejects(db.put('k'.repeat(65537), 'x'))
    const bytes = new Uint8Array([1, 2, 3])
    const put = db.put('k', bytes)
    bytes[0] = 9
    await put
    db.putSync('s', bytes)
    bytes[0] = 7
    await turn()
    assert.deepEqual(
      told.map(({ value }) => value[0]),
      [1, 9],
    )
  })
})

/** @param {any} change */
function view(change) {
  return Object.fromEntries(
    Object.entries(change).map(([name, value]) => [name, value instanceof Uint8Array ? new Uint8Array(value) : value]),
  )
}

// nesting.test.js: keyspaces inside keyspaces, encodings for one call, signals.

import assert from 'node:assert/strict'
import { it } from 'node:test'

import { Database } from 'varve'

/** @param {import('node:test').TestContext} t @param {any} [options] */
async function openMemory(t, options) {
  const db = await Database.open(':memory:', options)
  t.after(() => db.close())
  return db
}

it('nests keyspaces by name, and drops them together', async (t) => {
  const db = await openMemory(t)
  const users = db.keyspace('users', { valueEncoding: 'json' })
  const sessions = users.keyspace('sessions')
  assert.equal(sessions.name, 'users/sessions')
  await sessions.put('s1', { user: 'u1' })
  await users.put('u1', { name: 'Alice' })
  await db.keyspace('users2').put('a', 'stays')
  assert.deepEqual(await db.keyspace('users/sessions', { valueEncoding: 'json' }).get('s1'), { user: 'u1' })
  assert.deepEqual([...users.keysSync()], ['u1'])
  assert.deepEqual(db.keyspaces(), ['users', 'users/sessions', 'users2'])
  assert.equal(await db.dropKeyspace('users'), true)
  assert.deepEqual(db.keyspaces(), ['users2'])
  assert.equal(await db.keyspace('users2').get('a'), 'stays')
  await assert.rejects(sessions.get('s1'), { code: 'ERR_DB_CLOSED' })
})

it('takes encodings for one call, and for one change of a batch', async (t) => {
  const db = await openMemory(t)
  await db.put('a', { n: 1 }, { valueEncoding: 'json' })
  assert.equal(await db.get('a'), '{"n":1}')
  assert.deepEqual(await db.get('a', { valueEncoding: 'json' }), { n: 1 })
  assert.deepEqual(await db.getMany(['a'], { valueEncoding: 'json' }), [{ n: 1 }])
  assert.equal(await db.has(Buffer.from('a'), { keyEncoding: 'buffer' }), true)
  await db.batch(
    [
      { type: 'put', key: 'b', value: [2], valueEncoding: 'json' },
      { type: 'put', key: 'c', value: 'plain' },
      { type: 'del', key: Buffer.from('a'), keyEncoding: 'view' },
    ],
    { keyEncoding: 'utf8' },
  )
  assert.deepEqual([...db.entriesSync()], [['b', '[2]'], ['c', 'plain']]) // prettier-ignore
  const keys = [...db.keysSync({ gte: Buffer.from('c'), keyEncoding: 'view' })]
  assert.deepEqual(keys, [new Uint8Array([99])])
  assert.equal(db.countSync({ lt: Buffer.from('c'), keyEncoding: 'view' }), 1)
  await db.clear({ gte: Buffer.from('b'), keyEncoding: 'view' })
  assert.equal(db.countSync(), 0)
  await assert.rejects(db.get('a', { valueEncoding: 'jsn' }), /Did you mean 'json'/)
})

it('ends walks and long calls with a signal', async (t) => {
  const db = await openMemory(t)
  for (let i = 0; i < 3000; i++) db.put(`k${i}`, 'v')
  const controller = new AbortController()
  let rows = 0
  await assert.rejects(
    async () => {
      for await (const _ of db.entries({ signal: controller.signal })) if (++rows === 20) controller.abort()
    },
    { name: 'AbortError' },
  )
  assert.equal(rows, 20)
  assert.equal(db.stats().iterators, 0)
  await assert.rejects(db.verify({ signal: AbortSignal.abort() }), { name: 'AbortError' })
  await db.flush()
  const during = new AbortController()
  await assert.rejects(db.verify({ onProgress: () => during.abort(), signal: during.signal }), { name: 'AbortError' })
  assert.equal((await db.verify()).errors, 0)
  await assert.rejects(async () => db.entries({ signal: /** @type {any} */ ({}) }).next(), /must be an AbortSignal/)
})

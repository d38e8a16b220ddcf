// events.test.js: what a database tells of itself, and of programs that forget to close what they opened.

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { Database, HostError, MemoryHost } from '../../bindings/js/index.js'
import { atEnd, runNode } from './support.js'

const turn = () => new Promise((resolve) => setImmediate(resolve))

it('tells once that it was closed, after it was', async () => {
  const db = await Database.open(':memory:')
  const told = []
  const removed = () => told.push('removed')
  db.on('closed', () => told.push(db.status))
    .once('closed', () => told.push('once'))
    .on('closed', removed)
    .off('closed', removed)
  db.closeSync()
  assert.deepEqual(told, [])
  await turn()
  db.closeSync()
  await turn()
  assert.deepEqual(told, ['closed', 'once'])
})

it('refuses events that there are not', async (t) => {
  const db = await Database.open(':memory:')
  atEnd(t, () => db.close())
  assert.throws(() => db.on('close', () => {}), /Did you mean 'closed'/)
  assert.throws(() => db.on('closed'), TypeError)
})

/** A host whose files cannot be synced any more once `broken` is set. */
class BreakingHost extends MemoryHost {
  broken = false
  open(path, flags) {
    const place = super.open(path, flags)
    const open = place.open.bind(place)
    place.open = (...args) => {
      const file = open(...args)
      file.sync = () => {
        if (this.broken) throw new HostError('IO', 'the disk is gone')
      }
      return file
    }
    return place
  }
}

it('tells of a failure in the background, once', async () => {
  const host = new BreakingHost()
  const db = await Database.open('x', { host, syncInterval: 5 })
  const told = []
  db.on('error', (error) => told.push(error))
  await db.put('a', 'b')
  host.broken = true
  await db.put('a', 'c').catch(() => {})
  for (let i = 0; i < 100 && told.length === 0; i++) await wait(10)
  assert.ok(told.length > 0)
  assert.match(told[0].code, /^ERR_DB_(IO|FAILED)$/)
  assert.match(told[0].message, /the disk is gone/)
  await db.put('a', 'd').catch(() => {})
  await wait(30)
  const texts = told.map(String)
  assert.equal(new Set(texts).size, texts.length, 'each reason once')
  host.broken = false
  await db.close().catch(() => {})
})

async function collected(seen) {
  for (let i = 0; i < 100 && !seen(); i++) {
    globalThis.gc()
    await wait(5)
  }
}
const noGc = globalThis.gc === undefined && 'needs --expose-gc'

it('warns of iterators and snapshots that nobody closed', { skip: noGc }, async (t) => {
  const db = await Database.open(':memory:')
  atEnd(t, () => db.close())
  const told = []
  db.on('warning', (warning) => told.push(warning.message))
  for (let i = 0; i < 10; i++) await db.put(`k${i}`, 'x')
  const abandon = () => {
    for (let i = 0; i < 3; i++) db.keysSync().next()
    db.snapshot()
    for (const key of db.entriesSync()) if (key) break
    ;[...db.valuesSync()]
    db.snapshot().close()
  }
  abandon()
  await collected(() => told.length >= 2 && db.stats().iterators + db.stats().snapshots === 0)
  assert.equal(db.stats().iterators + db.stats().snapshots, 0)
  assert.equal(told.length, 2, 'once for each call')
  assert.match(told.sort()[1], /^:memory:: what snapshot\(\) opened was never closed/)
  assert.match(told[0], /^:memory:: what keys\(\) opened was never closed/)
})

it('warns as the process does when nobody listens', async () => {
  const source = `
    import { setTimeout as wait } from 'node:timers/promises'
    import v8 from 'node:v8'
    import vm from 'node:vm'
    v8.setFlagsFromString('--expose-gc')
    const gc = vm.runInNewContext('gc')
    const db = await Database.open(':memory:')
    ;(() => db.snapshot())()
    for (let i = 0; i < 50 && db.stats().snapshots > 0; i++) { gc(); await wait(5) }
    await wait(5)`
  const { code, stderr } = await runNode(source).ended
  assert.equal(code, 0, stderr)
  assert.match(stderr, /VarveWarning: :memory:: what snapshot\(\) opened was never closed/)
})

// turns.test.js: writes of one turn share one commit; reads see every write made before them; background work keeps
// nothing alive.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { Database, HostError, MemoryHost } from '../../bindings/js/index.js'
import { atEnd, errorOf, runNode } from './support.js'

async function openMemory(t, options) {
  const db = await Database.open(':memory:', options)
  atEnd(t, () => db.close())
  return db
}

/** Commits that `run` makes. */
async function commitsOf(db, run) {
  const before = db.stats().commits
  await run()
  return db.stats().commits - before
}

describe('writes of one turn', () => {
  it('share one commit', async (t) => {
    const db = await openMemory(t)
    const commits = await commitsOf(db, () =>
      Promise.all([
        ...Array.from({ length: 500 }, (_, i) => db.put(`k${i}`, 'v')),
        db.del('k1'),
        db.batch([{ type: 'put', key: 'b', value: '1' }]),
        db.clear({ prefix: 'k2' }),
        db.keyspace('other').put('x', '1'),
      ]),
    )
    // Opening a keyspace flushes what was waiting and makes a commit of its own.
    assert.ok(commits <= 3, `${commits} commits`)
    assert.equal(await db.get('k1'), undefined)
    assert.equal(await db.count(), 500 - 1 - 111 + 1)
  })

  it('share one commit among callers that each await their own', async (t) => {
    const db = await openMemory(t)
    const caller = async (name) => {
      for (let i = 0; i < 50; i++) {
        // Callers are apart by some microtasks, as programs are that await something else first.
        for (let depth = name % 7; depth >= 0; depth--) await null
        await db.put(`${name} ${i}`, 'v')
      }
    }
    const commits = await commitsOf(db, () => Promise.all(Array.from({ length: 100 }, (_, i) => caller(i))))
    assert.ok(commits >= 50 && commits <= 60, `${commits} commits for 5000 puts of 100 callers`)
    assert.equal(await db.count(), 5000)
  })

  it('are there for every read that follows, awaited or not', async (t) => {
    const db = await openMemory(t)
    void db.put('a', '1')
    assert.equal(db.getSync('a'), '1')
    void db.put('a', '2')
    const later = db.get('a')
    void db.put('a', '3')
    assert.equal(await later, '2')
    void db.put('b', '1')
    assert.deepEqual([...db.keysSync()], ['a', 'b'])
    void db.del('a')
    assert.equal(db.countSync(), 1)
    void db.put('c', '1')
    assert.deepEqual(await db.getMany(['a', 'c']), [undefined, '1'])
    void db.put('d', '1')
    const snapshot = db.snapshot()
    void db.put('d', '2')
    assert.equal(db.getSync('d', { snapshot }), '1')
    snapshot.close()
    void db.put('e', 'first')
    db.putSync('e', 'second')
    assert.equal(await db.get('e'), 'second')
    void db.clear()
    assert.equal(await db.has('e'), false)
  })

  it('take keys and values as they are at the call', async (t) => {
    const db = await openMemory(t, { valueEncoding: 'buffer' })
    const value = Buffer.from('before')
    const done = db.put('a', value)
    value.fill('x')
    await done
    assert.equal(Buffer.from(await db.get('a')).toString(), 'before')
  })

  it('let timers run while a loop awaits each', async (t) => {
    const db = await openMemory(t)
    let ticks = 0
    const timer = setInterval(() => ticks++, 1)
    const end = Date.now() + 10_000
    let puts = 0
    while (ticks < 10 && Date.now() < end) await db.put(`k${puts++ % 1000}`, 'v')
    clearInterval(timer)
    assert.ok(ticks >= 10, `${ticks} ticks beside ${puts} puts`)
  })
})

describe('outcomes', () => {
  it('are each caller’s own where one is at fault', async (t) => {
    const db = await openMemory(t)
    const dropped = db.keyspace('gone')
    await db.dropKeyspace('gone')
    const outcomes = await Promise.allSettled([
      db.put('a', '1'),
      dropped.put('b', '2'),
      db.put('c', 5),
      db.put('k'.repeat(65537), 'too large'),
      db.batch([
        { type: 'put', key: 'd', value: '1' },
        { type: 'put', key: 'e', value: '2', keyspace: dropped },
      ]),
      db.put('f', '3'),
    ])
    const codes = outcomes.map(({ reason }) => (reason === undefined ? 'ok' : (reason.code ?? reason.name)))
    assert.deepEqual(codes, ['ok', 'ERR_DB_CLOSED', 'TypeError', 'ERR_DB_KEY_TOO_LARGE', 'ERR_DB_CLOSED', 'ok'])
    assert.deepEqual([...db.keysSync()], ['a', 'f'])
  })

  it('are failures for all where the disk fails, and nothing of the group is stored', async (t) => {
    const { host, faults } = faultyHost()
    const db = await Database.open('place', { host })
    atEnd(t, () => db.close().catch(() => {}))
    await db.put('before', '1')
    faults.write = new HostError('FULL', 'the disk is full', new Error('ENOSPC'))
    const outcomes = await Promise.allSettled([db.put('a', '1'.repeat(100)), db.put('b', '2'), db.del('before')])
    for (const { status, reason } of outcomes) {
      assert.equal(status, 'rejected')
      assert.equal(reason.code, 'ERR_DB_FULL')
      assert.match(reason.message, /disk is full/)
      assert.equal(reason.cause?.message, 'ENOSPC')
    }
    assert.equal(await db.get('before'), '1')
    assert.equal(await db.get('a'), undefined)
    faults.write = null
    await db.put('after', '1')
    assert.deepEqual([...db.keysSync()], ['after', 'before'])
  })

  it('of a sync that failed are final', async (t) => {
    const { host, faults } = faultyHost()
    const db = await Database.open('place', { host })
    atEnd(t, () => db.close().catch(() => {}))
    await db.put('before', '1')
    faults.sync = new HostError('IO', 'the disk is broken')
    assert.equal((await errorOf(db.put('a', '1', { durability: 'strict' }))).code, 'ERR_DB_IO')
    faults.sync = null
    assert.equal((await errorOf(db.put('b', '1'))).code, 'ERR_DB_FAILED')
    assert.equal(await db.get('before'), '1')
  })
})

/** A host in memory whose writes and syncs fail on request. */
function faultyHost() {
  const memory = new MemoryHost()
  const faults = { write: null, sync: null }
  const wrapFile = (file) => ({
    read: (...args) => file.read(...args),
    write(...args) {
      if (faults.write !== null) throw faults.write
      file.write(...args)
    },
    allocate(size) {
      if (faults.write !== null) throw faults.write
      file.allocate(size)
    },
    truncate: (size) => file.truncate(size),
    size: () => file.size(),
    sync() {
      if (faults.sync !== null) throw faults.sync
      file.sync()
    },
    close: () => file.close(),
  })
  const host = {
    name: 'faulty',
    nowUs: () => memory.nowUs(),
    random: (bytes) => memory.random(bytes),
    memory: () => 0,
    open(path, flags) {
      const place = memory.open(path, flags)
      return {
        open: (...args) => wrapFile(place.open(...args)),
        remove: (...args) => place.remove(...args),
        syncDir: () => place.syncDir(),
        list: () => place.list(),
        lock: (ms) => place.lock(ms),
        unlock: () => place.unlock(),
        close: () => place.close(),
      }
    },
  }
  return { host, faults }
}

describe('background work', () => {
  it('syncs relaxed commits within the interval', async (t) => {
    const db = await Database.open('place', { host: new MemoryHost(), syncInterval: 20 })
    atEnd(t, () => db.close())
    await db.put('a', '1')
    const before = db.stats().syncs
    await wait(120)
    assert.ok(db.stats().syncs > before, 'a sync happened by itself')
    const after = db.stats().syncs
    await wait(60)
    assert.equal(db.stats().syncs, after, 'and none when nothing was written')
  })

  it('does not keep the process alive, and what was acknowledged survives it', async (t) => {
    const { mkdtempSync, rmSync } = await import('node:fs')
    const directory = mkdtempSync('/tmp/varve-js-')
    atEnd(t, () => rmSync(directory, { recursive: true, force: true }))
    const source = `
      const db = await Database.open(process.argv[1], { syncInterval: 60000 })
      const rows = db.keys()
      for (let i = 0; i < 20000; i++) void db.put('k' + i, 'x'.repeat(200))
      await db.put('last', '1')
      void db.put('not awaited', '1')`
    const since = Date.now()
    const { code, stderr } = await runNode(source, [`${directory}/db`]).ended
    assert.equal(code, 0, stderr)
    assert.ok(Date.now() - since < 20000)
    const db = await Database.open(`${directory}/db`)
    atEnd(t, () => db.close())
    assert.equal(await db.count(), 20002)
  })

  it('flushes and compacts between tasks', async (t) => {
    const db = await openMemory(t, { memtable: 65536, tableSize: 65536 })
    for (let i = 0; i < 20000; i++) {
      void db.put(`k${i % 3000}`, `${i}`.padEnd(100))
      if (i % 500 === 0) await wait(0)
    }
    await wait(50)
    const stats = db.stats()
    assert.ok(stats.flushes > 3, JSON.stringify(stats))
    assert.ok(stats.compactions + stats.trivialMoves > 0, JSON.stringify(stats))
    assert.equal(await db.count(), 3000)
  })
})

describe('what a program forgets', () => {
  it('is closed when it is collected', { skip: globalThis.gc === undefined }, async (t) => {
    const db = await openMemory(t)
    await db.put('a', '1')
    for (let i = 0; i < 20; i++) {
      db.keysSync()
      db.snapshot()
    }
    assert.ok(db.stats().iterators > 0)
    for (let i = 0; i < 50 && db.stats().iterators + db.stats().snapshots > 0; i++) {
      globalThis.gc()
      await wait(10)
    }
    assert.equal(db.stats().iterators + db.stats().snapshots, 0)
  })
})

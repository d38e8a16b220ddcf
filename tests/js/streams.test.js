// streams.test.js: backups as streams: what arrives is a database in one file, sent as fast as it is taken, and
// nothing is left behind, whatever fails.

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  createReadStream,
  createWriteStream,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  writeFileSync,
} from 'node:fs'
import { Readable, Writable } from 'node:stream'
import { describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { Database, MemoryHost } from '../../bindings/js/index.js'
import { PLACES, atEnd, errorOf, openIn, temporaryDirectory } from './support.js'

const native = fileURLToPath(new URL('../../build/release/varve', import.meta.url))

async function fill(db, count) {
  const value = (i) => `${i} ${'ü'.repeat(i % 200)}`
  await db.batch(Array.from({ length: count }, (_, i) => ({ type: 'put', key: `k${i}`, value: value(i) })))
  await db.keyspace('other', { valueEncoding: 'json' }).put('a', { b: 1 })
}

/** Temporary files of this test alone. */
function ownTmp(t) {
  const path = temporaryDirectory(t)
  mkdirSync(`${path}/tmp`)
  const before = process.env.TMPDIR
  process.env.TMPDIR = `${path}/tmp`
  atEnd(t, () => {
    if (before === undefined) delete process.env.TMPDIR
    else process.env.TMPDIR = before
  })
  return { path, left: () => readdirSync(`${path}/tmp`).filter((name) => name.includes('.varve')) }
}

/** A stream that keeps what it gets. */
function collector() {
  const chunks = []
  return { chunks, stream: new WritableStream({ write: (chunk) => void chunks.push(chunk) }) }
}
const streamOf = (chunks) => ReadableStream.from(chunks)

describe('backup to a stream', () => {
  for (const place of PLACES) {
    it(`is restored from one: ${place.name}`, async (t) => {
      const { path, left } = ownTmp(t)
      const { db, location } = await openIn(t, place)
      const host = location === 'place' ? new MemoryHost() : undefined
      await fill(db, 5000)
      const { chunks, stream } = collector()
      const report = await db.backup(stream)
      assert.equal(report.sequence, db.stats().sequence)
      assert.ok(chunks.length > 1 && chunks.every((chunk) => chunk.length <= 65536))
      const target = `${path}/new`
      await Database.restore(streamOf(chunks), target, { host })
      const back = await Database.open(target, { host })
      atEnd(t, () => back.close())
      assert.deepEqual([...back.entriesSync()], [...db.entriesSync()])
      assert.deepEqual(await back.keyspace('other', { valueEncoding: 'json' }).get('a'), { b: 1 })
      await back.verify()
      await back.put('more', 'x')
      assert.deepEqual(left(), [])
    })
  }

  it('is a file as it would be on disk, which opens in Node and natively', async (t) => {
    const { path, left } = ownTmp(t)
    const { db } = await openIn(t, PLACES[2])
    await fill(db, 3000)
    const { chunks, stream } = collector()
    const seen = []
    await db.backup(stream, { onProgress: (done, total) => void seen.push([done, total]) })
    await db.backup(Writable.toWeb(createWriteStream(`${path}/b.varve`)))
    const sent = createHash('sha256')
    for (const chunk of chunks) sent.update(chunk)
    const written = Buffer.concat(chunks)
    const size = written.length
    assert.deepEqual(seen.at(-1), [size, size])
    assert.equal(readFileSync(`${path}/b.varve`).length, size)
    writeFileSync(`${path}/a.varve`, written)
    assert.equal(
      createHash('sha256')
        .update(readFileSync(`${path}/a.varve`))
        .digest('hex'),
      sent.digest('hex'),
    )
    for (const name of ['a', 'b']) {
      const back = await Database.open(`${path}/${name}.varve`, { readOnly: true })
      assert.equal(back.countSync(), 3000)
      await back.verify()
      await back.close()
      if (!existsSync(native)) continue
      assert.match(execFileSync(native, [`${path}/${name}.varve`, 'count'], { encoding: 'utf8' }), /^3000$/m)
      execFileSync(native, [`${path}/${name}.varve`, 'verify'])
    }
    await Database.restore(Readable.toWeb(createReadStream(`${path}/b.varve`)), `${path}/c.varve`)
    assert.deepEqual(left(), [])
  })

  it('has the state of the call, and waits for a slow stream', async (t) => {
    const { left } = ownTmp(t)
    const { db } = await openIn(t, PLACES[2])
    await fill(db, 5000)
    const chunks = []
    let waiting = 0
    const slow = {
      write: async (chunk) => {
        assert.equal(++waiting, 1, 'one piece at a time')
        await new Promise((resolve) => setTimeout(resolve, 5))
        waiting--
        chunks.push(chunk)
      },
    }
    const done = db.backup(new WritableStream(slow))
    await db.put('later', 'x')
    await db.close()
    await done
    const host = new MemoryHost()
    await Database.restore(streamOf(chunks), 'x', { host })
    const back = await Database.open('x', { host })
    assert.equal(back.countSync(), 5000)
    assert.equal(back.hasSync('later'), false)
    await back.close()
    assert.deepEqual(left(), [])
  })
})

describe('a stream that fails', () => {
  it('fails the backup with its own error, and leaves nothing', async (t) => {
    const { left } = ownTmp(t)
    const { db } = await openIn(t, PLACES[2])
    await fill(db, 5000)
    const reason = new Error('the other side went away')
    let count = 0
    const write = () => {
      if (++count === 3) throw reason
    }
    assert.equal(await errorOf(db.backup(new WritableStream({ write }))), reason)
    assert.deepEqual(left(), [])
    assert.equal(db.countSync(), 5000)
  })

  it('is aborted when the backup is', async (t) => {
    const { left } = ownTmp(t)
    const { db } = await openIn(t, PLACES[2])
    await fill(db, 5000)
    for (const [how, code] of [['signal'], ['progress', 'ERR_DB_ABORTED']]) {
      const controller = new AbortController()
      let aborted
      let count = 0
      const stream = new WritableStream({
        write: () => {
          if (++count === 2 && how === 'signal') controller.abort()
        },
        abort: (reason) => (aborted = reason),
      })
      const onProgress = () => (how === 'progress' ? count < 2 : undefined)
      const error = await errorOf(db.backup(stream, { signal: controller.signal, onProgress }))
      if (code === undefined) assert.equal(error, controller.signal.reason)
      else assert.equal(error.code, code)
      assert.equal(aborted, error)
    }
    assert.deepEqual(left(), [])
  })

  it('fails the restore, which makes nothing', async (t) => {
    const { path, left } = ownTmp(t)
    const { db } = await openIn(t, PLACES[2])
    await fill(db, 5000)
    const { chunks, stream } = collector()
    await db.backup(stream)
    const reason = new Error('cut')
    const cut = new ReadableStream({
      pull: (controller) => (chunks.length > 2 ? controller.enqueue(chunks[0]) : controller.error(reason)),
    })
    chunks.length = 2
    assert.equal(await errorOf(Database.restore(cut, `${path}/new`)), reason)
    const short = await errorOf(Database.restore(streamOf([chunks[0].subarray(0, 5000)]), `${path}/new`))
    assert.match(short.code, /ERR_DB_(CORRUPT|NOT_DATABASE)/)
    assert.match((await errorOf(Database.restore(streamOf(['text']), `${path}/new`))).message, /must give Uint8Arrays/)
    let cancelled
    const endless = new ReadableStream({
      pull: (controller) => controller.enqueue(new Uint8Array(1000)),
      cancel: (why) => (cancelled = why),
    })
    const signal = AbortSignal.timeout(50)
    assert.equal(await errorOf(Database.restore(endless, `${path}/new`, { signal })), signal.reason)
    assert.equal(cancelled, signal.reason)
    assert.equal((await errorOf(Database.open(`${path}/new`, { createIfMissing: false }))).code, 'ERR_DB_MISSING')
    assert.deepEqual(left(), [])
  })
})

// value_streams.test.js: values as streams: what comes out is what went in, in the pieces that were asked for; nothing
// of a value that did not come whole is stored; and nothing stays pinned.

import assert from 'node:assert/strict'
import { Blob } from 'node:buffer'
import { createHash } from 'node:crypto'
import { createReadStream, writeFileSync } from 'node:fs'
import { Readable } from 'node:stream'
import { describe, it } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { Database } from '../../bindings/js/index.js'
import { PLACES, Random, atEnd, errorOf, openIn, runNode, seedOf, temporaryDirectory } from './support.js'

const bytes = (size, random) => {
  const made = new Uint8Array(size)
  for (let i = 0; i < size; i++) made[i] = random.next()
  return made
}

async function collect(stream) {
  const chunks = []
  for await (const chunk of stream) chunks.push(chunk)
  return { chunks, all: new Uint8Array(Buffer.concat(chunks)) }
}

async function* pieces(value, random) {
  for (let at = 0; at < value.length;) {
    const size = 1 + random.below(5000)
    yield value.subarray(at, at + size)
    at += size
  }
}

/** A source that never gives its second chunk, and says when it was stopped. */
function stuck() {
  const seen = { stopped: undefined }
  const stream = new ReadableStream({
    start: (controller) => controller.enqueue(new Uint8Array(1000)),
    cancel: (reason) => void (seen.stopped = reason),
  })
  return { seen, stream }
}

describe('putStream() and getStream()', () => {
  for (const place of PLACES) {
    it(`give what was put, of all sizes: ${place.name}`, async (t) => {
      const { db } = await openIn(t, place, { keyEncoding: 'utf8', valueEncoding: 'view' })
      const seed = seedOf()
      t.diagnostic(`VARVE_SEED=${seed}`)
      const random = new Random(seed)
      for (const size of [0, 1, 127, 128, 16383, 16384, 65536, 65537, 300000, 2097151, 2097152]) {
        const value = bytes(size, random)
        const known = random.chance(50) ? { size } : {}
        await db.putStream(`k${size}`, pieces(value, random), known)
        assert.deepEqual(await db.get(`k${size}`), value)
        const chunkSize = 1 + random.below(100000)
        const { chunks, all } = await collect(await db.getStream(`k${size}`, { chunkSize }))
        assert.deepEqual(all, value)
        assert.ok(chunks.every((chunk, i) => chunk.length === chunkSize || i === chunks.length - 1))
      }
      await db.verify()
    })
  }

  it('takes streams of the web, of Node, arrays and other views, and keeps what its keyspace is', async (t) => {
    const { db } = await openIn(t, PLACES[2])
    const path = `${temporaryDirectory(t)}/file`
    const text = 'schön '.repeat(50000)
    writeFileSync(path, text)
    await db.putStream('web', new Blob([text]).stream())
    await db.putStream('node', createReadStream(path))
    const utf16 = new Uint16Array([0x4141, 0x4242])
    const notes = db.keyspace('notes', { keyEncoding: 'tuple' })
    await notes.putStream(['a', 1], [utf16, new Uint8Array([0x43])], { durability: 'strict', size: 5 })
    assert.equal(await db.get('web'), text)
    assert.equal(await db.get('node'), text)
    assert.equal(await notes.get(['a', 1]), 'AABBC')
    assert.equal(Buffer.concat(await Readable.fromWeb(await notes.getStream(['a', 1])).toArray()).toString(), 'AABBC')
    assert.equal(await notes.getStream(['b']), undefined)
  })

  it('replaces a value at its end, and is told to watchers then', async (t) => {
    const { db } = await openIn(t, PLACES[0])
    const told = []
    db.watch(undefined, (changes) => told.push(...changes))
    await db.put('a', 'old')
    let go
    const source = (async function* () {
      yield Buffer.from('ne')
      await new Promise((resolve) => (go = resolve))
      yield Buffer.from('w')
    })()
    const key = 'a'
    const put = db.putStream(key, source)
    while (go === undefined) await wait(1)
    assert.equal(db.getSync('a'), 'old')
    void db.put('b', '1') // before the commit of the stream
    go()
    await put
    assert.equal(db.getSync('a'), 'new')
    assert.deepEqual(told, [
      { type: 'put', key: 'a', value: 'old' },
      { type: 'put', key: 'b', value: '1' },
      { type: 'put', key: 'a', value: 'new' },
    ])
  })

  it('copies a key that is changed afterwards', async (t) => {
    const { db } = await openIn(t, PLACES[0], { keyEncoding: 'view' })
    const key = new Uint8Array([1, 2])
    const put = db.putStream(key, [new Uint8Array(3)])
    key[0] = 9
    await put
    assert.deepEqual([...db.keysSync()], [new Uint8Array([1, 2])])
  })

  it('sees the value of the call: what is written afterwards does not matter', async (t) => {
    const { db } = await openIn(t, PLACES[3], { memory: 1 << 20, memtable: 65536 })
    const value = 'x'.repeat(300000)
    await db.put('a', value)
    const before = db.snapshot()
    const first = db.getStream('a')
    void db.put('a', 'y')
    const stream = await first
    await db.del('a')
    for (let i = 0; i < 30; i++) await db.put(`k${i}`, 'z'.repeat(20000))
    await db.compact()
    assert.equal(Buffer.concat((await collect(stream)).chunks).toString(), value)
    assert.equal(await db.getStream('a'), undefined)
    const { all } = await collect(await db.getStream('a', { snapshot: before }))
    assert.equal(all.length, value.length)
    before.close()
  })

  it('reads into the buffers of a BYOB reader, and no further than it is asked', async (t) => {
    const { db } = await openIn(t, PLACES[0])
    await db.put('a', 'x'.repeat(1000))
    const reader = (await db.getStream('a')).getReader({ mode: 'byob' })
    const first = await reader.read(new Uint8Array(300))
    assert.equal(first.value.length, 300)
    const second = await reader.read(new Uint8Array(9000))
    assert.deepEqual([second.value.length, second.done], [700, false])
    assert.equal((await reader.read(new Uint8Array(1))).done, true)
    await db.close() // nothing is pinned any more
  })
})

describe('a stream that does not end well', () => {
  it('stores nothing when its source fails, ends early or gives too much', async (t) => {
    const { db } = await openIn(t, PLACES[2])
    await db.put('a', 'old')
    const fault = new Error('the network is gone')
    const failing = (async function* () {
      yield new Uint8Array(100000)
      throw fault
    })()
    assert.equal(await errorOf(db.putStream('a', failing)), fault)
    const short = await errorOf(db.putStream('a', [new Uint8Array(5)], { size: 6 }))
    assert.ok(short instanceof TypeError && /size of 6 bytes, and its source gave 5$/.test(short.message))
    const { seen, stream } = stuck()
    const long = await errorOf(db.putStream('a', stream, { size: 999 }))
    assert.ok(long instanceof TypeError && /gave 1000 or more/.test(long.message))
    await wait(1)
    assert.equal(seen.stopped, long)
    assert.match((await errorOf(db.putStream('a', ['text']))).message, /the stream of a value must give Uint8Arrays/)
    assert.equal(await db.get('a'), 'old')
    assert.equal(db.stats().commits, 1)
    await db.close()
  })

  it('stores nothing when it is aborted, and lets go of a source that says nothing more', async (t) => {
    const { db } = await openIn(t, PLACES[0])
    for (const source of [stuck().stream, Readable.fromWeb(stuck().stream)]) {
      const stop = new AbortController()
      const put = errorOf(db.putStream('a', source, { signal: stop.signal }))
      await wait(5)
      stop.abort(new Error('enough'))
      assert.equal((await put).message, 'enough')
    }
    assert.equal(await db.putStream('a', [], { signal: AbortSignal.abort(7) }).catch((error) => error), 7)
    assert.equal(await db.count(), 0)
  })

  it('ends when the database is closed, without having stored anything', async (t) => {
    const { db, open } = await openIn(t, PLACES[1])
    await db.put('a', 'x'.repeat(100000))
    const { seen, stream } = stuck()
    const stop = new AbortController()
    let more
    const slow = (async function* () {
      yield new Uint8Array(10)
      await new Promise((resolve) => (more = resolve))
      yield new Uint8Array(10)
    })()
    const puts = [errorOf(db.putStream('b', slow)), errorOf(db.putStream('c', stream, { signal: stop.signal }))]
    setTimeout(() => stop.abort(new Error('late')), 20)
    const reader = (await db.getStream('a')).getReader()
    await reader.read()
    while (more === undefined) await wait(1)
    await db.close()
    more()
    assert.equal((await puts[0]).code, 'ERR_DB_CLOSED')
    assert.equal((await puts[1]).message, 'late')
    assert.equal((await errorOf(reader.read())).code, 'ERR_DB_CLOSED')
    assert.ok(seen.stopped !== undefined)
    const again = await open()
    assert.deepEqual([...again.keysSync()], ['a'])
  })

  it('lets go of a value at cancel(), at an abort, and when its reader leaves early', async (t) => {
    const { db } = await openIn(t, PLACES[2])
    await db.put('a', 'x'.repeat(1 << 20))
    const cancelled = await db.getStream('a')
    const reader = cancelled.getReader()
    await reader.read()
    await reader.cancel()
    const stop = new AbortController()
    const aborted = await db.getStream('a', { signal: stop.signal })
    stop.abort(new Error('enough'))
    assert.equal((await errorOf(aborted.getReader().read())).message, 'enough')
    for await (const chunk of await db.getStream('a')) {
      assert.equal(chunk.length, 65536)
      break
    }
    assert.equal((await errorOf(db.getStream('a', { signal: AbortSignal.abort(new Error('no')) }))).message, 'no')
    await db.close() // would be ERR_DB_BUSY
  })

  it('is told of when it is forgotten', async () => {
    const source = `
      const db = await Database.open(':memory:')
      db.on('warning', ({ message }) => console.log(message))
      await db.put('a', 'x'.repeat(100000))
      await (await db.getStream('a')).getReader().read()
      for (let i = 0; i < 20; i++) { gc(); await new Promise((resolve) => setTimeout(resolve, 5)) }
      await db.close()`
    const { ended } = runNode(`import { setFlagsFromString } from 'node:v8'
      import { runInNewContext } from 'node:vm'
      setFlagsFromString('--expose-gc'); globalThis.gc = runInNewContext('gc'); ${source}`)
    const { stdout, stderr, code } = await ended
    assert.equal(code, 0, stderr)
    assert.match(
      stdout,
      /what getStream\(\) opened was never closed, only collected: read it to its end, or call cancel/,
    )
  })

  it('refuses what is no stream, no size and no option', async (t) => {
    const { db } = await openIn(t, PLACES[0])
    const refused = async (put, pattern) => {
      const error = await errorOf(put)
      assert.ok(error instanceof TypeError, String(error))
      assert.match(error.message, pattern)
    }
    await refused(db.putStream('a', 'text'), /got the string 'text': put\(\) stores what is there already/)
    await refused(db.putStream('a', new Uint8Array(1)), /put\(\) stores/)
    await refused(db.putStream('a'), /takes a ReadableStream.*got undefined/)
    await refused(db.putStream('a', [], { size: 1.5 }), /size must be a whole number of bytes from 0 to 1 GiB/)
    await refused(db.putStream('a', [], { size: 2 ** 31 }), /size must be/)
    await refused(db.putStream('a', [], { length: 1 }), /putStream\(\) has no option 'length'/)
    await refused(db.getStream('a', { chunkSize: 0 }), /chunkSize must be/)
    await refused(db.getStream('a', { valueEncoding: 'json' }), /getStream\(\) has no option 'valueEncoding'/)
    await refused(db.getStream('a', { snapshot: {} }), /snapshot must come from/)
    await refused(db.getStream('a', { signal: {} }), /signal must be/)
    const large = await errorOf(db.putStream('k'.repeat(70000), []))
    assert.equal(large.code, 'ERR_DB_KEY_TOO_LARGE')
  })
})

const MIB = 1 << 20

it('carries a value of 256 MiB, which JavaScript never has whole', { timeout: 300000 }, async (t) => {
  const path = `${temporaryDirectory(t)}/large.varve`
  const db = await Database.open(path, { compression: 'none' })
  atEnd(t, () => db.close())
  const piece = bytes(MIB, new Random(1))
  const given = createHash('sha256')
  let most = 0
  const look = () => (most = Math.max(most, process.memoryUsage().arrayBuffers))
  const source = (async function* () {
    for (let i = 0; i < 256; i++) {
      const own = piece.slice()
      own[0] = i
      given.update(own)
      look()
      yield own
    }
  })()
  const begin = performance.now()
  await db.putStream('large', source, { size: 256 * MIB, durability: 'strict' })
  const half = performance.now()
  const got = createHash('sha256')
  let size = 0
  for await (const chunk of await db.getStream('large', { chunkSize: MIB })) {
    got.update(chunk)
    size += chunk.length
    look()
  }
  t.diagnostic(
    `put ${Math.round(half - begin)} ms, get ${Math.round(performance.now() - half)} ms, ` +
      `rss ${Math.round(process.memoryUsage().rss / MIB)} MiB, ArrayBuffers ${Math.round(most / MIB)} MiB`,
  )
  assert.equal(size, 256 * MIB)
  const digest = given.digest('hex')
  assert.equal(got.digest('hex'), digest)
  await db.close()
  const again = await Database.open(path)
  atEnd(t, () => again.close())
  const reread = createHash('sha256')
  for await (const chunk of await again.getStream('large')) reread.update(chunk)
  assert.equal(reread.digest('hex'), digest)
})

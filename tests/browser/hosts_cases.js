// hosts_cases.js: tests of the hosts that need one worker of one browser and nothing around it.

import assert from './assert.js'
import { Database } from '../../bindings/js/browser.js'
import { STATUS } from '../../bindings/js/src/abi.js'
import { ByteRanges } from '../../bindings/js/src/host/byte_ranges.js'
import { FILE_SINGLE, OPEN_CREATE, OPEN_WRITE, PLACE_CREATE } from '../../bindings/js/src/host/host.js'
import { idbOfName, lockOfName } from '../../bindings/js/src/host/web_names.js'
import * as storage from '../../bindings/js/src/storage.js'
import { Random, atEnd, errorOf } from './browser_support.js'
import { openHost } from './hosts_remote.js'
import { describe, it, run } from './test.js'

let used = 0
const newName = () => `case ${used++}`

async function bytesOf(stream) {
  return new Uint8Array(await new Response(stream).arrayBuffer())
}

/** A file of a host, made anew or found there. */
async function openFile(kind, name, { create = false, options } = {}) {
  const host = await openHost(kind, name, options)
  const place = host.open(name, PLACE_CREATE)
  const exists = place.list().length > 0
  const file = place.open(FILE_SINGLE, 0, OPEN_WRITE | (exists || !create ? 0 : OPEN_CREATE))
  return { host, file }
}

/** Bytes as a file has them, and the same file by plain means. */
class Model {
  bytes = new Uint8Array(0)
  resize(size) {
    const other = new Uint8Array(size)
    other.set(this.bytes.subarray(0, size))
    this.bytes = other
  }
  write(offset, data) {
    if (offset + data.length > this.bytes.length) this.resize(offset + data.length)
    this.bytes.set(data, offset)
  }
}

function contents(file) {
  const bytes = new Uint8Array(file.size() + 10)
  assert.equal(file.read(0, bytes, 5, file.size() + 5), file.size())
  return bytes.subarray(5, 5 + file.size())
}

function sameBytes(a, b, what) {
  assert.equal(a.length, b.length, `${what}: length`)
  const at = a.findIndex((byte, i) => byte !== b[i])
  if (at >= 0) assert.fail(`${what}: byte ${at} is ${a[at]}, not ${b[at]}`)
}

/** One change of a file and of its model, from a few bytes to some chunks. */
function changeAtRandom(random, file, model) {
  const dice = random.below(100)
  const near = random.chance(50) ? model.bytes.length : random.below(model.bytes.length + 1)
  if (dice < 70) {
    const size = random.pick([1, 100, 4096, 70_000, random.below(700_000)])
    const data = new Uint8Array(size + 3).map((_, i) => (i * 31 + size) % 251)
    const offset = Math.min(near + (random.chance(10) ? 600_000 : 0), 3 << 20)
    file.write(offset, data, 3, size)
    model.write(offset, data.subarray(3, 3 + size))
  } else if (dice < 80) {
    const size = Math.min(model.bytes.length + random.below(600_000), 4 << 20)
    file.allocate(size)
    if (size > model.bytes.length) model.resize(size)
  } else if (dice < 92) {
    const size = random.below(model.bytes.length + 1)
    file.truncate(size)
    model.resize(size)
  } else file.sync()
}

/** A walk of small reads, as the engine makes them, and some that are no walk. */
function readAtRandom(random, file, model) {
  let at = random.below(model.bytes.length + 1)
  for (let i = 0; i < 30; i++) {
    const size = 1 + random.below(random.pick([100, 5000, 20_000]))
    const bytes = new Uint8Array(size + 2)
    const got = file.read(at, bytes, 1, size)
    assert.equal(got, Math.max(0, Math.min(size, model.bytes.length - at)))
    sameBytes(bytes.subarray(1, 1 + got), model.bytes.subarray(at, at + got), `read at ${at}`)
    assert.ok(bytes[0] === 0 && bytes.subarray(1 + got).every((byte) => byte === 0), 'and nothing else')
    at = random.chance(90) ? at + got : random.below(model.bytes.length + 1)
  }
}

function fileTests(kind, seed) {
  it('is what was written, across openings', async () => {
    const random = new Random(seed)
    const name = newName()
    const model = new Model()
    const options = kind === 'idb' ? { logBytes: 300_000 } : undefined
    let { host, file } = await openFile(kind, name, { create: true, options })
    file.write(0, new Uint8Array([1]), 0, 1)
    model.write(0, new Uint8Array([1]))
    for (let step = 0; step < 150; step++) {
      changeAtRandom(random, file, model)
      if (random.chance(30)) await host.settled(random.pick(['relaxed', 'strict', undefined]))
      if (random.chance(10)) {
        if (model.bytes.length === 0) {
          file.write(0, new Uint8Array([1]), 0, 1)
          model.write(0, new Uint8Array([1]))
        }
        await host.close()
        ;({ host, file } = await openFile(kind, name, { options }))
      }
      assert.equal(file.size(), model.bytes.length)
      readAtRandom(random, file, model)
      if (step % 10 === 0) sameBytes(contents(file), model.bytes, `seed ${seed}, step ${step}`)
    }
    sameBytes(contents(file), model.bytes, `seed ${seed}`)
    await host.close()
    await storage.deleteDatabase(name)
  })

  it('exists when it is made, and not before', async () => {
    const name = newName()
    const host = await openHost(kind, name)
    const missing = await errorOf(Database.open(name, { host, createIfMissing: false }))
    assert.equal(missing.code, 'ERR_DB_MISSING')
    assert.equal((await errorOf(Database.open(name, { host, readOnly: true }))).code, 'ERR_DB_MISSING')
    assert.equal((await errorOf(Database.open('other', { host }))).code, 'ERR_DB_UNSUPPORTED')
    await host.close()
    assert.deepEqual(await storage.listDatabases(), [])
    const again = await openHost(kind, name)
    const db = await Database.open(`${name}.varve`, { host: again, errorIfExists: true })
    await db.close()
    assert.equal((await errorOf(Database.open(name, { host: again, errorIfExists: true }))).code, 'ERR_DB_EXISTS')
    await again.close()
    const [one] = await storage.listDatabases()
    assert.deepEqual([one.name, one.storage], [name, kind])
    assert.ok(one.size >= 4096, String(one.size))
    assert.equal(await storage.deleteDatabase(name), true)
    assert.equal(await storage.deleteDatabase(name), false)
  })

  it('has any name', async () => {
    for (const name of ['a/b', '..', 'ü漢😀', "it's 100% *new*", 'a.b.varve.varve', 'C:\\x', '-', ' ']) {
      const host = await openHost(kind, name)
      const db = await Database.open(name, { host })
      await db.put('a', name)
      await db.close()
      await host.close()
      const plain = name.replace(/\.varve$/, '')
      assert.deepEqual(
        (await storage.listDatabases()).map((one) => one.name),
        [plain],
      )
      assert.equal(await storage.deleteDatabase(name), true)
    }
    for (const name of ['', '.varve', ':memory:', 'x'.repeat(300)]) {
      assert.ok((await errorOf(openHost(kind, name))) instanceof TypeError)
    }
  })

  it('is sent as it is at the call, while it changes', async (t) => {
    const name = newName()
    const host = await openHost(kind, name)
    const db = await Database.open(name, { host, memtable: 65536, memory: 1 << 20 })
    atEnd(t, () => storage.deleteDatabase(name))
    const value = 'x'.repeat(1000)
    for (let i = 0; i < 3000; i += 100) {
      await db.batch(Array.from({ length: 100 }, (_, n) => ({ type: 'put', key: `k${i + n}`, value: `${i} ${value}` })))
    }
    const before = [...db.entriesSync()]
    const reader = host.exportStream(name).getReader()
    const copy = `${name} copy`
    const pieces = []
    for (let i = 0; ; i++) {
      const { value: piece, done } = await reader.read()
      if (done) break
      pieces.push(piece)
      await db.put(`k${i}`, 'changed')
      await db.batch(Array.from({ length: 300 }, (_, n) => ({ type: 'put', key: `k${n * 7}`, value: `${i} ${value}` })))
      if (i === 2) await db.compact()
    }
    assert.ok(pieces.length > 5, String(pieces.length))
    await db.close()
    await host.close()
    await storage.importDatabase(copy, new Blob(pieces), { storage: kind })
    atEnd(t, () => storage.deleteDatabase(copy))
    const copyHost = await openHost(kind, copy)
    const other = await Database.open(copy, { host: copyHost })
    assert.equal((await other.verify()).errors, 0)
    assert.deepEqual([...other.entriesSync()], before)
    await other.close()
    await copyHost.close()
  })
}

function careTests(kind) {
  it('goes out and in again, all or nothing', async () => {
    const [name, copy] = [newName(), newName()]
    const host = await openHost(kind, name)
    const db = await Database.open(name, { host })
    for (let i = 0; i < 2000; i++) void db.put(`k${i}`, 'x'.repeat(i % 700))
    await db.flush()
    await db.close()
    await host.close()
    const seen = []
    const bytes = await bytesOf(await storage.exportDatabase(name, { onProgress: (...both) => void seen.push(both) }))
    assert.deepEqual(seen.at(-1), [bytes.length, bytes.length])
    assert.equal(String.fromCharCode(...bytes.subarray(0, 8)), 'VARVEONE')
    const codeOf = async (promise) => (await errorOf(promise)).status
    assert.equal(await codeOf(storage.importDatabase(name, new Blob([bytes]), { storage: kind })), STATUS.EXISTS)
    for (const wrong of [[], ['VARVE'], ['<!doctype html>'.repeat(100)]]) {
      assert.equal(await codeOf(storage.importDatabase(copy, new Blob(wrong), { storage: kind })), STATUS.NOT_DATABASE)
    }
    const stopped = storage.importDatabase(copy, new Blob([bytes]), { storage: kind, onProgress: () => false })
    assert.equal(await codeOf(stopped), STATUS.ABORTED)
    let given = 0
    const failing = new ReadableStream({
      pull(controller) {
        if (given > 100_000) controller.error(new RangeError('the line is cut'))
        else controller.enqueue(bytes.subarray(given, (given += 50_000)))
      },
    })
    assert.match(String(await errorOf(storage.importDatabase(copy, failing, { storage: kind }))), /the line is cut/)
    assert.deepEqual(
      (await storage.listDatabases()).map((one) => one.name),
      [name],
    )
    await storage.importDatabase(copy, new Blob([bytes]), { storage: kind })
    sameBytes(await bytesOf(await storage.exportDatabase(copy)), bytes, 'the copy')
    assert.equal(await codeOf(storage.exportDatabase('nothing')), STATUS.MISSING)
    const cancelled = await storage.exportDatabase(name)
    await cancelled.cancel()
    await new Promise((resolve) => setTimeout(resolve, 50))
    for (const one of [name, copy]) assert.equal(await storage.deleteDatabase(one), true)
  })

  it('is refused while the database is open', async () => {
    const name = newName()
    await navigator.locks.request(lockOfName(name), async () => {
      for (const call of [
        () => storage.deleteDatabase(name),
        () => storage.exportDatabase(name),
        () => storage.importDatabase(name, new Blob(['VARVEONE']), { storage: kind }),
      ]) {
        const error = await errorOf(call)
        assert.equal(error.status, STATUS.LOCKED)
        assert.match(error.message, /is open, here or in another tab/)
      }
    })
  })
}

function opfsTests() {
  it('waits for the handle of somebody who is about to go', async () => {
    const name = newName()
    const { host } = await openFile('opfs', name, { create: true })
    const error = await errorOf(openHost('opfs', name, { wait: 60 }))
    assert.equal(error.status, STATUS.LOCKED)
    assert.match(error.message, /another tab or worker has it open/)
    const waiting = openHost('opfs', name)
    await new Promise((resolve) => setTimeout(resolve, 80))
    await host.close()
    await (await waiting).close()
  })

  it('writes once for a group of commits, and flushes when it is asked to', async () => {
    const name = newName()
    const host = await openHost('opfs', name)
    const db = await Database.open(name, { host, syncInterval: 1e6 })
    await db.put('a', '1')
    const calls = { write: 0, flush: 0 }
    const prototype = FileSystemSyncAccessHandle.prototype
    const own = { write: prototype.write, flush: prototype.flush }
    for (const method of Object.keys(own)) {
      prototype[method] = function (...args) {
        calls[method]++
        return own[method].apply(this, args)
      }
    }
    try {
      await Promise.all(Array.from({ length: 100 }, (_, i) => db.put(`k${i}`, 'value')))
      assert.deepEqual(calls, { write: 1, flush: 0 })
      await Promise.all(Array.from({ length: 100 }, (_, i) => db.put(`k${i}`, 'value', { durability: 'strict' })))
      assert.deepEqual(calls, { write: 2, flush: 1 })
    } finally {
      Object.assign(prototype, own)
    }
    await db.close()
    await host.close()
    await storage.deleteDatabase(name)
  })
}

/** How many rows are in a store of IndexedDB. */
async function rowsIn(name, store) {
  const open = indexedDB.open(idbOfName(name))
  await new Promise((resolve) => (open.onsuccess = resolve))
  const tx = open.result.transaction([store])
  const request = tx.objectStore(store).getAllKeys()
  await new Promise((resolve) => (tx.oncomplete = resolve))
  open.result.close()
  return request.result
}

function idbTests(seed) {
  it('stores a group of commits as one row, and the last rows only', async () => {
    const name = newName()
    const host = await openHost('idb', name)
    const db = await Database.open(name, { host })
    await db.put('a', '1')
    await host.settled()
    const before = await rowsIn(name, 'log')
    await Promise.all(Array.from({ length: 100 }, (_, i) => db.put(`k${i}`, 'value')))
    await host.settled()
    assert.equal((await rowsIn(name, 'log')).length, before.length + 1)
    for (let i = 0; i < 1200; i++) {
      await db.put(`k${i}`, 'value')
      await host.settled()
    }
    const log = await rowsIn(name, 'log')
    assert.ok(log.length < 1000 && log.at(-1) > 1200, `${log.length} rows, the last is ${log.at(-1)}`)
    await db.close()
    await host.close()
    await storage.deleteDatabase(name)
  })

  it('is a state between two groups when nobody closed it', async () => {
    const random = new Random(seed)
    for (let round = 0; round < 5; round++) {
      const name = newName()
      const { host, file } = await openFile('idb', name, { create: true })
      const model = new Model()
      const states = [new Uint8Array(0)]
      for (let i = 0; i < 40; i++) {
        changeAtRandom(random, file, model)
        if (random.chance(20)) await host.settled()
        else await null
        states.push(model.bytes.slice())
      }
      await host.settled()
      const settled = states.length - 1
      for (let i = 0; i < 10; i++) {
        changeAtRandom(random, file, model)
        states.push(model.bytes.slice())
        await new Promise((resolve) => setTimeout(resolve, 0))
      }
      // Opened by another, as if this one had gone: it finds a state not older than what was settled.
      const later = await openHost('idb', name)
      const found = later.fileAt(name)
      const bytes = found.size() === 0 ? new Uint8Array(0) : contents(found)
      const which = states.findLastIndex(
        (state) => state.length === bytes.length && state.every((b, i) => b === bytes[i]),
      )
      assert.ok(which >= settled, `seed ${seed}: state ${which} of ${states.length}, ${settled} was settled`)
      // And this one, were it still there, can do no harm.
      const error = await errorOf(async () => {
        file.write(0, new Uint8Array([9]), 0, 1)
        await host.settled()
      })
      assert.equal(error.status, STATUS.LOCKED)
      assert.equal((await errorOf(() => file.sync())).status, STATUS.LOCKED)
      assert.equal(file.read(0, new Uint8Array(1), 0, 1), 1)
      await errorOf(host.close())
      await later.close()
      await storage.deleteDatabase(name)
    }
  })

  it('has zeros where it was cut down and grew again', async () => {
    for (const cut of [10, 100_000, 524_288, 600_000]) {
      const name = newName()
      const options = { logBytes: 1 }
      const { host, file } = await openFile('idb', name, { create: true, options })
      file.write(0, new Uint8Array(1_300_000).fill(7), 0, 1_300_000)
      await host.settled()
      file.truncate(cut)
      await host.settled()
      file.allocate(1_300_000)
      await host.settled()
      file.write(5, new Uint8Array([8]), 0, 1) // the rows go into chunks
      await host.close()
      const later = await openFile('idb', name, { options })
      const expected = new Uint8Array(1_300_000).fill(7, 0, cut)
      expected[5] = 8
      sameBytes(contents(later.file), expected, `cut at ${cut}`)
      await later.host.close()
      await storage.deleteDatabase(name)
    }
  })

  it('says so when it is too large for memory, and reads on', async () => {
    const name = newName()
    const host = await openHost('idb', name, { memoryLimit: 2 << 20 })
    const db = await Database.open(name, { host, memtable: 65536, memory: 1 << 20 })
    await db.put('first', 'kept')
    let error
    for (let i = 0; i < 400 && error === undefined; i++) {
      const value = Array.from({ length: 20 }, () => Math.random())
        .join()
        .repeat(25)
      error = await db.put(`k${i}`, value).then(
        () => undefined,
        (reason) => reason,
      )
    }
    assert.equal(error?.code, 'ERR_DB_FULL')
    assert.match(error.message, /held in memory and may have 2 MiB there.*memoryLimit/)
    assert.equal(await db.get('first'), 'kept')
    await db.close().catch(() => {})
    await host.close()
    const small = await errorOf(openHost('idb', name, { memoryLimit: 1 << 20 }))
    assert.equal(small.status, STATUS.LIMIT)
    const larger = await openHost('idb', name)
    const again = await Database.open(name, { host: larger })
    assert.equal(await again.get('first'), 'kept')
    assert.equal((await again.verify()).errors, 0)
    await again.close()
    await larger.close()
    await storage.deleteDatabase(name)
  })

  it('knows which bytes changed', async () => {
    const random = new Random(seed)
    for (let round = 0; round < 200; round++) {
      const ranges = new ByteRanges()
      const model = new Uint8Array(60)
      for (let i = 0; i < 12; i++) {
        const [a, b] = [random.below(60), random.below(60)]
        if (random.chance(20)) {
          ranges.cut(a)
          model.fill(0, a)
        } else {
          ranges.add(Math.min(a, b), Math.max(a, b))
          model.fill(1, Math.min(a, b), Math.max(a, b))
        }
        const found = new Uint8Array(60)
        let last = -1
        for (const { begin, end, piece } of ranges.pieces(16)) {
          assert.ok(begin > last || (begin === last && begin % 16 === 0), 'what touches is one range')
          last = end
          assert.ok(Math.floor(begin / 16) === piece && Math.floor((end - 1) / 16) === piece)
          found.fill(1, begin, end)
        }
        assert.deepEqual(found, model, `seed ${seed}`)
        assert.equal(
          ranges.bytes,
          model.reduce((sum, one) => sum + one, 0),
          `seed ${seed}`,
        )
        assert.equal(ranges.empty, ranges.bytes === 0)
      }
    }
  })
}

/** @param {{ kind: 'opfs' | 'idb', seed: number }} args */
export async function runCases({ kind, seed }, emit) {
  describe(kind, () => {
    describe('a file', () => fileTests(kind, seed))
    describe('import and export', () => careTests(kind))
    if (kind === 'opfs') opfsTests()
    else idbTests(seed)
  })
  return run((line) => emit('line', line))
}

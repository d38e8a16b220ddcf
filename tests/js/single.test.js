// single.test.js: a database in one file: which paths are one, what lies beside it, its locks among Node processes and
// native ones, backups from and to it. Needs build/release/varve (npm run build) for what is native.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { existsSync, linkSync, mkdirSync, readFileSync, readdirSync, renameSync, statSync } from 'node:fs'
import { symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { Database, MemoryHost } from '../../bindings/js/index.js'
import { Random, atEnd, errorOf, killedWritersKeep, program, runNode, seedOf, skipNative } from './support.js'
import { temporaryDirectory, varve } from './support.js'

const posix = process.platform !== 'win32'

/** A process that has the database open: what runs after that, and the process. */
async function holder(t, path) {
  const source = `
    const db = await Database.open(process.argv[1])
    await db.put('holder', String(process.pid))
    console.log('open')
    process.stdin.on('data', async () => { await db.close(); process.exit(0) })`
  const run = runNode(source, [path])
  atEnd(t, () => run.child.kill('SIGKILL'))
  assert.equal(await run.line(), 'open')
  return run
}

/** A native process that has the database open, with a=1 in it. */
async function nativeHolder(t, path) {
  const child = spawn(program, [path], { stdio: ['pipe', 'pipe', 'pipe'] })
  atEnd(t, () => child.kill('SIGKILL'))
  const ended = new Promise((resolve) => child.on('close', resolve))
  child.stdin.write('put a 1\nget a\n')
  await new Promise((resolve) => child.stdout.once('data', resolve))
  return { child, ended }
}

async function openAndClose(path, options) {
  const db = await Database.open(path, options)
  const all = Object.fromEntries([...db.entriesSync()])
  await db.close()
  return all
}

describe('path', () => {
  it('that ends in .varve and names nothing is one file, and nothing else when it is closed', async (t) => {
    const directory = temporaryDirectory(t)
    const path = join(directory, 'app.varve')
    const db = await Database.open(path)
    await db.put('a', '1')
    assert.ok(statSync(path).isFile())
    assert.deepEqual(readdirSync(directory).sort(), ['app.varve', 'app.varve-lock.node'])
    if (posix) assert.equal((statSync(path).mode & 0o777).toString(8), '600')
    await db.close()
    assert.deepEqual(readdirSync(directory), ['app.varve'])
    assert.deepEqual(await openAndClose(path, { createIfMissing: false }), { a: '1' })
    assert.deepEqual(await openAndClose(path, { readOnly: true }), { a: '1' })
    renameSync(path, join(directory, 'data'))
    assert.deepEqual(await openAndClose(join(directory, 'data')), { a: '1' }, 'by what it is, whatever it is called')
    assert.deepEqual(readdirSync(directory), ['data'])
  })

  it('of a directory that ends in .varve stays a directory', async (t) => {
    const path = join(temporaryDirectory(t), 'old.varve')
    mkdirSync(path)
    const db = await Database.open(path)
    await db.put('a', '1')
    await db.close()
    assert.ok(existsSync(join(path, 'SUPER')))
  })

  it('of a file of something else is refused, and the file left alone', async (t) => {
    const directory = temporaryDirectory(t)
    for (const name of ['letter.txt', 'letter.varve']) {
      const path = join(directory, name)
      writeFileSync(path, 'Dear Alice')
      for (const options of [{}, { errorIfExists: true }, { readOnly: true }, { createIfMissing: false }]) {
        const error = await errorOf(Database.open(path, options))
        assert.equal(error.code, 'ERR_DB_NOT_DATABASE')
        assert.equal(
          error.message,
          `${path} is a file of something else, and so not a Varve database; give another path`,
        )
      }
      const db = await Database.open(':memory:')
      assert.equal((await errorOf(db.backup(path))).code, 'ERR_DB_EXISTS')
      await db.close()
      assert.equal(readFileSync(path, 'utf8'), 'Dear Alice')
    }
    assert.deepEqual(readdirSync(directory), ['letter.txt', 'letter.varve'])
  })

  it('that cannot be is an error that names it', async (t) => {
    const directory = temporaryDirectory(t)
    const path = join(directory, 'app.varve')
    for (const options of [{ createIfMissing: false }, { readOnly: true }]) {
      const error = await errorOf(Database.open(path, options))
      assert.equal(error.code, 'ERR_DB_MISSING')
      assert.ok(error.message.includes(path), error.message)
    }
    const below = join(directory, 'no', 'app.varve')
    const error = await errorOf(Database.open(below))
    assert.equal(error.code, 'ERR_DB_MISSING')
    assert.equal(error.message, `${below}: the directory above it does not exist; create that first`)
    writeFileSync(path, '')
    await openAndClose(path) // an empty file is what an interrupted creation leaves
    assert.equal((await errorOf(Database.open(path, { errorIfExists: true }))).code, 'ERR_DB_EXISTS')
    assert.ok((await errorOf(Database.open(join(path, 'x.varve')))).code.startsWith('ERR_DB_'))
  })

  it('may be relative, and the process may go elsewhere meanwhile', async (t) => {
    const directory = temporaryDirectory(t)
    const { code, stderr } = await runNode(
      `process.chdir(process.argv[1])
       const db = await Database.open('./here.varve')
       process.chdir('/')
       await db.put('a', '1')
       await db.close()`,
      [directory],
    ).ended
    assert.equal(code, 0, stderr)
    assert.deepEqual(readdirSync(directory), ['here.varve'])
  })

  it('of a MemoryHost may be one file too', async () => {
    const host = new MemoryHost()
    const db = await Database.open('x.varve', { host })
    await db.put('a', '1')
    await db.backup('y.varve')
    await db.close()
    assert.deepEqual(await openAndClose('x.varve', { host }), { a: '1' })
    await Database.restore('y.varve', 'z', { host })
    assert.deepEqual(await openAndClose('z', { host }), { a: '1' })
  })
})

describe('lock', () => {
  it('keeps a second Node out, and names the first; a killed one locks nobody out', async (t) => {
    const directory = temporaryDirectory(t)
    const path = join(directory, 'app.varve')
    const first = await holder(t, path)
    const error = await errorOf(Database.open(path))
    assert.equal(error.code, 'ERR_DB_LOCKED')
    assert.match(error.message, new RegExp(`process ${first.child.pid}\\b`))
    first.child.kill('SIGKILL')
    await first.ended
    assert.deepEqual(readdirSync(directory).sort(), ['app.varve', 'app.varve-lock.node'])
    assert.deepEqual(await openAndClose(path), { holder: String(first.child.pid) })
    assert.deepEqual(readdirSync(directory), ['app.varve'])
    const second = await holder(t, path)
    setTimeout(() => second.child.stdin.write('x'), 100)
    assert.deepEqual(await openAndClose(path, { lock: { wait: 20_000 } }), { holder: String(second.child.pid) })
  })

  it('is found by every path within the process', { skip: !posix }, async (t) => {
    const directory = temporaryDirectory(t)
    const path = join(directory, 'app.varve')
    const db = await Database.open(path)
    atEnd(t, () => db.close())
    symlinkSync('app.varve', join(directory, 'alias'))
    linkSync(path, join(directory, 'linked'))
    for (const name of ['app.varve', 'alias', 'linked']) {
      const error = await errorOf(Database.open(join(directory, name)))
      assert.equal(error.code, 'ERR_DB_LOCKED')
      assert.match(error.message, /in this process already/)
    }
  })

  it('lies beside the file and not beside a link to it', { skip: !posix }, async (t) => {
    const directory = temporaryDirectory(t)
    mkdirSync(join(directory, 'deep'))
    symlinkSync('deep/next', join(directory, 'first.varve'))
    symlinkSync('../real.varve', join(directory, 'deep/next'))
    const db = await Database.open(join(directory, 'first.varve'))
    assert.ok(existsSync(join(directory, 'real.varve-lock.node')))
    await db.put('a', '1')
    await db.close()
    assert.deepEqual(await openAndClose(join(directory, 'real.varve')), { a: '1' })
  })
})

describe('native', { skip: skipNative }, () => {
  it('reads what Node wrote, and the other way round', async (t) => {
    const path = join(temporaryDirectory(t), 'app.varve')
    const seed = seedOf()
    const random = new Random(seed)
    t.diagnostic(`VARVE_SEED=${seed}`)
    for (let round = 0; round < 3; round++) {
      const db = await Database.open(path, { memtable: 65536, memory: 1 << 20, tableSize: 65536 })
      for (let i = 0; i < 3000; i++) {
        const key = `k${random.below(2000)}`
        if (random.chance(75)) void db.put(key, `${random.next()} ü`.repeat(random.below(20)))
        else void db.del(key)
      }
      if (round === 1) await db.compact()
      const rows = [...db.entriesSync()]
      await db.close()
      const verified = await varve([path, 'verify'])
      assert.equal(verified.code, 0, verified.stderr)
      const lines = rows.map(([key, value]) => `${JSON.stringify({ key, value })}\n`).join('')
      assert.equal((await varve([path, 'dump'])).stdout, lines)
      const loaded = await varve([path, 'load'], lines.replaceAll('"key":"k', '"key":"native '))
      assert.equal(loaded.code, 0, loaded.stderr)
      const again = await Database.open(path)
      assert.equal((await again.verify()).errors, 0)
      assert.deepEqual(
        [...again.valuesSync({ prefix: 'native ' })],
        rows.filter(([key]) => key.startsWith('k')).map(([, value]) => value),
      )
      await again.clear({ prefix: 'native ' })
      await again.close()
    }
  })

  it('is kept out by Node, and keeps Node out', async (t) => {
    const directory = temporaryDirectory(t)
    const path = join(directory, 'app.varve')
    const db = await Database.open(path)
    const refused = await varve([path, 'get', 'a'])
    assert.equal(refused.code, 5)
    assert.match(refused.stderr, new RegExp(`app\\.varve is open in process ${process.pid} \\(Node\\.js\\)`))
    await db.close()
    const native = await nativeHolder(t, path)
    const error = await errorOf(Database.open(path))
    assert.equal(error.code, 'ERR_DB_LOCKED')
    assert.match(error.message, new RegExp(`process ${native.child.pid} \\(native\\)`))
    native.child.kill('SIGKILL')
    await native.ended
    assert.deepEqual(await openAndClose(path), { a: '1' })
    assert.equal((await varve([path, 'get', 'a'])).stdout.trim(), '1')
    assert.deepEqual(readdirSync(directory), ['app.varve'])
  })

  it('keeps every acknowledged write of a Node that was killed', { skip: !posix }, async (t) => {
    const path = join(temporaryDirectory(t), 'app.varve')
    await killedWritersKeep(path, 2)
  })
})

describe('backup', () => {
  it('goes from and to one file and a directory, and a second time takes what is new', async (t) => {
    const directory = temporaryDirectory(t)
    const at = (name) => join(directory, name)
    for (const [from, to, back] of [
      ['a.varve', 'b.varve', 'c.varve'],
      ['d.varve', 'e', 'f.varve'],
      ['g', 'h.varve', 'i'],
    ]) {
      const db = await Database.open(at(from))
      await db.put('a', '1')
      const first = await db.backup(at(to))
      await db.put('b', '2')
      const second = await db.backup(at(to))
      assert.ok(first.filesCopied > 0 && second.filesKept > 0, JSON.stringify([first, second]))
      await db.close()
      await Database.restore(at(to), at(back))
      assert.deepEqual(await openAndClose(at(back)), { a: '1', b: '2' })
      assert.equal(statSync(at(back)).isFile(), back.endsWith('.varve'))
      const error = await errorOf(Database.restore(at(to), at(back)))
      assert.equal(error.code, 'ERR_DB_EXISTS')
    }
    assert.ok(!readdirSync(directory).some((name) => name.includes('lock')), String(readdirSync(directory)))
  })
})

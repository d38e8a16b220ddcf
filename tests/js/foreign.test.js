// foreign.test.js: no database is made among other people's files, and what is made is its owner's alone.

import assert from 'node:assert/strict'
import { mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { it } from 'node:test'
import { Database, MemoryHost } from '../../bindings/js/index.js'
import { atEnd, errorOf, temporaryDirectory } from './support.js'

/** A directory of somebody else's. */
function foreignDirectory(t) {
  const path = join(temporaryDirectory(t), 'documents')
  mkdirSync(path)
  writeFileSync(join(path, 'letter.txt'), 'Dear Alice')
  return path
}

/** A database with one entry, open. */
async function openOne(t) {
  const path = join(temporaryDirectory(t), 'db')
  const db = await Database.open(path)
  atEnd(t, () => db.close())
  await db.put('a', '1')
  return { db, path }
}

it('makes no database among other files', async (t) => {
  const path = foreignDirectory(t)
  for (const options of [{}, { errorIfExists: true }, { readOnly: true }, { createIfMissing: false }]) {
    const error = await errorOf(Database.open(path, options))
    assert.equal(error.code, 'ERR_DB_NOT_DATABASE', JSON.stringify(options))
    assert.match(error.message, /holds other files and no database; use an empty directory/)
    assert.deepEqual(readdirSync(path), ['letter.txt'])
  }
  assert.equal((await errorOf(() => Database.openSync(path))).code, 'ERR_DB_NOT_DATABASE')
  assert.deepEqual(readdirSync(path), ['letter.txt'])
})

it('writes no backup among other files', async (t) => {
  const { db } = await openOne(t)
  const path = foreignDirectory(t)
  assert.equal((await errorOf(db.backup(path))).code, 'ERR_DB_EXISTS')
  assert.deepEqual(readdirSync(path), ['letter.txt'])
})

it('restores nothing among other files, and no other files as a backup', async (t) => {
  const { db } = await openOne(t)
  const backup = join(temporaryDirectory(t), 'backup')
  await db.backup(backup)
  const path = foreignDirectory(t)
  assert.equal((await errorOf(Database.restore(backup, path))).code, 'ERR_DB_EXISTS')
  assert.deepEqual(readdirSync(path), ['letter.txt'])
  const target = join(temporaryDirectory(t), 'new')
  assert.equal((await errorOf(Database.restore(path, target))).code, 'ERR_DB_NOT_DATABASE')
  assert.deepEqual(readdirSync(path), ['letter.txt'])
})

it('takes a directory that is empty, or holds only what a dead process left', async (t) => {
  const path = temporaryDirectory(t)
  for (const name of ['LOCK', 'LOCK.node', 'LOCK.node.1.2.3.abc']) writeFileSync(join(path, name), '')
  const db = await Database.open(path, { lock: { wait: 3000 } })
  await db.close()
})

it('opens a database beside which somebody put a file', async (t) => {
  const { db, path } = await openOne(t)
  await db.close()
  writeFileSync(join(path, 'notes.txt'), '')
  const again = await Database.open(path)
  assert.equal(await again.get('a'), '1')
  await again.close()
})

it('has no other files in a MemoryHost', async () => {
  const host = new MemoryHost()
  for (let i = 0; i < 2; i++) await (await Database.open('x', { host })).close()
})

it('makes directories and files that only their owner can read', { skip: process.platform === 'win32' }, async (t) => {
  const { db, path } = await openOne(t)
  const mode = (name) => (statSync(join(path, name)).mode & 0o777).toString(8)
  assert.equal(mode('.'), '700')
  for (const name of readdirSync(path)) assert.equal(mode(name), '600', name)
  assert.ok(readdirSync(path).includes('LOCK.node'))
  await db.close()
})

it('names a directory that must be made first', async (t) => {
  const path = join(temporaryDirectory(t), 'no', 'such')
  const error = await errorOf(Database.open(path))
  assert.equal(error.code, 'ERR_DB_MISSING')
  assert.equal(error.message, `${path}: the directory above it does not exist; create that first`)
})

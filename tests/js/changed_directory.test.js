// changed_directory.test.js: the process changes its directory while a database with a relative path is open, to one
// where a database of the same name lies: files of that one were removed, and others made in it.

import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { it } from 'node:test'
import { Database } from '../../bindings/js/index.js'
import { atEnd, temporaryDirectory } from './support.js'

/** Names and bytes of the files. @param {string} directory */
const filesOf = (directory) =>
  readdirSync(directory)
    .sort()
    .map((name) => [name, readFileSync(join(directory, name), 'latin1')])

it('a change of the directory moves no database', async (t) => {
  const before = process.cwd()
  const directory = temporaryDirectory(t)
  atEnd(t, () => process.chdir(before))
  for (const name of ['a', 'b']) mkdirSync(join(directory, name))
  process.chdir(join(directory, 'b'))
  const other = await Database.open('db')
  await other.put('key', 'b')
  await other.close()
  const files = filesOf(join(directory, 'b', 'db'))
  process.chdir(join(directory, 'a'))
  const db = await Database.open('db')
  await db.put('key', 'a')
  process.chdir(join(directory, 'b'))
  for (let turn = 0; turn < 3; turn++) {
    await db.put(`key ${turn}`, 'a')
    await db.compact()
  }
  await db.close()
  assert.deepEqual(filesOf(join(directory, 'b', 'db')), files)
  const again = await Database.open(join(directory, 'a', 'db'))
  assert.equal(await again.get('key 2'), 'a')
  await again.close()
})

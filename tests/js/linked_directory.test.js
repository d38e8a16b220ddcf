// linked_directory.test.js: a database in one file that is reached through a directory that is a symbolic link. The
// path's text alone names another file: that one was made, empty, and opened.

import assert from 'node:assert/strict'
import { mkdirSync, readdirSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { it } from 'node:test'
import { Database } from '../../bindings/js/index.js'
import { temporaryDirectory } from './support.js'

const skip = process.platform === 'win32' ? 'links need a right there' : false

it('".." behind a link leads where the system says', { skip }, async (t) => {
  const directory = temporaryDirectory(t)
  mkdirSync(join(directory, 'real', 'sub'), { recursive: true })
  symlinkSync(join('real', 'sub'), join(directory, 'link'))
  symlinkSync(join('..', 'app.varve'), join(directory, 'real', 'sub', 'link.varve'))
  const db = await Database.open(join(directory, 'real', 'app.varve'))
  await db.put('key', 'value')
  for (const path of [`${directory}/link/../app.varve`, `${directory}/link/link.varve`]) {
    await assert.rejects(Database.open(path), { code: 'ERR_DB_LOCKED' })
  }
  await db.close()
  for (const path of [`${directory}/link/../app.varve`, `${directory}/link/link.varve`]) {
    const again = await Database.open(path)
    assert.equal(await again.get('key'), 'value')
    await again.close()
  }
  assert.deepEqual(readdirSync(directory).sort(), ['link', 'real'])
})

// Repair: from JavaScript, of databases that are whole, damaged, or do not open.

import assert from 'node:assert/strict'
import { readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { Database } from '../../bindings/js/index.js'
import { atEnd, errorOf, temporaryDirectory } from './support.js'

/** A database of 1000 entries, compacted and closed. @param {string} path */
async function thousand(path) {
  const db = await Database.open(path)
  for (let i = 0; i < 1000; i++) void db.put(`k${String(i).padStart(4, '0')}`, `v${i}`.repeat(20))
  await db.compact()
  await db.close()
}

/** @param {string} path @param {number} part of the file's size */
function flipTable(path, part) {
  const name = readdirSync(path).find((file) => file.endsWith('.sst'))
  const bytes = readFileSync(`${path}/${name}`)
  const at = Math.floor(bytes.length * part)
  bytes[at] = (bytes[at] ?? 0) ^ 1
  writeFileSync(`${path}/${name}`, bytes)
}

describe('repair', () => {
  it('saves a whole database', async (t) => {
    const directory = temporaryDirectory(t)
    await thousand(`${directory}/db`)
    let calls = 0
    const report = await Database.repair(`${directory}/db`, `${directory}/new`, {
      onProgress: (/** @type {number} */ done, /** @type {number} */ total) => {
        calls++
        assert.ok(done <= total)
      },
      onLoss: (/** @type {any} */ loss) => assert.fail(loss.reason),
    })
    assert.ok(calls > 0)
    assert.equal(report.entries, 1000)
    assert.equal(report.losses, 0)
    assert.equal(report.listLost, false)
    const db = await Database.open(`${directory}/new`, { createIfMissing: false })
    atEnd(t, () => db.close())
    assert.equal(await db.count(), 1000)
    assert.equal((await db.verify()).errors, 0)
  })

  it('tells what is lost, and saves the rest', async (t) => {
    const directory = temporaryDirectory(t)
    await thousand(`${directory}/db`)
    flipTable(`${directory}/db`, 0.3)
    rmSync(`${directory}/db/SUPER`)
    /** @type {any[]} */
    const losses = []
    const report = await Database.repair(`${directory}/db`, `${directory}/new`, {
      onLoss: (/** @type {any} */ loss) => void losses.push(loss),
    })
    assert.equal(report.losses, 1)
    assert.equal(report.mended, 1)
    assert.deepEqual(
      losses.map(({ file, harmless }) => [file, harmless]),
      [
        ['SUPER', true],
        [losses[1].file, false],
      ],
    )
    const { file, reason, offset, size, after, before, afterKeyspace } = losses[1]
    assert.match(file, /^\d+\.sst$/)
    assert.equal(reason, 'checksum mismatch')
    assert.ok(offset > 0 && size > 0)
    assert.equal(afterKeyspace, 0)
    const [first, last] = [after, before].map((bytes) => Number(Buffer.from(bytes).toString().slice(1)))
    const db = await Database.open(`${directory}/new`, { createIfMissing: false })
    atEnd(t, () => db.close())
    assert.ok(first !== undefined && last !== undefined)
    assert.equal(await db.count(), 1000 - (last - first - 1))
    assert.equal(await db.count(), report.entries)
  })

  it('stops when onProgress says so, and leaves no database', async (t) => {
    const directory = temporaryDirectory(t)
    await thousand(`${directory}/db`)
    const stopped = errorOf(Database.repair(`${directory}/db`, `${directory}/new`, { onProgress: () => false }))
    assert.equal((await stopped).code, 'ERR_DB_ABORTED')
    const opened = errorOf(Database.open(`${directory}/new`, { createIfMissing: false }))
    assert.equal((await opened).code, 'ERR_DB_MISSING')
  })

  it('refuses places that will not do', async (t) => {
    const directory = temporaryDirectory(t)
    await thousand(`${directory}/db`)
    const { repair } = Database
    const call = (/** @type {any[]} */ ...given) => errorOf(Reflect.apply(repair, Database, given))
    assert.match((await call(`${directory}/db`, `${directory}/db`)).message, /is the damaged database itself/)
    assert.equal((await call(`${directory}/none`, `${directory}/new`)).code, 'ERR_DB_MISSING')
    assert.match(
      (await call(`${directory}/db`, `${directory}/new`, { onLoss: 1 })).message,
      /onLoss must be a function/,
    )
    const db = await Database.open(`${directory}/db`)
    assert.equal((await call(`${directory}/db`, `${directory}/new`)).code, 'ERR_DB_LOCKED')
    await db.close()
    await Database.repair(`${directory}/db`, `${directory}/new`)
    assert.equal((await call(`${directory}/db`, `${directory}/new`)).code, 'ERR_DB_EXISTS')
  })
})

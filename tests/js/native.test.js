// native.test.js: the same directory, natively and in Node: what one writes the other reads byte for byte, and each
// keeps the other out. Needs build/release/varve (npm run build).

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { it } from 'node:test'
import { Database } from '../../bindings/js/index.js'
import { Random, atEnd, errorOf, killedWritersKeep, program, seedOf, skipNative } from './support.js'
import { temporaryDirectory, varve } from './support.js'

async function dumpOf(path) {
  const db = await Database.open(path, { readOnly: true })
  const hash = createHash('sha256')
  for await (const [key, value] of db.entries()) hash.update(`${JSON.stringify({ key, value })}\n`)
  await db.close()
  return hash.digest('hex')
}

it('reads natively what Node wrote, and the other way round', { skip: skipNative }, async (t) => {
  const path = `${temporaryDirectory(t)}/db`
  const seed = seedOf()
  const random = new Random(seed)
  t.diagnostic(`VARVE_SEED=${seed}`)
  for (let round = 0; round < 4; round++) {
    const db = await Database.open(path, { memtable: 65536, memory: 1 << 20, tableSize: 65536 })
    for (let i = 0; i < 4000; i++) {
      const key = `k${random.below(3000)}`
      if (random.chance(75)) void db.put(key, `${random.next()} ü`.repeat(random.below(20)))
      else void db.del(key)
    }
    if (round === 1) await db.clear({ prefix: 'k1' })
    if (round === 2) await db.compact()
    await db.put('round', String(round))
    const count = await db.count()
    await db.close()

    assert.equal((await varve([path, 'count'])).stdout.trim(), String(count))
    const verified = await varve([path, 'verify'])
    assert.equal(verified.code, 0, verified.stderr)
    const dump = await varve([path, 'dump'])
    assert.equal(createHash('sha256').update(dump.stdout).digest('hex'), await dumpOf(path))
    const rows = Array.from({ length: 2000 }, (_, i) =>
      JSON.stringify({ key: `native ${random.below(900)}`, value: `${i}` }),
    )
    const loaded = await varve([path, 'load'], rows.join('\n') + '\n')
    assert.equal(loaded.code, 0, loaded.stderr)
    assert.equal((await varve([path, 'get', 'round'])).stdout.trim(), String(round))
    const last = JSON.parse(rows.at(-1))
    const again = await Database.open(path)
    assert.equal(await again.get(last.key), last.value)
    assert.equal((await again.verify()).errors, 0)
    await again.close()
  }
})

it('keeps Node out while a native process has it open, and names that', { skip: skipNative }, async (t) => {
  const path = `${temporaryDirectory(t)}/db`
  const native = spawn(program, [path], { stdio: ['pipe', 'pipe', 'pipe'] })
  atEnd(t, () => native.kill('SIGKILL'))
  const ended = new Promise((resolve) => native.on('close', resolve))
  native.stdin.write('put a 1\nget a\n')
  await new Promise((resolve) => native.stdout.once('data', resolve))
  const error = await errorOf(Database.open(path))
  assert.equal(error.code, 'ERR_DB_LOCKED')
  assert.match(error.message, new RegExp(`process ${native.pid} \\(native\\)`))
  native.kill('SIGKILL')
  await ended
  const db = await Database.open(path)
  assert.equal(await db.get('a'), '1')
  await db.close()
})

it('keeps a native process out while Node has it open, and names that', { skip: skipNative }, async (t) => {
  const path = `${temporaryDirectory(t)}/db`
  const db = await Database.open(path)
  await db.put('a', '1')
  const refused = await varve([path, 'get', 'a'])
  assert.notEqual(refused.code, 0)
  assert.match(refused.stderr, new RegExp(`\\b${process.pid}\\b`))
  await db.close()
  assert.equal((await varve([path, 'get', 'a'])).stdout.trim(), '1')
})

it(
  'keeps every acknowledged write when the process is killed',
  { skip: skipNative || process.platform === 'win32' },
  async (t) => {
    const path = `${temporaryDirectory(t)}/db`
    await killedWritersKeep(path, 3)
  },
)

// level.test.js: varve/level passes every test that abstract-level has for a database.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'

import { VarveLevel } from 'varve/level'

const SUITE = fileURLToPath(new URL('level_suite.js', import.meta.url))
/** The suite of abstract-level 3.1.1; fewer assertions mean that some were skipped. */
const LEAST = 5160

describe('varve/level', () => {
  for (const place of ['path', 'memory']) {
    it(`passes abstract-level's suite: ${place}`, () => {
      const { stdout, stderr, status } = spawnSync(process.execPath, [SUITE, place], {
        encoding: 'utf8',
        maxBuffer: 1 << 26,
      })
      const failed = stdout.split('\n').filter((line) => line.startsWith('not ok'))
      assert.deepEqual(failed, [], stderr)
      assert.equal(status, 0, stderr)
      const passed = Number(/^# pass +(\d+)$/m.exec(stdout)?.[1])
      assert.ok(passed >= LEAST, `${passed} assertions passed`)
    })
  }

  it('has the manifest that the suite was run with', async () => {
    const db = new VarveLevel(':memory:')
    const { supports } = db
    for (const power of ['seek', 'has', 'getSync', 'explicitSnapshots', 'implicitSnapshots', 'createIfMissing']) {
      assert.equal(/** @type {any} */ (supports)[power], true, power)
    }
    assert.deepEqual(supports.signals, { iterators: true })
    await db.close()
  })
})

// level_suite.js: abstract-level's own tests, all of them, over varve/level:
// `node tests/js/level_suite.js path|memory` prints TAP; level.test.js runs it and reads the totals.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import suite from 'abstract-level/test/index.js'
import test from 'tape'
import { VarveLevel } from 'varve/level'

const root = mkdtempSync(join(tmpdir(), 'varve-level-'))
let places = 0

suite({
  test,
  factory: (options) =>
    new VarveLevel(process.argv[2] === 'memory' ? ':memory:' : join(root, String(places++)), options),
})
test.onFinish(() => rmSync(root, { recursive: true, force: true }))

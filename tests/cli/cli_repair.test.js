/** `repair`: databases that are whole, damaged, or do not open any more. */
import assert from 'node:assert/strict'
import { readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { eachProgram } from './cli_program.js'

const ENTRIES = 2000

/**
 * A database with one table of many blocks, and its sorted entries.
 * @param {import('./cli_program.js').Program} varve
 */
function manyEntries(varve) {
  const path = varve.path()
  const keys = Array.from({ length: ENTRIES }, (_, i) => `key${String(i).padStart(5, '0')}`)
  const rows = keys.map((key) => JSON.stringify({ key, value: `value of ${key}` })).join('\n')
  varve.ok([path, 'load'], { input: rows })
  varve.ok([path, 'compact'])
  return { path, lines: keys.map((key) => `${key}\tvalue of ${key}`) }
}

/** @param {string} path @param {string} ending */
function fileOf(path, ending) {
  const name = readdirSync(path).find((file) => file.endsWith(ending))
  assert.ok(name !== undefined)
  return join(path, name)
}

/** Changes one byte. @param {string} file @param {number} at */
function flip(file, at) {
  const bytes = readFileSync(file)
  bytes[at] = (bytes[at] ?? 0) ^ 1
  writeFileSync(file, bytes)
}

eachProgram('repair', (varve) => {
  test('a whole database is copied, and exit status 0 says so', () => {
    const { path, lines } = manyEntries(varve)
    const target = varve.path()
    assert.equal(varve.ok([path, 'repair', target]).out, `repaired to ${target}: 2,000 entries; ${path} is as it was\n`)
    assert.equal(varve.ok([target, 'scan']).out, `${lines.join('\n')}\n`)
    assert.match(varve.ok([target, 'verify']).out, /^OK/)
    varve.fails([path, 'repair', target], 3, /^varve: EXISTS: .* is not empty, .* is in it; repair to a new place/)
  })

  test('a damaged block is told, with its neighbours, and exit status 6', () => {
    const { path, lines } = manyEntries(varve)
    const target = varve.path()
    const table = fileOf(path, '.sst')
    flip(table, 5000)
    const before = readFileSync(table)
    const { out } = varve.fails(
      [path, 'repair', target],
      6,
      /^varve: not everything could be saved: 1 loss, listed above\n$/,
    )
    const told =
      /^lost: \d+\.sst, [\d,]+ bytes at offset \d+: checksum mismatch; .* between "(key\d+)" and "(key\d+)"$/m
    const [, after, next] = told.exec(out) ?? []
    assert.ok(after !== undefined && next !== undefined, out)
    const kept = lines.filter((line) => line.slice(0, 8) <= after || line.slice(0, 8) >= next)
    assert.ok(kept.length < ENTRIES && kept.length > ENTRIES / 2)
    assert.equal(varve.ok([target, 'scan']).out, `${kept.join('\n')}\n`)
    assert.deepEqual(readFileSync(table), before)
  })

  test('a database that does not open any more is saved whole', () => {
    const { path, lines } = manyEntries(varve)
    const target = varve.path()
    rmSync(join(path, 'SUPER'))
    flip(fileOf(path, '.sst'), readFileSync(fileOf(path, '.sst')).length - 20)
    varve.fails([path, 'get', 'key00001'], 4, /SUPER is missing/)
    const { out } = varve.ok([path, 'repair', target])
    assert.match(out, /^mended: SUPER: it is missing, or empty\nmended: \d+\.sst: .*\nrepaired to /)
    assert.equal(varve.ok([target, 'scan']).out, `${lines.join('\n')}\n`)
  })

  test('one file without its directory is saved whole, also without its first pages', () => {
    const path = varve.path('.varve')
    const rows = Array.from({ length: ENTRIES }, (_, i) => JSON.stringify({ key: `key${i}`, value: `value ${i}` }))
    varve.ok([path, 'load'], { input: rows.join('\n') })
    varve.ok([path, 'compact'])
    varve.ok([path, 'put', 'last', 'in the log'])
    const before = varve.ok([path, 'scan']).out
    const bytes = readFileSync(path)
    for (const first of [4096, 0]) {
      const target = varve.path('.varve')
      bytes.fill(0, first, 4 * 4096)
      writeFileSync(path, bytes)
      varve.fails([path, 'get', 'last'], first === 0 ? 3 : 4, first === 0 ? /not a Varve database/ : /CORRUPT/)
      const { out } = varve.ok([path, 'repair', target])
      assert.match(out, /^mended: the directory: it is damaged, and was made anew from what the pages hold\nrepaired /)
      assert.equal(varve.ok([target, 'scan']).out, before)
      assert.deepEqual(readFileSync(path), bytes)
    }
    writeFileSync(path, 'some notes of somebody\n'.repeat(2000))
    varve.fails([path, 'repair', varve.path()], 3, /^varve: NOT_DATABASE: /)
  })

  test('nothing to repair, and no place to put it', () => {
    varve.fails([varve.path(), 'repair', varve.path()], 3, /^varve: MISSING: /)
    varve.fails([varve.path(), 'repair'], 2, /TARGET/)
    varve.fails([varve.database({ a: '1' }), 'repair', ':memory:'], 3, /would be gone at once/)
  })
})

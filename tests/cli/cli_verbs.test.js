/** Every verb on small databases. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { eachProgram } from './cli_program.js'

/**
 * A checksum over names and contents of a directory's files.
 * @param {string} directory
 */
function checksumOf(directory) {
  const hash = createHash('sha256')
  for (const name of readdirSync(directory).sort()) {
    // The lock's content says who has it, which is no part of the database.
    if (name !== 'LOCK')
      hash
        .update(name)
        .update('\0')
        .update(readFileSync(join(directory, name)))
  }
  return hash.digest('hex')
}

eachProgram('get, put, del', (varve) => {
  test('put then get gives the bytes back, with nothing added', () => {
    const path = varve.path()
    assert.equal(varve.ok([path, 'put', 'user:1', 'Alice']).out, '')
    assert.equal(varve.ok([path, 'get', 'user:1']).out, 'Alice')
    varve.ok([path, 'put', 'user:1', 'Bob'])
    assert.equal(varve.ok([path, 'get', 'user:1']).out, 'Bob')
  })

  test('the value comes from standard input when it is left out, or -', () => {
    const path = varve.path()
    const value = Buffer.from([0, 255, 10, 13, 0, 128])
    varve.ok([path, 'put', 'a'], { input: value })
    varve.ok([path, 'put', 'b', '-'], { input: value })
    varve.ok([path, 'put', 'c'], { input: '' })
    assert.deepEqual(varve.ok([path, 'get', 'a']).bytes, value)
    assert.deepEqual(varve.ok([path, 'get', 'b']).bytes, value)
    assert.equal(varve.ok([path, 'get', 'c']).bytes.length, 0)
  })

  test('a missing key is exit status 1 and silence', () => {
    const path = varve.database({ a: '1' })
    const result = varve.run([path, 'get', 'b'])
    assert.deepEqual([result.status, result.out, result.err], [1, '', ''])
  })

  test('formats of get', () => {
    const path = varve.database({ a: 'x\ty\u0001\\' })
    assert.equal(varve.ok([path, 'get', 'a', '--format', 'text']).out, 'x\\ty\\x01\\\\\n')
    assert.equal(varve.ok([path, 'get', 'a', '--format=hex']).out, '780979015c\n')
    assert.equal(varve.ok([path, 'get', 'a', '--format=json']).out, '{"key":"a","value":"x\\ty\\u0001\\\\"}\n')
  })

  test('keys in hex, and keys that look like options', () => {
    const path = varve.path()
    varve.ok([path, 'put', '--hex', '00fF', 'binary'])
    varve.ok([path, 'put', '--', '--range', '--values'])
    varve.ok([path, 'put', '--', '-h', '-5'])
    assert.equal(varve.ok([path, 'get', '--hex', '00FF']).out, 'binary')
    assert.equal(varve.ok([path, 'get', '--', '--range']).out, '--values')
    assert.equal(varve.ok([path, 'scan', '--hex']).out, '00ff\tbinary\n2d2d72616e6765\t--values\n2d68\t-5\n')
    varve.fails([path, 'get', '--hex', '0f0'], 2, /an even number of hex digits, not '0f0'/)
    varve.fails([path, 'get', '--hex', '0g'], 2, /hex digits/)
  })

  test('del removes one key, and none is no error', () => {
    const path = varve.database({ a: '1', b: '2' })
    varve.ok([path, 'del', 'a'])
    varve.ok([path, 'del', 'a'])
    assert.equal(varve.ok([path, 'scan']).out, 'b\t2\n')
  })

  test('del --range: from the first to before the second; an empty end is open', () => {
    const path = varve.database({ a: '', b: '', c: '', d: '', e: '' })
    varve.ok([path, 'del', '--range', 'b', 'd'])
    assert.equal(varve.ok([path, 'scan', '--keys']).out, 'a\nd\ne\n')
    varve.ok([path, 'del', '--range', 'e', ''])
    assert.equal(varve.ok([path, 'scan', '--keys']).out, 'a\nd\n')
    varve.ok([path, 'del', '--range', '', 'd'])
    assert.equal(varve.ok([path, 'scan', '--keys']).out, 'd\n')
    varve.ok([path, 'del', '--range', 'x', 'a'])
    assert.equal(varve.ok([path, 'count']).out, '1\n')
    varve.fails([path, 'del', '--range', '', ''], 2, /both ends of the range are empty.*--all/)
    assert.equal(varve.ok([path, 'count']).out, '1\n')
    varve.ok([path, 'del', '--range', '', '', '--all'])
    assert.equal(varve.ok([path, 'count']).out, '0\n')
  })

  test('strict writes and a bound on memory are taken', () => {
    const path = varve.path()
    varve.ok(['--strict', path, 'put', 'a', '1', '--memory', '32M'])
    assert.equal(varve.ok([path, 'get', 'a', '--memory=16000000']).out, '1')
  })
})

eachProgram('scan, count', (varve) => {
  test('order, bounds, prefix, reverse, limit', () => {
    const path = varve.database({ b: '2', a: '1', 'p:2': 'y', 'p:1': 'x', q: '3', é: '4' })
    /** @param {string[]} args */
    const keys = (...args) =>
      varve
        .ok([path, 'scan', '--keys', ...args])
        .out.trim()
        .split('\n')
        .join(' ')
    assert.equal(varve.ok([path, 'scan']).out, 'a\t1\nb\t2\np:1\tx\np:2\ty\nq\t3\né\t4\n')
    assert.equal(keys('--reverse'), 'é q p:2 p:1 b a')
    assert.equal(keys('--prefix', 'p:'), 'p:1 p:2')
    assert.equal(keys('--prefix', 'p:', '--reverse', '--limit', '1'), 'p:2')
    assert.equal(keys('--from', 'b', '--to', 'p:2'), 'b p:1')
    assert.equal(keys('--from=c', '--prefix=p:', '--to=p:2'), 'p:1')
    assert.equal(keys('--from', 'b', '--to', 'q', '--reverse'), 'p:2 p:1 b')
    assert.equal(keys('--limit', '2'), 'a b')
    assert.equal(keys('--limit', '0'), '')
    assert.equal(keys('--prefix', 'none'), '')
    assert.equal(keys('--hex', '--prefix', 'c3'), 'c3a9')
  })

  test('count takes the same bounds', () => {
    const path = varve.database({ a: '1', b: '2', 'p:1': 'x', 'p:2': 'y' })
    assert.equal(varve.ok([path, 'count']).out, '4\n')
    assert.equal(varve.ok([path, 'count', '--prefix', 'p:']).out, '2\n')
    assert.equal(varve.ok([path, 'count', '--from', 'b', '--to', 'p:2']).out, '2\n')
    assert.equal(varve.ok([path, 'count', '--from', 'z']).out, '0\n')
  })

  test('formats and halves', () => {
    const path = varve.path()
    varve.ok([path, 'put', 'k\n', '-'], { input: Buffer.from([0xff, 9, 0xc3, 0xa9, 0x7f, 0x5c]) })
    assert.equal(varve.ok([path, 'scan']).out, 'k\\n\t\\xff\\té\\x7f\\\\\n')
    assert.equal(varve.ok([path, 'scan', '--format', 'hex']).out, '6b0a\tff09c3a97f5c\n')
    assert.equal(varve.ok([path, 'scan', '--format', 'json']).out, '{"key":"k\\n","value64":"/wnDqX9c"}\n')
    assert.equal(varve.ok([path, 'scan', '--format', 'json', '--keys']).out, '{"key":"k\\n"}\n')
    assert.equal(varve.ok([path, 'scan', '--format', 'json', '--values']).out, '{"value64":"/wnDqX9c"}\n')
    const raw = varve.ok([path, 'scan', '--format', 'raw', '--values']).bytes
    assert.equal(raw.toString('hex'), 'ff09c3a97f5c0a')
    assert.equal(varve.ok([path, 'scan', '--values', '--format=text']).out, '\\xff\\té\\x7f\\\\\n')
  })
})

eachProgram('keyspaces', (varve) => {
  test('are apart, are listed in order, are dropped', () => {
    const path = varve.path()
    varve.ok([path, 'put', 'k', 'default'])
    varve.ok([path, 'put', 'k', 'one', '--keyspace', 'zoo'])
    varve.ok([path, 'put', 'k', 'two', '--keyspace', 'añb'])
    assert.equal(varve.ok([path, 'get', 'k']).out, 'default')
    assert.equal(varve.ok([path, 'get', 'k', '--keyspace=zoo']).out, 'one')
    assert.equal(varve.ok([path, 'scan', '--keyspace=añb']).out, 'k\ttwo\n')
    assert.equal(varve.ok([path, 'keyspaces']).out, 'añb\nzoo\n')
    assert.equal(varve.ok([path, 'count', '--keyspace', 'zoo']).out, '1\n')
    varve.ok([path, 'del', 'k', '--keyspace', 'zoo'])
    assert.equal(varve.ok([path, 'count', '--keyspace', 'zoo']).out, '0\n')
    varve.ok([path, 'drop', 'añb'])
    assert.equal(varve.ok([path, 'keyspaces']).out, 'zoo\n')
    assert.equal(varve.ok([path, 'count']).out, '1\n')
  })

  test('reading one that is not there says so and makes none', () => {
    const path = varve.database({ a: '1' })
    for (const verb of [['get', 'a'], ['scan'], ['count'], ['dump'], ['del', 'a']]) {
      varve.fails([path, ...verb, '--keyspace', 'nope'], 1, /there is no keyspace 'nope'/)
    }
    varve.fails([path, 'drop', 'nope'], 1, /there is no keyspace 'nope'/)
    assert.equal(varve.ok([path, 'keyspaces']).out, '')
    varve.fails([path, 'put', 'a', 'b', '--keyspace', 'n'.repeat(256)], 2, /at most 255 bytes/)
  })
})

eachProgram('care', (varve) => {
  test('stats, as a table and as JSON', () => {
    const path = varve.database({ a: '1', b: '2' })
    assert.match(varve.ok([path, 'stats']).out, /on disk +\d[\d.]* \w+\n/)
    assert.doesNotMatch(varve.ok([path, 'stats']).out, /cache|commits|^1 /m)
    assert.match(varve.ok([path], { input: 'stats\n' }).out, /^commits +\d+$/m)
    const stats = JSON.parse(varve.ok([path, 'stats', '--json']).out)
    assert.ok(stats.disk_bytes > 0)
    assert.ok(Array.isArray(stats.levels))
    assert.equal(typeof stats.cache_hits, 'number')
  })

  test('verify says OK and what was read', () => {
    const path = varve.database({ a: '1', b: '2' })
    varve.ok([path, 'compact'])
    assert.match(varve.ok([path, 'verify']).out, /^OK: \d+ files, \d+ blocks?, 2 entries, [\d.]+ \w+ read\n$/)
  })

  test('compact keeps what is there', () => {
    const path = varve.database({ a: '1', b: '2', c: '3' })
    varve.ok([path, 'del', 'b'])
    assert.match(varve.ok([path, 'compact']).out, /^compacted: .* before, .* now\n$/)
    assert.equal(varve.ok([path, 'scan']).out, 'a\t1\nc\t3\n')
  })

  test('convert: a directory as one file, and back, byte for byte', () => {
    const path = varve.database({ a: '1', b: '2' })
    const [single, again] = [varve.path('.varve'), varve.path()]
    assert.match(
      varve.ok([path, 'convert', single]).out,
      new RegExp(`^converted to ${single}: [0-9.]+ [KM]?i?B copied; ${path} is as it was\n$`),
    )
    assert.ok(statSync(single).isFile())
    varve.ok([single, 'convert', again])
    assert.equal(checksumOf(again), checksumOf(path))
    assert.equal(varve.ok([single, 'scan']).out, 'a\t1\nb\t2\n')
    varve.ok([single, 'put', 'c', '3'])
    assert.match(varve.ok([single, 'verify']).out, /^OK: /)
    varve.fails([path, 'convert', single], 3, /^varve: EXISTS: /)
    varve.fails([path, 'convert', again], 3, /^varve: EXISTS: /)
    varve.fails([varve.path(), 'convert', varve.path()], 3, /^varve: MISSING: there is no database/)
    varve.fails([path, 'convert'], 2, /TARGET/)
  })

  test('backup, again, restore', () => {
    const path = varve.database({ a: '1', b: '2' })
    const target = varve.path()
    assert.match(varve.ok([path, 'backup', target]).out, /^backup complete: \d+ files? copied/)
    varve.ok([path, 'put', 'c', '3'])
    varve.ok([path, 'backup', target])
    varve.ok([path, 'put', 'd', '4'])
    const copy = varve.path()
    assert.equal(varve.ok([copy, 'restore', target]).out, `restored to ${copy}\n`)
    assert.equal(varve.ok([copy, 'scan']).out, 'a\t1\nb\t2\nc\t3\n')
    assert.match(varve.ok([copy, 'verify']).out, /^OK/)
    varve.fails([copy, 'restore', target], 3, /^varve: EXISTS: /)
    assert.equal(varve.ok([copy, 'count']).out, '3\n')
    varve.fails([varve.path(), 'restore', varve.path()], 3, /^varve: MISSING: there is no backup at '/)
  })

  test('bench measures and leaves nothing', () => {
    const path = varve.database({ a: '1' })
    const { out } = varve.ok([path, 'bench', '--n', '3000', '--force'])
    varve.fails([path, 'bench'], 2, /has entries, .*--force/)
    for (const step of ['fill in order', 'fill at random', 'read at random', 'scan', 'compact']) {
      assert.match(out, new RegExp(`^${step} +[\\d,]+ +[\\d.]+ +[\\d.]+$`, 'm'))
    }
    assert.equal(varve.ok([path, 'keyspaces']).out, '')
    assert.equal(varve.ok([path, 'dump']).out, '{"key":"a","value":"1"}\n')
  })

  test('verbs that read make no database and change none', () => {
    const missing = varve.path()
    const reading = [['get', 'a'], ['scan'], ['count'], ['dump'], ['stats'], ['verify'], ['keyspaces']]
    for (const verb of [...reading, ['del', 'a'], ['compact'], ['drop', 'k'], ['backup', varve.path()]]) {
      varve.fails([missing, ...verb], 3, /^varve: MISSING: ./)
    }
    varve.fails([missing, 'get', 'a'], 3, /check the path; `put` and `load` make one/)
    assert.equal(existsSync(missing), false)
    const path = varve.database({ a: '1', b: '2' })
    const before = checksumOf(path)
    for (const verb of reading) varve.ok([path, ...verb])
    assert.equal(checksumOf(path), before)
  })

  test('an empty database', () => {
    const path = varve.path()
    assert.equal(varve.ok([path, 'load']).out, 'loaded 0 rows\n')
    assert.equal(varve.ok([path, 'scan']).out, '')
    assert.equal(varve.ok([path, 'scan', '--reverse']).out, '')
    assert.equal(varve.ok([path, 'count']).out, '0\n')
    assert.equal(varve.ok([path, 'dump']).out, '')
    assert.equal(varve.ok([path, 'keyspaces']).out, '')
    assert.match(varve.ok([path, 'verify']).out, /^OK: .* 0 entries/)
    varve.ok([path, 'compact'])
    assert.equal(varve.run([path, 'get', 'a']).status, 1)
    const copy = varve.path()
    varve.ok([copy, 'load', '--raw'], { input: varve.ok([path, 'dump', '--raw']).bytes })
    assert.equal(varve.ok([copy, 'count']).out, '0\n')
  })
})

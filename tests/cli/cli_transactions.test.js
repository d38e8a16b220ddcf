/** Transactions of the shell, and the verb index. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { eachProgram } from './cli_program.js'

eachProgram('transactions and indexes', (varve) => {
  /**
   * @param {string[]} lines
   * @param {string} [path]
   */
  const shell = (lines, path = varve.path()) => varve.run([path], { input: lines.join('\n') + '\n' })

  test('what a transaction changes is seen in it, and kept by commit', () => {
    const path = varve.path()
    const inside = ['put a 1', 'begin', 'put b 2', 'del a', 'get b', 'scan', 'count', 'commit', 'scan']
    const { out, err, status } = shell(inside, path)
    assert.deepEqual([out, err, status], ['2\nb\t2\n1\nb\t2\n', '', 0])
    const again = ['begin serializable', 'del --range a z', 'count', 'rollback', 'count', 'begin', 'put c 3']
    const second = shell(again, path)
    assert.equal(second.out, '0\n1\n')
    assert.match(second.err, /the transaction was not committed: its changes are gone/)
    assert.equal(second.status, 3)
    assert.equal(varve.ok([path, 'count']).out, '1\n')
  })

  test('savepoints are numbered, gone back to, and released', () => {
    const lines = [
      'begin',
      'savepoint',
      'put a 1',
      'savepoint',
      'put b 1',
      'rollback 2',
      'count',
      'rollback 1',
      'count',
    ]
    const rest = ['put c 1', 'release 1', 'rollback 1', 'savepoint', 'commit', 'scan --keys']
    const { out, err, status } = shell([...lines, ...rest])
    assert.equal(out, 'savepoint 1\nsavepoint 2\n1\n0\nsavepoint 1\nc\n')
    assert.match(err, /^varve: line 12: INVALID: there is no savepoint 1/)
    assert.notEqual(status, 0)
  })

  test('slips are refused', () => {
    const slips = [
      'commit',
      'rollback',
      'savepoint',
      'begin sideways',
      'begin',
      'begin',
      'load x',
      'drop x',
      'rollback x',
    ]
    const { err } = shell(['put a 1', ...slips, 'release 0', 'rollback'])
    const lines = err
      .trimEnd()
      .split('\n')
      .map((line) => line.replace(/^varve: /, ''))
    const none = 'there is no transaction; `begin` begins one'
    assert.deepEqual(lines.slice(0, 4), [
      `line 2: ${none}`,
      `line 3: ${none}`,
      `line 4: ${none}`,
      'line 5: the levels are read-committed, snapshot and serializable',
    ])
    assert.match(lines[4], /^line 7: there is a transaction already/)
    assert.match(lines[5], /^line 8: `load` is no part of a transaction/)
    assert.match(lines[6], /^line 9: `drop` is no part of a transaction/)
    assert.match(lines[7], /^line 10: a savepoint is a number/)
    assert.match(lines[8], /^line 11: a savepoint is a number/)
    assert.match(varve.run([varve.path(), 'begin']).err, /`begin` is for the shell/)
  })

  test('keyspaces are part of a transaction', () => {
    const lines = ['put a 1', 'begin', 'put x 1 --keyspace users', 'get x --keyspace users', 'rollback']
    const { out, err } = shell([...lines, 'count --keyspace users'])
    assert.deepEqual([out, err], ['1\n0\n', ''])
  })

  test('a manual index, from the command line and in the shell', () => {
    const path = varve.path()
    varve.ok([path, 'put', '1', 'red'])
    for (const words of [
      ['create', 'by colour'],
      ['create', 'hash', 'hash', 'unique'],
    ])
      varve.ok([path, 'index', ...words])
    assert.equal(varve.ok([path, 'index', 'list']).out, 'by colour\nhash\n')
    for (const [key, row] of [
      ['red', '1'],
      ['rose', '2'],
      ['blue', '3'],
      ['red', '4'],
    ]) {
      varve.ok([path, 'index', 'insert', 'by colour', key, row])
    }
    assert.equal(varve.ok([path, 'index', 'scan', 'by colour']).out, 'blue\t3\nred\t1\nred\t4\nrose\t2\n')
    assert.equal(
      varve.ok([path, 'index', 'scan', 'by colour', '--prefix', 'r', '--reverse', '--limit', '1']).out,
      'rose\t2\n',
    )
    assert.equal(
      varve.ok([path, 'index', 'scan', 'by colour', '--from', 'red', '--to', 'ree', '--values']).out,
      '1\n4\n',
    )
    assert.equal(varve.ok([path, 'index', 'find', 'by colour', 'red']).out, 'red\t1\nred\t4\n')
    assert.equal(varve.ok([path, 'index', 'info', 'by colour']).out, 'btree, manual, 4 postings\n')
    assert.equal(varve.ok([path, 'index', 'verify', 'by colour']).out, 'OK: 4 postings\n')
    varve.ok([path, 'index', 'remove', 'by colour', 'red', '4'])
    assert.equal(varve.run([path, 'index', 'remove', 'by colour', 'red', '4']).status, 1)
    const lines = [
      'begin',
      'index insert hash k 1',
      'index find hash k',
      'rollback',
      'index find hash k',
      'index insert hash k 1',
    ]
    const { out, err } = shell(
      [...lines, 'index insert hash k 2', 'index scan hash', 'index drop hash', 'index list'],
      path,
    )
    assert.equal(out, 'k\t1\nby colour\n')
    assert.match(err, /line 7: EXISTS: .*\nvarve: line 8: UNSUPPORTED: /)
  })

  test('slips of index are refused', () => {
    const path = varve.path()
    varve.ok([path, 'put', 'a', '1'])
    const wrong = (/** @type {string[]} */ ...words) => varve.run([path, 'index', ...words])
    assert.match(wrong('lst').err, /`index` goes before list, create/)
    assert.match(wrong('create', 'x', 'heap').err, /the form is index create NAME/)
    assert.match(wrong('insert', 'x', 'y').err, /the form is index insert NAME KEY PRIMARY/)
    const none = wrong('find', 'x', 'y')
    assert.deepEqual([none.status, none.err], [1, "varve: there is no index 'x'\n"])
    varve.ok([path, 'index', 'create', 'x'])
    assert.match(wrong('scan', 'x', '--prefix', 'a', '--from', 'b').err, /takes --prefix alone/)
    assert.equal(wrong('create', 'x').status, 3)
  })
})

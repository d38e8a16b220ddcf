/** A database in one file, by the command-line program: every verb that matters, and what lies beside the file. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { basename, dirname } from 'node:path'
import { test } from 'node:test'
import { eachProgram } from './cli_program.js'

/** The names that begin with that of a path. @param {string} path */
function beside(path) {
  return readdirSync(dirname(path)).filter((name) => name.startsWith(basename(path)))
}

eachProgram('a database in one file', (varve) => {
  test('put, get, scan, compact, verify', () => {
    const path = varve.path('.varve')
    varve.ok([path, 'put', 'a', '1'])
    varve.ok([path, 'load'], { input: '{"key":"b","value":"2"}\n{"key":"c","value":"3"}\n' })
    assert.equal(varve.ok([path, 'scan']).out, 'a\t1\nb\t2\nc\t3\n')
    varve.ok([path, 'compact'])
    assert.match(varve.ok([path, 'verify']).out, /^OK: /)
    assert.equal(varve.ok([path, 'get', 'b', '--read-only']).out, '2')
    assert.ok(statSync(path).isFile())
    assert.deepEqual(beside(path), [basename(path)])
  })

  test('backup and restore between files and directories', () => {
    const [from, copy, back] = [varve.path('.varve'), varve.path('.varve'), varve.path()]
    varve.ok([from, 'put', 'a', '1'])
    varve.ok([from, 'backup', copy])
    varve.ok([from, 'put', 'b', '2'])
    assert.match(varve.ok([from, 'backup', copy]).out, /1 kept/)
    varve.run([back, 'restore', copy])
    assert.equal(varve.ok([back, 'scan']).out, 'a\t1\nb\t2\n')
    assert.ok(statSync(back).isDirectory())
    const [other, again] = [varve.path(), varve.path('.varve')]
    varve.run([back, 'backup', other])
    varve.run([again, 'restore', other])
    assert.equal(varve.ok([again, 'scan']).out, 'a\t1\nb\t2\n')
    assert.ok(statSync(again).isFile())
  })

  test('a file of something else is refused and left alone', () => {
    const [file, from] = [varve.path('.varve'), varve.database({ a: '1' })]
    writeFileSync(file, 'Dear Alice')
    const message = /p\d+\.varve is a file of something else, and so not a Varve database; give another path/
    varve.fails([file, 'get', 'a'], 3, message)
    varve.fails([file, 'put', 'a', '1'], 3, message)
    varve.fails([from, 'backup', file], 3, message)
    assert.equal(readFileSync(file, 'utf8'), 'Dear Alice')
    assert.deepEqual(beside(file), [basename(file)])
    varve.fails([varve.path('.varve'), 'get', 'a', '--read-only'], 3, /there is no database at/)
  })

  test(
    'another process has it open: its number; one that is killed leaves no lock',
    { skip: !varve.isNative },
    async () => {
      const path = varve.path('.varve')
      const holder = varve.start([path])
      holder.stdin.write('put a 1\ncount\n')
      await once(holder.stdout, 'data')
      varve.fails([path, 'put', 'b', '2'], 5, new RegExp(`^varve: LOCKED: [^]*${holder.pid}`))
      assert.deepEqual(beside(path), [basename(path), `${basename(path)}-lock`])
      holder.kill('SIGKILL')
      await once(holder, 'close')
      assert.equal(varve.ok([path, 'get', 'a']).out, '1')
      assert.deepEqual(beside(path), [basename(path)])
    },
  )
})

/** Help, usage errors, exit statuses, broken databases, streams that fail. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { eachProgram } from './cli_program.js'

const verbs =
  'get put del scan count keyspaces drop load dump stats verify compact backup restore convert repair bench'.split(' ')

eachProgram('help', (varve) => {
  test('the manual has its sections and names every verb', () => {
    const { out } = varve.ok(['--help'])
    let at = -1
    for (const section of ['NAME', 'SYNOPSIS', 'DESCRIPTION', 'VERBS', 'OPTIONS', 'EXIT STATUS', 'EXAMPLES']) {
      const next = out.search(new RegExp(`^${section}$`, 'm'))
      assert.ok(next > at, section)
      at = next
    }
    for (const verb of verbs) assert.match(out, new RegExp(`^    ${verb} `, 'm'))
    assert.ok(out.split('\n').every((line) => line.length <= 120))
    assert.equal(varve.ok(['help']).out, out)
    assert.equal(varve.ok(['-h']).out, out)
    assert.equal(varve.ok(['anywhere', '-h']).out, out)
    assert.equal(varve.ok(['help', 'help']).out, out)
  })

  test('each verb has a page', () => {
    for (const verb of varve.isNative ? verbs : ['get']) {
      const { out } = varve.ok(['help', verb])
      assert.ok(out.startsWith(`NAME\n    varve ${verb} - `))
      assert.match(out, new RegExp(`\nSYNOPSIS\n    varve PATH ${verb}[^]*\nDESCRIPTION\n    \\S`))
      assert.equal(varve.ok(['anywhere', verb, '--help']).out, out)
      assert.equal(varve.ok(['anywhere', verb, '-h']).out, out)
      for (const line of out.split('\n')) assert.ok(line.length <= 125, line)
    }
  })

  test('the version', () => {
    const { out } = varve.ok(['--version'])
    assert.match(out, /^varve \d+\.\d+\.\d+\n$/)
    for (const spelled of ['-v', '-V', 'version']) assert.equal(varve.ok([spelled]).out, out)
    assert.deepEqual(readdirSync(varve.directory), [])
  })
})

eachProgram('usage errors', (varve) => {
  test('are exit status 2 and name the fix', () => {
    const path = varve.database({ a: '1' })
    /** @type {[string[], RegExp][]} */
    const cases = [
      [[], /which database\?.*varve PATH/],
      [['', 'get', 'a'], /the path of the database is empty/],
      [[path, 'gte', 'a'], /no verb 'gte'; did you mean 'get'\?/],
      [[path, 'scna'], /did you mean 'scan'\?/],
      [[path, 'verfy'], /did you mean 'verify'\?/],
      [[path, 'comp'], /did you mean 'compact'\?/],
      [[path, 'delete', 'a'], /did you mean 'del'\?/],
      [[path, 'zzzzzz'], /no verb 'zzzzzz'; `varve --help` lists them/],
      [['help', 'gte'], /did you mean 'get'\?/],
      [['get', path, 'a'], /the path comes first: varve PATH get/],
      [[path, 'get'], /something is missing: the form is `varve PATH get KEY`; see `varve help get`/],
      [[path, 'get', 'a', 'b'], /there is too much: the form is/],
      [[path, 'del', 'a', 'b'], /there is too much/],
      [[path, 'del', '--range', 'a'], /something is missing: .*--range BEGIN END/],
      [[':memory:', 'scan'], /a database in memory is empty/],
      [['-x'], /there is no option '-x'; .*\.\/-x/],
      [[path, '-x'], /there is no option '-x'/],
      [['count'], /the path comes first: varve PATH count/],
      [[path, 'scan', '--limt', '3'], /no option '--limt'; did you mean --limit\?/],
      [[path, 'scan', '--pre', 'a'], /did you mean --prefix\?/],
      [[path, 'get', 'a', '--strict'], /`get` does not take --strict/],
      [[path, 'scan', '--memory', '1K'], /--memory is from 1M to \d+G here, not '1K'/],
      [[path, 'scan', '--memory', '99999G'], /--memory is from 1M to \d+G here, not '99999G'/],
      [[path, 'scan', '--wait', '1h'], /--wait takes a number of seconds/],
      [[path, 'del', 'a', '--all'], /--all goes with --range/],
      [[path, 'count', '--limit', '3'], /`count` counts all entries within the bounds; --limit is for `scan`/],
      [[path, 'scan', '--keys', '--values'], /--keys and --values do not go together/],
      [[path, 'scan', '--limit', '-1'], /--limit takes a number, not '-1'/],
      [[path, 'scan', '--limit'], /--limit needs a value: --limit N/],
      [[path, 'scan', '--reverse=yes'], /--reverse takes no value/],
      [[path, 'scan', '--format', 'xml'], /one of text, json, raw and hex, not 'xml'/],
      [[path, 'scan', '--memory', '12Q'], /--memory takes a number of bytes/],
      [[path, 'scan', '--memory', '99999999999999999999'], /--memory takes a number of bytes/],
      [[path, 'bench', '--n', '0'], /--n takes a number from 1/],
      [[path, 'scan', '--colour'], /no option '--colour'/],
      [[path, 'put', 'a', 'b', '--read-only'], /`put` changes the database, and --read-only forbids that/],
      [[path, '--reverse'], /the shell does not take --reverse/],
      [[path, ...'put 1 2 3 4 5 6 7'.split(' ')], /too many arguments, from '7' on/],
    ]
    for (const [args, message] of varve.isNative ? cases : cases.filter((_, i) => i % 3 === 0)) {
      const { out } = varve.fails(args, 2, message)
      assert.equal(out, '')
    }
    assert.equal(varve.ok([path, 'scan']).out, 'a\t1\n')
  })

  test('keys that no database takes', () => {
    const path = varve.database({ a: '1' })
    varve.fails([path, 'put', 'k'.repeat(65537), 'x'], 3, /^varve: KEY_TOO_LARGE: .*65,?536/)
  })
})

eachProgram('databases that cannot be used', (varve) => {
  test('a file, a directory of something else', () => {
    const file = varve.path('.txt')
    writeFileSync(file, 'some text\n')
    varve.fails([file, 'get', 'a'], 3, /^varve: NOT_DATABASE: ./)
    varve.fails([file, 'put', 'a', 'b'], 3, /^varve: NOT_DATABASE: ./)
    assert.equal(readFileSync(file, 'utf8'), 'some text\n')
    const directory = varve.path()
    mkdirSync(directory)
    writeFileSync(join(directory, 'letter.txt'), 'some text\n')
    varve.fails([directory, 'put', 'a', 'b'], 3, /^varve: NOT_DATABASE: ./)
    assert.equal(readFileSync(join(directory, 'letter.txt'), 'utf8'), 'some text\n')
    varve.fails([join(file, 'below'), 'put', 'a', 'b'], 3, /^varve: \w+: ./)
  })

  test('a directory that is refused is left as it was', () => {
    const directory = varve.path()
    mkdirSync(directory)
    writeFileSync(join(directory, 'letter.txt'), 'some text\n')
    varve.fails([directory, 'put', 'a', 'b'], 3, /^varve: NOT_DATABASE: ./)
    assert.deepEqual(readdirSync(directory), ['letter.txt'])
  })

  test('SUPER is gone: every verb says that, and that something is there', () => {
    const path = varve.database({ a: '1' })
    rmSync(join(path, 'SUPER'))
    for (const verb of [['get', 'a'], ['scan'], ['del', 'a'], ['put', 'a', '2']])
      varve.fails([path, ...verb], 4, /^varve: CORRUPT: SUPER is missing, and \d+\.\w+ is there/)
  })

  test('a flipped byte in a table is exit status 4', () => {
    const path = varve.path()
    const lines = Array.from({ length: 3000 }, (_, n) => `{"key":"k${n}","value":"value ${n * 7919}"}\n`)
    varve.ok([path, 'load'], { input: lines.join('') })
    varve.ok([path, 'compact'])
    const table = readdirSync(path).find((name) => name.endsWith('.sst'))
    assert.ok(table !== undefined)
    const bytes = readFileSync(join(path, table))
    const middle = bytes.length >> 2
    bytes.writeUInt8(bytes.readUInt8(middle) ^ 1, middle)
    writeFileSync(join(path, table), bytes)
    varve.fails([path, 'verify'], 4, new RegExp(`^varve: CORRUPT: [^]*${table}`))
    const scan = varve.fails([path, 'scan'], 4, new RegExp(`^varve: CORRUPT: [^]*${table}`))
    assert.ok(scan.out.split('\n').length - 1 < 3000)
    varve.fails([path, 'dump', varve.path()], 4, /^varve: CORRUPT: /)
  })

  test('another process has it open: exit status 5 and its number', { skip: !varve.isNative }, async () => {
    const path = varve.database({ a: '1' })
    const holder = varve.start([path])
    holder.stdin.write('count\n')
    await once(holder.stdout, 'data')
    varve.fails([path, 'put', 'b', '2'], 5, new RegExp(`^varve: LOCKED: [^]*${holder.pid}[^]*--wait SECONDS`))
    const start = Date.now()
    varve.fails([path, 'put', 'b', '2', '--wait', '1'], 5, /^varve: LOCKED: /)
    assert.ok(Date.now() - start >= 1000)
    holder.stdin.write('put b 3\n')
    holder.stdin.end()
    const [status] = await once(holder, 'close')
    assert.equal(status, 0)
    assert.equal(varve.ok([path, 'get', 'b']).out, '3')
  })

  test('a holder that is killed leaves no lock, and nothing is lost', { skip: !varve.isNative }, async () => {
    const path = varve.path()
    const holder = varve.start([path])
    holder.stdin.write('put a 1\nput b 2\ncount\n')
    await once(holder.stdout, 'data')
    holder.kill('SIGKILL')
    await once(holder, 'close')
    assert.equal(varve.ok([path, 'scan']).out, 'a\t1\nb\t2\n')
    varve.ok([path, 'put', 'c', '3'])
    assert.equal(varve.ok([path, 'count']).out, '3\n')
  })
})

eachProgram('streams', (varve) => {
  const rows = Array.from({ length: 20000 }, (_, n) => `{"key":"k${n}","value":"${'v'.repeat(40)}"}\n`).join('')

  test('a reader that stops early is no failure and no noise', () => {
    const path = varve.path()
    varve.ok([path, 'load'], { input: rows })
    for (const verb of ['scan', 'dump']) {
      const { status, out, err } = varve.bash(`varve "$1" ${verb} | head -n 1`, [path])
      assert.deepEqual([status, out.split('\n').length, err], [0, 2, ''])
    }
  })

  test('dump of one into load of another', () => {
    const [path, copy] = [varve.path(), varve.path()]
    varve.ok([path, 'load'], { input: rows })
    const line = 'varve "$1" dump | varve "$2" load && varve "$1" dump | cmp - <(varve "$2" dump)'
    const { status, err } = varve.bash(line, [path, copy])
    assert.deepEqual([status, err], [0, ''])
  })

  test('a full disk behind standard output is exit status 3', () => {
    const path = varve.path()
    varve.ok([path, 'load'], { input: rows })
    for (const verb of ['scan', 'dump', 'count', 'get k1', 'stats']) {
      const { status, err } = varve.bash(`varve "$1" ${verb} > /dev/full`, [path])
      assert.match(err, /^varve: cannot write to standard output: No space left on device/)
      assert.equal(status, 3, verb)
    }
    const { status, err } = varve.bash('varve "$1" dump /dev/full', [path])
    assert.match(err, /cannot write to \/dev\/full: No space left on device; what is there is not complete/)
    assert.equal(status, 3)
  })
})

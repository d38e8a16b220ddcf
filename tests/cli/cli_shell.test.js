/** The shell, driven through standard input. */
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { eachProgram } from './cli_program.js'

const script = '/usr/bin/script' // gives a program a terminal (util-linux)

eachProgram('shell', (varve) => {
  /**
   * @param {string[]} lines
   * @param {string} [path]
   */
  const shell = (lines, path = varve.path()) => varve.run([path], { input: lines.join('\n') + '\n' })

  test('verbs on one open database, without prompts', () => {
    const puts = ['# a comment', '', 'put user:1 Alice', 'put user:2 Bob', 'get user:1', 'scan --prefix user:', 'count']
    const dels = ['del user:1', 'count', 'del --range user: user;', 'count']
    const { out, err, status } = shell([...puts, ...dels])
    assert.equal(out, 'Alice\nuser:1\tAlice\nuser:2\tBob\n2\n1\n0\n')
    assert.deepEqual([err, status], ['', 0])
  })

  test('what one session wrote the next one finds', () => {
    const path = varve.path()
    assert.equal(shell(['put a 1', '.quit', 'put b 2'], path).status, 0)
    assert.equal(shell(['scan'], path).out, 'a\t1\n')
    assert.equal(varve.ok([path, 'get', 'a']).out, '1')
  })

  test('quotes and escapes', () => {
    const puts = ['put "a b" \'c "d" \\n\'', 'put "\\x00\\xff\\t" "\\"\\\\"', "put e''f ''"]
    const { out, err } = shell([...puts, 'scan', 'scan --format hex', 'get "\\x00\\xff\\t"'])
    assert.equal(err, '')
    const text = ['\\x00\\xff\\t\t"\\\\', 'a b\tc "d" \\\\n', 'ef\t']
    const hex = ['00ff09\t225c', '612062\t6320226422205c6e', '6566\t']
    assert.equal(out, [...text, ...hex, '"\\\\', ''].join('\n'))
    const bad = shell(['put "a', 'put "\\q" b', 'put "\\xg0" b', 'put a 1', 'count'])
    assert.match(bad.err, /^varve: line 1: a quote is not closed\n/m)
    assert.match(bad.err, /^varve: line 2: .*a backslash goes before /m)
    assert.match(bad.err, /^varve: line 3: .*needs two hex digits\n/m)
    assert.deepEqual([bad.out, bad.status], ['1\n', 2])
  })

  test('help, quit and exit need no dot', () => {
    assert.match(shell(['put a 1', 'help', 'quit', 'count']).out, /^\.keyspace[^]*[^0-9]\n$/m)
    assert.equal(shell(['put a 1', 'exit', 'count']).out, '')
  })

  test('modes', () => {
    const json = ['put a "x\\ny"', '.mode json', 'get a', 'scan']
    const other = ['.mode hex', 'get a', 'scan', '.mode raw', 'get a', '.mode text', 'get a', '.mode', 'scan --values']
    const { out, err } = shell([...json, ...other])
    assert.equal(err, '')
    const row = '{"key":"a","value":"x\\ny"}'
    assert.equal(out, [row, row, '780a79', '61\t780a79', 'x', 'y', 'x\\ny', 'x\\ny', ''].join('\n'))
    assert.match(shell(['.mode yaml']).err, /the modes are text, json, raw and hex/)
  })

  test('keyspaces', () => {
    const path = varve.path()
    const named = ['put a default', '.keyspace users', 'put a user', 'get a', 'get a --keyspace ""', '.keyspaces']
    const back = ['.keyspace', 'get a', 'get a --keyspace users', 'keyspaces', 'drop users', '.keyspaces']
    const { out, err } = shell([...named, ...back], path)
    assert.equal(err, '')
    assert.equal(out, 'user\ndefault\nusers\ndefault\nuser\nusers\n')
    assert.match(shell(['.keyspace nobody', 'scan'], path).err, /there is no keyspace 'nobody'/)
    assert.equal(varve.ok([path, 'keyspaces']).out, '')
    varve.ok([path, '--keyspace', 'k'], { input: 'put x y\n' })
    assert.equal(varve.ok([path, 'get', 'x', '--keyspace', 'k']).out, 'y')
  })

  test('load, dump, backup, verify, compact, stats', () => {
    const [path, file, target] = [varve.path(), varve.path('.jsonl'), varve.path()]
    const care = [`dump ${file}`, `backup ${target}`, 'compact', 'verify', 'stats --json']
    const first = shell(['put a 1', 'put b 2', ...care], path)
    assert.equal(first.err, '')
    assert.match(first.out, /^backup complete[^\n]*\ncompacted[^\n]*\nOK[^\n]*\n\{.*\}\n$/)
    assert.equal(readFileSync(file, 'utf8'), '{"key":"a","value":"1"}\n{"key":"b","value":"2"}\n')
    const second = shell([`load ${file}`, 'count', 'dump'])
    assert.equal(second.out, 'loaded 2 rows\n2\n' + readFileSync(file, 'utf8'))
  })

  test('mistakes: the script goes on, the exit status is that of the first', () => {
    /** @type {[string, RegExp][]} */
    const mistakes = [
      ['gte a', /did you mean 'get'\?/],
      ['put a', /the form is `put KEY VALUE`/],
      ['load', /the form is `load FILE`/],
      ['put a -', /cannot read standard input/],
      ['.nothing', /no command '.nothing'; see .help/],
      ['get a --strict', /give it when the shell is started/],
      ['restore x', /`restore` is for the command line/],
      ['scan --colour', /no option '--colour'/],
      ['.stats', /`stats` has no dot/],
    ]
    const { out, err, status } = shell([...mistakes.map(([line]) => line), 'put a 1', 'get none', 'count'])
    for (const [, message] of mistakes) assert.match(err, message)
    assert.match(err, /there is no such key/)
    assert.deepEqual([out, status], ['1\n', 2])
    assert.equal(shell(['put a 1', 'get none']).status, 0)
  })

  test('help and timer', () => {
    const helps = ['.help', '.help scan', 'scan --help']
    const { out } = shell(['put a 1', 'del a', ...helps, '.timer on', 'count', '.timer off', 'count'])
    assert.match(out, /^\.keyspace \[NAME\]/m)
    assert.match(out, /^put KEY VALUE +store VALUE under KEY$/m)
    assert.match(out, /^scan +list entries in order$/m)
    assert.equal(out.match(/varve scan - list entries in order/g)?.length, 2)
    assert.match(out, /\n0\ntime: \d+\.\d{3} ms\n0\n$/)
  })

  test('a database opened for reading takes no writes', () => {
    const path = varve.database({ a: '1' })
    const { out, err, status } = varve.run([path, '--read-only'], { input: 'get a\nput a 2\nget a\n' })
    assert.equal(out, '1\n1\n')
    assert.match(err, /`put` changes the database, and --read-only forbids that/)
    assert.equal(status, 2)
    const missing = varve.path()
    varve.fails([missing, '--read-only'], 3, /MISSING/)
    assert.equal(existsSync(missing), false)
  })

  test('a shell that only reads makes no database, and a script says so', () => {
    const path = varve.path()
    varve.fails([path], 3, /^varve: there is no database at '.*'; `varve .* put KEY VALUE` makes one/)
    const { out, err, status } = shell(['get a', '.keyspaces', 'del a'], path)
    assert.deepEqual([out, status], ['', 3])
    assert.equal(err.match(/MISSING: there is no database at/g)?.length, 3)
    assert.equal(existsSync(path), false)
    assert.deepEqual(shell(['put a 1', 'get a'], path).out, '1\n')
  })

  test(':memory: is a database that is gone at the end', () => {
    assert.equal(shell(['put a 1', 'scan'], ':memory:').out, 'a\t1\n')
    assert.equal(shell(['scan'], ':memory:').out, '')
  })

  test('a program can have a conversation with it', async () => {
    const session = varve.start([varve.path()])
    const turns = /** @type {const} */ ([
      ['put a 1\ncount\n', '1\n'],
      ['put b 2\nget b\n', '2\n'],
      ['count\n', '2\n'],
    ])
    for (const [lines, answer] of turns) {
      session.stdin.write(lines)
      const [data] = await once(session.stdout, 'data')
      assert.equal(String(data), answer)
    }
    session.stdin.end()
    const [status] = await once(session, 'close')
    assert.equal(status, 0)
  })

  test('on a terminal: a prompt, history', { skip: !varve.isNative || !existsSync(script) }, () => {
    const [path, history] = [varve.path(), varve.path()]
    const ended = spawnSync(script, ['-qec', `'${varve.file}' '${path}'`, '/dev/null'], {
      input: 'put a 1\n.keyspace k\nput b 2\n.quit\n',
      timeout: 20000,
      env: { ...process.env, VARVE_HISTORY: history, TERM: 'xterm' },
    })
    const out = ended.stdout.toString()
    assert.match(out, /\(new, made by the first put\); \.help for help/)
    assert.match(out, /varve:k> /)
    assert.equal(varve.ok([path, 'scan', '--keyspace', 'k']).out, 'b\t2\n')
    if (existsSync(history)) assert.match(readFileSync(history, 'utf8'), /put/)
  })

  test(
    'on a terminal: Ctrl-C drops the line, Tab completes a verb',
    { skip: !varve.isNative || !existsSync(script) },
    async () => {
      const path = varve.path()
      const session = spawn(script, ['-qefc', `'${varve.file}' '${path}'`, '/dev/null'], {
        env: { ...process.env, VARVE_HISTORY: '', TERM: 'xterm' },
        timeout: 20000,
      })
      let seen = ''
      session.stdout.on('data', (data) => (seen += String(data)))
      /** @param {string} text  to be written when the prompt has come */
      const say = async (text) => {
        while (!seen.includes('varve> ')) await once(session.stdout, 'data')
        seen = ''
        session.stdin.write(text)
      }
      await say('put a 1\r')
      await say('put b half')
      while (!seen.includes('half')) await once(session.stdout, 'data')
      session.stdin.write('\x03')
      await say('cou\t\r')
      while (!/\n1\r\n/.test(seen)) await once(session.stdout, 'data')
      await say('quit\r')
      await once(session, 'close')
      assert.equal(varve.ok([path, 'scan']).out, 'a\t1\n')
    },
  )
})

/** The formats of load and dump: round trips, the canonical spelling, bad input. */
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { eachProgram, seed, seeded } from './cli_program.js'

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/**
 * The rule of cli_json_lines.c, written a second time.
 * @param {string} name
 * @param {Buffer} bytes
 */
function member(name, bytes) {
  try {
    return `"${name}":${JSON.stringify(decoder.decode(bytes))}`
  } catch {
    return `"${name}64":"${bytes.toString('base64')}"`
  }
}

/**
 * @param {Buffer} key
 * @param {Buffer} value
 */
function row(key, value) {
  return `{${member('key', key)},${member('value', value)}}\n`
}

/**
 * Rows sorted as a dump has them, the last one of equal keys.
 * @param {[Buffer, Buffer][]} entries
 */
function canonical(entries) {
  /** @type {Map<string, [Buffer, Buffer]>} */
  const last = new Map(entries.map((entry) => [entry[0].toString('hex'), entry]))
  const sorted = [...last.values()].sort((a, b) => Buffer.compare(a[0], b[0]))
  return sorted.map(([key, value]) => row(key, value)).join('')
}

/** Bytes at the borders of what is UTF-8. */
const borders = (
  '00 1f 20 22 5c 7f 80 c1bf c280 dfbf c2 c220 e08080 e09fbf e0a080 ed9fbf eda080 edbfbf ee8080 efbbbf efbfbd efbfbf ' +
  'e282 e28220 f08fbfbf f0908080 f09f9880 f48fbfbf f4908080 f5808080 f09f98 ff fe 61ff62 e280a8 ' +
  '08090a0b0c0d0e 2f c3a9c3'
)
  .split(' ')
  .map((hex) => Buffer.from(hex, 'hex'))

const words = ['', 'a', 'é', '日本', '\n', '"', '\\', '\u0000', '😀', '\u007f', 'plain text ']

/**
 * Bytes or text of a random length.
 * @param {(below: number) => number} random
 * @param {number} max
 */
function randomBytes(random, max) {
  const size = random(4) === 0 ? random(max) : random(12)
  if (random(2) === 0) return Buffer.from(Array.from({ length: size }, () => random(256)))
  return Buffer.from(Array.from({ length: size }, () => words[random(words.length)]).join(''))
}

/** @param {number} count */
function randomEntries(count) {
  const random = seeded(seed)
  /** @type {[Buffer, Buffer][]} */
  const entries = []
  while (entries.length < count) {
    const key = randomBytes(random, 300)
    if (key.length > 0) entries.push([key, randomBytes(random, 3000)])
  }
  return entries
}

/** @param {[Buffer, Buffer][]} entries */
const rows = (entries) => entries.map(([key, value]) => row(key, value)).join('')

eachProgram('load and dump', (varve) => {
  test('bytes of every kind, in the canonical spelling', () => {
    const path = varve.path()
    /** @type {[Buffer, Buffer][]} */
    const entries = borders.map((bytes) => [bytes, Buffer.concat([bytes, Buffer.from('x')])])
    for (let byte = 0; byte < 256; byte++) entries.push([Buffer.from([byte]), Buffer.from([65, byte])])
    varve.ok([path, 'load'], { input: rows(entries) })
    assert.equal(varve.ok([path, 'dump']).out, canonical(entries))
  })

  test(`random entries survive JSON and raw (VARVE_SEED=${seed})`, () => {
    const entries = randomEntries(2500)
    const [first, second, third] = [varve.path(), varve.path(), varve.path()]
    varve.ok([first, 'load'], { input: rows(entries) })
    const dump = varve.ok([first, 'dump']).out
    assert.equal(dump, canonical(entries))
    assert.equal(varve.ok([second, 'load'], { input: dump }).out, `loaded ${dump.split('\n').length - 1} rows\n`)
    assert.equal(varve.ok([second, 'dump']).out, dump)
    const raw = varve.ok([first, 'dump', '--raw']).bytes
    varve.ok([third, 'load'], { input: raw })
    assert.equal(varve.ok([third, 'dump']).out, dump)
    assert.deepEqual(varve.ok([third, 'dump', '--raw']).bytes, raw)
  })

  test('any spelling of JSON is taken', () => {
    const path = varve.path()
    const lines = [
      ' { "value" : "\\u00e9\\ud83d\\ude00\\/\\b\\f\\n\\r\\t\\"\\\\" , "key" : "a" } \r',
      '',
      '\t',
      '{"key64":"/w==","value64":""}',
      '{"value":"","key64":"YQBi"}',
    ]
    assert.equal(varve.ok([path, 'load'], { input: lines.join('\n') }).out, 'loaded 3 rows\n')
    const expected = [
      '{"key":"a","value":"é😀/\\b\\f\\n\\r\\t\\"\\\\"}',
      '{"key":"a\\u0000b","value":""}',
      '{"key64":"/w==","value":""}',
    ]
    assert.equal(varve.ok([path, 'dump']).out, expected.join('\n') + '\n')
  })

  test('keyspaces: the default one first, then by name', () => {
    const path = varve.path()
    const small = '{"keyspace":"b","key":"k","value":"1"}\n'
    const none = '{"key":"z","value":"2"}\n'
    const quoted = '{"keyspace":"a\\"","key":"k","value":"3"}\n'
    const large = '{"keyspace":"B","key":"k","value":"4"}\n'
    varve.ok([path, 'load'], { input: small + none + quoted + large })
    const sorted = none + large + quoted + small
    assert.equal(varve.ok([path, 'dump']).out, sorted)
    assert.equal(varve.ok([path, 'dump', '--keyspace', 'b']).out, small)
    assert.equal(varve.ok([path, 'scan', '--keyspace', 'b', '--format', 'json']).out, small)
    const copy = varve.path()
    varve.ok([copy, 'load'], { input: sorted })
    assert.equal(varve.ok([copy, 'dump']).out, sorted)
    const moved = varve.path()
    varve.ok([moved, 'load', '--keyspace', 'new'], { input: sorted })
    assert.equal(varve.ok([moved, 'scan', '--keyspace', 'new']).out, 'z\t2\n')
    assert.equal(varve.ok([moved, 'count']).out, '0\n')
    const raw = varve.ok([path, 'dump', '--raw', '--keyspace', 'b']).bytes
    varve.ok([moved, 'load', '--raw', '--keyspace', 'raw'], { input: raw })
    assert.equal(varve.ok([moved, 'scan', '--keyspace', 'raw']).out, 'k\t1\n')
  })

  test('files instead of streams', () => {
    const path = varve.database({ a: '1', b: '2' })
    const [file, copy] = [varve.path('.jsonl'), varve.path()]
    assert.equal(varve.ok([path, 'dump', file]).out, '')
    assert.equal(readFileSync(file, 'utf8'), '{"key":"a","value":"1"}\n{"key":"b","value":"2"}\n')
    assert.equal(varve.ok([copy, 'load', file]).out, 'loaded 2 rows\n')
    varve.fails([copy, 'load', varve.path()], 3, /cannot open '.*' for reading: No such file/)
    varve.fails([copy, 'load', varve.directory], 3, /cannot read '.*': it is a directory/)
    varve.fails([copy, 'dump', '/no/such/place'], 3, /cannot open '\/no\/such\/place' for writing: No such file/)
  })

  test('the form of raw records', () => {
    const [path, copy] = [varve.path(), varve.path()]
    varve.ok([path, 'put', 'k', 'v'.repeat(200)])
    const magic = Buffer.from('varve-raw 1\n')
    const head = Buffer.concat([magic, Buffer.from([1, 0xc8, 1]), Buffer.from('k' + 'v'.repeat(200))])
    /**
     * @param {Buffer} begin
     * @param {number[]} more
     */
    const and = (begin, ...more) => ({ input: Buffer.concat([begin, Buffer.from(more)]) })
    const whole = and(head, 0, 1).input
    assert.deepEqual(varve.ok([path, 'dump', '--raw']).bytes, whole)
    varve.fails([copy, 'load'], 2, /end mark counts other records/, and(head, 0, 2))
    varve.fails([copy, 'load'], 2, /something behind the end mark/, and(whole, 120))
    varve.fails([copy, 'load'], 2, /record 1: a size is larger/, and(magic, 0x81, 0x80, 4))
    varve.fails([copy, 'load'], 2, /record 1: a size is larger/, and(magic, 1, 0x81, 0x80, 0x80, 0x80, 4))
    varve.fails([copy, 'load'], 2, /too many bytes/, { input: Buffer.concat([magic, Buffer.alloc(12, 0xff)]) })
    const text = { input: '{"key":"a","value":""}\n' }
    varve.fails([copy, 'load', '--raw'], 2, /begin with the line "varve-raw 1".*nothing was loaded/, text)
  })

  test('a raw stream cut anywhere is noticed', () => {
    const path = varve.database({ a: 'one', bb: 'two', c: '' })
    const raw = varve.ok([path, 'dump', '--raw']).bytes
    for (let size = 12; size < raw.length; size += varve.isNative ? 1 : 5) {
      const input = raw.subarray(0, size)
      varve.fails([varve.path(), 'load', '--raw'], 2, /record \d: the stream ends inside a record/, { input })
    }
  })

  test('a bad line says where and why, and what came before it is kept', () => {
    const path = varve.path()
    const lines = Array.from({ length: 2500 }, (_, n) => `{"key":"${String(n).padStart(5, '0')}","value":"v"}\n`)
    lines[2100] = '{"key":"x","valeu":"v"}\n'
    const where = /standard input, line 2101, byte 19: a row has only the members/
    const { err } = varve.fails([path, 'load'], 2, where, { input: lines.join('') })
    assert.match(err, /2100 rows, the first ones, are in the database/)
    assert.equal(varve.ok([path, 'count']).out, '2100\n')
    assert.equal(varve.ok([path, 'scan', '--keys', '--reverse', '--limit', '1']).out, '02099\n')
  })

  test('what is wrong with a line', () => {
    const path = varve.path()
    /** @type {[string | Buffer, RegExp][]} */
    const cases = [
      ['x', /byte 1: a row is an object/],
      ['[]', /byte 1: a row is an object/],
      ['{"key":"a"', /',' or '}' is expected/],
      ['{"key":"a","value":"b"', /',' or '}' is expected/],
      ['{"key":"a","value":"b"} x', /something behind the object/],
      ['{"key":"a","value":"b"}{"key":"a","value":"b"}', /something behind the object/],
      ['{}', /the row has no key/],
      ['{"key":"a"}', /the row has no value/],
      ['{"value":"a"}', /the row has no key/],
      ['{"key":"a","value":1}', /a string in double quotes is expected/],
      ['{"key":"a","value":null}', /a string in double quotes is expected/],
      ['{"key":"a" "value":"b"}', /',' or '}' is expected/],
      ['{"key":"a",}', /a string in double quotes is expected/],
      ['{"key":"a","key":"b","value":""}', /given already/],
      ['{"key":"a","key64":"YQ==","value":""}', /given already/],
      ['{"key":"a","value":"b', /ends inside a string/],
      ['{"key":"a","value":"\\', /ends inside a string/],
      ['{"key":"a","value":"\\x"}', /no such escape/],
      ['{"key":"a","value":"\\u12g4"}', /four hex digits/],
      ['{"key":"a","value":"\\ud800"}', /surrogate/],
      ['{"key":"a","value":"\\ud800\\u0041"}', /surrogate/],
      ['{"key":"a","value":"\\udc00"}', /surrogate/],
      ['{"key":"a","value":"\t"}', /must be escaped/],
      ['{"key":"a","value64":"YQ="}', /not base64/],
      ['{"key":"a","value64":"YQ"}', /not base64/],
      ['{"key":"a","value64":"YR=="}', /not base64/],
      ['{"key":"a","value64":"Y==="}', /not base64/],
      ['{"key":"a","value64":"Y-=="}', /not base64/],
      ['{"key":"a","value64":"YQ==YQ=="}', /not base64/],
      [Buffer.from('7b226b6579223a22ff22', 'hex'), /not UTF-8/],
      [Buffer.from('{"key":"a","value":"b"}\0'), /something behind the object/],
      [`{"key":"${'k'.repeat(65537)}","value":"b"}`, /line 1: .*65,?536/],
    ]
    const some = varve.isNative ? cases : cases.filter((_, i) => i % 4 === 0)
    for (const [input, message] of some) {
      const { err } = varve.fails([path, 'load'], 2, message, { input })
      assert.match(err, /line 1/)
      assert.match(err, /0 rows, the first ones, are in the database/)
    }
    assert.equal(varve.ok([path, 'count']).out, '0\n')
  })

  test('the empty key, which raw records cannot hold', () => {
    const path = varve.path()
    const lines = '{"key":"","value":"b"}\n{"key":"a","value":""}\n'
    varve.ok([path, 'load'], { input: lines })
    assert.equal(varve.ok([path, 'dump']).out, lines)
    varve.fails([path, 'dump', '--raw'], 3, /cannot hold the empty key/)
  })

  test('many rows, from a file', () => {
    const [path, file] = [varve.path(), varve.path('.jsonl')]
    const key = (/** @type {number} */ n) => `key:${String(n).padStart(8, '0')}`
    const lines = Array.from({ length: 20000 }, (_, n) => `{"key":"${key(n)}","value":"${'value '.repeat(n % 20)}"}\n`)
    writeFileSync(file, lines.join(''))
    assert.equal(varve.ok([path, 'load', file]).out, 'loaded 20000 rows\n')
    assert.equal(varve.ok([path, 'count']).out, '20000\n')
    assert.equal(varve.ok([path, 'dump']).out, lines.join(''))
  })

  test('large values and the longest key', () => {
    const path = varve.path()
    const value = Buffer.alloc(8 << 20, 'large value \u0000\u00ff', 'latin1')
    const key = 'k'.repeat(65536)
    varve.ok([path, 'put', 'big'], { input: value })
    varve.ok([path, 'put', key, 'long'])
    assert.deepEqual(varve.ok([path, 'get', 'big']).bytes, value)
    assert.equal(varve.ok([path, 'get', key]).out, 'long')
    const copy = varve.path()
    varve.ok([copy, 'load'], { input: varve.ok([path, 'dump']).bytes })
    assert.deepEqual(varve.ok([copy, 'get', 'big']).bytes, value)
    assert.equal(varve.ok([copy, 'get', key]).out, 'long')
  })
})

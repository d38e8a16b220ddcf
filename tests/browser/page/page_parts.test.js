// The parts of the page that need no browser: texts of values, cutting JSON, and the index of rows.

import assert from 'node:assert/strict'
import { test } from 'node:test'

import {
  bytesOfHex,
  compactJson,
  compareBytes,
  formatOf,
  hexOf,
  prettyJson,
  readValue,
  showValue,
  toBytes,
} from '../../../web/bytes_text.js'
import { KeyIndex } from '../../../web/key_index.js'
import { ObjectCutter } from '../../../web/sample_cities.js'

/** A generator of numbers below 1. @param {number} seed */
function random(seed) {
  let state = seed
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 32
  }
}

test('JSON is laid out and made compact without touching its tokens', () => {
  const text = '{"a":[1,2.50,{"b":{}}],"c":"x { , : \\" }","d":12345678901234567890,"e":[],"f":null}'
  assert.equal(compactJson(prettyJson(text)), text)
  assert.deepEqual(JSON.parse(prettyJson(text)), JSON.parse(text))
  assert.equal(prettyJson('{"a":[],"b":[1]}'), '{\n  "a": [],\n  "b": [\n    1\n  ]\n}')
})

test('values come back from every format that can show them', () => {
  const values = ['', 'text', 'two\nlines\t', '{"a": 1}', '\u0000\u0001', 'é€😀', '\r\n'].map(toBytes)
  values.push(
    Uint8Array.of(255, 0, 128),
    Uint8Array.from({ length: 300 }, (_, i) => i),
  )
  for (const value of values) {
    assert.equal(compareBytes(bytesOfHex(hexOf(value, 16)), value), 0)
    const format = formatOf(value)
    const back = readValue(showValue(value, format), format)
    if (format !== 'json') assert.equal(compareBytes(back, value), 0, format)
  }
  assert.deepEqual(values.slice(0, 5).map(formatOf), ['text', 'text', 'text', 'json', 'hex'])
  assert.equal(formatOf(toBytes('\r\n')), 'hex', 'a text field would change it')
  assert.throws(() => bytesOfHex('0g'), /“g” is not a hexadecimal digit/)
  assert.throws(() => bytesOfHex('123'), /only one/)
})

test('an array is cut into its objects wherever its text is cut', () => {
  const objects = ['{"a":"}{"}', '{"b":"\\\\"}', '{"c":{"d":[{}]}}', '{"e":"\\"{"}', '{}']
  const text = `[${objects.join(',\n')}]`
  for (let first = 0; first <= text.length; first++) {
    for (let second = first; second <= text.length; second++) {
      const cutter = new ObjectCutter()
      const pieces = [text.slice(0, first), text.slice(first, second), text.slice(second)]
      assert.deepEqual(
        pieces.flatMap((piece) => cutter.push(piece)),
        objects,
        `${first}, ${second}`,
      )
    }
  }
})

/** What the index asks of a store: keys are ASCII here, so that their order is that of strings. */
class Keys {
  /** @type {Set<string>} */
  set = new Set()
  /** @type {string[] | null} */
  #sorted = null

  /** @param {'put' | 'del'} type @param {string} key */
  change(type, key) {
    if (type === 'put') this.set.add(key)
    else this.set.delete(key)
    this.#sorted = null
  }

  get sorted() {
    return (this.#sorted ??= [...this.set].sort())
  }

  /** @param {any} range */
  async *keys({ gte, lt, prefix }) {
    const [from, to, begin] = [gte, lt, prefix].map((bytes) => bytes && new TextDecoder().decode(bytes))
    const { sorted } = this
    let low = 0
    for (let high = sorted.length; low < high;) {
      const middle = (low + high) >> 1
      if (/** @type {string} */ (sorted[middle]) < (from ?? '')) low = middle + 1
      else high = middle
    }
    for (const key of sorted.slice(low)) {
      if (to !== undefined && key >= to) return
      if (key.startsWith(begin ?? '')) yield key
    }
  }
}

/** The key of a row, read as the list reads it. @param {KeyIndex} index @param {number} row */
async function keyAt(index, row) {
  for (let tries = 0; tries < 50; tries++) {
    const key = index.at(row)
    if (key !== undefined) return new TextDecoder().decode(key)
    await new Promise((resolve) => setTimeout(resolve))
  }
  return null
}

for (const filter of ['', 'k1', '*7']) {
  test(`rows follow what is put and deleted, searching for "${filter}"`, async () => {
    const next = random(filter.length + 1)
    const store = new Keys()
    const key = () => `k${Math.floor(next() * 40_000)}`
    for (let i = 0; i < 20_000; i++) store.change('put', key())
    /** @type {unknown[]} */
    const errors = []
    const index = new KeyIndex(
      /** @type {any} */ (store),
      () => {},
      (error) => errors.push(error),
    )
    const contains = filter.startsWith('*')
    const text = contains ? filter.slice(1) : filter
    const prefix = toBytes(contains ? '' : text)
    await index.search({ mode: contains ? 'contains' : 'prefix', text, prefix })
    for (let round = 0; round < 12; round++) {
      const changes = Array.from({ length: 75 }, () => {
        const changed = key()
        const type = next() < (round < 6 ? 0.8 : 0.2) ? /** @type {const} */ ('put') : /** @type {const} */ ('del')
        store.change(type, changed)
        return { type, key: toBytes(changed) }
      })
      index.apply(changes)
      if (round % 3 !== 2) continue // pages are being read when the next changes come
      await new Promise((resolve) => setTimeout(resolve, 50))
      const wanted = store.sorted.filter((one) => (contains ? one.includes(text) : one.startsWith(text)))
      for (let row = 0; row < wanted.length; row += 97) assert.equal(await keyAt(index, row), wanted[row], `row ${row}`)
      assert.equal(index.total, wanted.length)
      const row = Math.floor(next() * wanted.length)
      assert.deepEqual(await index.locate(toBytes(wanted[row] ?? '')), { row, found: true, known: true })
    }
    assert.deepEqual(errors, [])
    index.close()
  })
}

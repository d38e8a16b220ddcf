// assert.js: node:assert/strict in a browser, as much as the tests use.

class AssertionError extends Error {
  name = 'AssertionError'
}

function show(value) {
  if (value instanceof RegExp || value instanceof Error) return String(value)
  if (value instanceof Uint8Array) return `bytes [${[...value.subarray(0, 40)]}${value.length > 40 ? ', …' : ''}]`
  try {
    const text = JSON.stringify(value, (_, v) => (typeof v === 'bigint' ? `${v}n` : v === undefined ? 'undefined' : v))
    return text === undefined ? String(value) : text.length > 500 ? `${text.slice(0, 500)}…` : text
  } catch {
    return String(value)
  }
}

function fail(message, standard) {
  if (message instanceof Error) throw message
  throw new AssertionError(message === undefined ? standard : `${message}: ${standard}`)
}

const kind = (value) => Object.prototype.toString.call(value)

function same(a, b) {
  if (Object.is(a, b)) return true
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null || kind(a) !== kind(b)) return false
  if (a instanceof Date) return Object.is(a.getTime(), b.getTime())
  if (ArrayBuffer.isView(a)) return a.byteLength === b.byteLength && a.every((item, i) => Object.is(item, b[i]))
  if (a instanceof Map || a instanceof Set) return same([...a], [...b])
  if (Array.isArray(a) && a.length !== b.length) return false
  if (a instanceof Error && (a.message !== b.message || a.name !== b.name)) return false
  const keys = Object.keys(a)
  return keys.length === Object.keys(b).length && keys.every((key) => Object.hasOwn(b, key) && same(a[key], b[key]))
}

/** Whether an error is what rejects() and throws() are told to expect. */
function expected(error, what) {
  if (what === undefined) return true
  if (what instanceof RegExp) return what.test(String(error))
  if (typeof what === 'function') return what.prototype !== undefined ? error instanceof what : what(error) === true
  return Object.entries(what).every(([key, value]) =>
    value instanceof RegExp ? value.test(String(error[key])) : same(error[key], value),
  )
}

function ok(value, message) {
  if (!value) fail(message, `${show(value)} is not true`)
}

export default Object.assign(ok, {
  ok,
  equal(a, b, message) {
    if (!Object.is(a, b)) fail(message, `${show(a)} is not ${show(b)}`)
  },
  notEqual(a, b, message) {
    if (Object.is(a, b)) fail(message, `${show(a)} is what it must not be`)
  },
  deepEqual(a, b, message) {
    if (!same(a, b)) fail(message, `${show(a)} is not ${show(b)}`)
  },
  match(text, pattern, message) {
    if (!pattern.test(text)) fail(message, `${show(text)} does not match ${pattern}`)
  },
  fail(message) {
    fail(message, 'it failed')
  },
  async rejects(promise, what, message) {
    let error
    try {
      await (typeof promise === 'function' ? promise() : promise)
    } catch (thrown) {
      error = thrown
      if (expected(error, what)) return
      fail(message, `it failed with ${show(error)}`)
    }
    fail(message, 'it did not fail')
  },
  throws(run, what, message) {
    let error
    try {
      run()
    } catch (thrown) {
      error = thrown
      if (expected(error, what)) return
      fail(message, `it threw ${show(error)}`)
    }
    fail(message, 'it did not throw')
  },
})

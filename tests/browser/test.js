// test.js: describe() and it() in a browser, as much of node:test as the tests use. Files register their tests when
// they are imported; run() runs them, one after the other.

import { errorText } from './harness_calls.js'
import { NeedsNode } from './node_parts.js'

/** @type {{ name: string, options: any, body: Function }[]} */
let registered = []
/** @type {string[]} */
const groups = []

export function describe(name, body) {
  groups.push(name)
  body()
  groups.pop()
}

export function it(name, options, last) {
  const [given, body] = typeof options === 'function' ? [{}, options] : [options, last]
  registered.push({ name: [...groups, name].join(' › '), options: given, body })
}

export const test = it

export function after() {
  throw new NeedsNode('after()')
}

const TEST_MS = 60_000

/** Runs what was registered, and says what passed, what failed, and what was left out. @param {Function} tell */
export async function run(tell) {
  const result = { passed: 0, failed: [], left: [] }
  for (const { name, options, body } of registered) {
    if (options.skip) {
      result.left.push({ name, why: String(options.skip) })
      continue
    }
    const ends = []
    const context = { name, after: (end) => void ends.push(end), diagnostic: tell, skip: () => {}, mock: undefined }
    const outcome = await outcomeOf(() => body(context))
    for (const end of ends) {
      const ended = await outcomeOf(end)
      outcome.error ??= ended.error
    }
    if (outcome.error instanceof NeedsNode) result.left.push({ name, why: outcome.error.message })
    else if (outcome.error === undefined) result.passed++
    else result.failed.push({ name, error: errorText(outcome.error) })
  }
  registered = []
  return result
}

async function outcomeOf(body) {
  let timer
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`it took longer than ${TEST_MS} ms`)), TEST_MS)
  })
  try {
    await Promise.race([body(), late])
    return { error: undefined }
  } catch (error) {
    return { error: error ?? new Error('it failed with nothing') }
  } finally {
    clearTimeout(timer)
  }
}

// examples.test.js: each example says what it is meant to say, the first time and on what it left behind.

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

import { temporaryDirectory } from './support.js'

const EXAMPLES = fileURLToPath(new URL('../../examples/', import.meta.url))

/** The lines that an example prints. @param {string} name @param {string} directory */
async function linesOf(name, directory) {
  const { stdout, stderr } = await promisify(execFile)(process.execPath, [join(EXAMPLES, name), directory])
  assert.equal(stderr, '')
  return stdout.trimEnd().split('\n')
}

const CART_1 = ['opened', 'added', 'paid']
const EVENTS = ['cart-1 opened', 'cart-1 added', 'cart-2 opened', 'cart-1 paid', 'cart-2 left']

/**
 * What each says, in the `run`th run over the same directory.
 * @type {Record<string, (lines: string[], run: number, directory: string) => void>}
 */
const SAYS = {
  'hello.mjs': (lines) => assert.deepEqual(lines, ['The first user is Alice.', 'user:1 = Alice', 'user:2 = Bob']),
  'cache.mjs': (lines) =>
    assert.deepEqual(lines, [
      'weather: {"place":"Lisbon","degrees":21,"call":1}',
      'weather: {"place":"Lisbon","degrees":21,"call":1}',
      'after 550 ms: expired, lasts for an hour',
      'weather: {"place":"Lisbon","degrees":21,"call":2}',
      'pruned: 1; left: 1',
    ]),
  'queue.mjs': (lines) => {
    assert.deepEqual(lines.slice(0, 3), [
      'first process: resize a.jpg',
      'first process: resize b.jpg',
      'the first process was ended by SIGKILL',
    ])
    const done = lines.slice(3).map((line) => line.replace(/^worker [12]: /, ''))
    assert.deepEqual(done, ['resize b.jpg (try 2)', 'mail Ana', 'mail Bob'])
  },
  'event_log.mjs': (lines, run) => {
    const told = (/** @type {string} */ reader) =>
      lines.filter((line) => line.startsWith(`${reader}: `)).map((line) => line.slice(reader.length + 2))
    assert.deepEqual(told('mailer'), EVENTS)
    assert.deepEqual(told('audit'), EVENTS)
    assert.equal(lines.at(-1), `cart-1: ${run === 1 ? CART_1.join(', ') : [...CART_1, ...CART_1].join(', ')}`)
  },
  'accounts.mjs': (lines) =>
    assert.deepEqual(lines, [
      'refused: Ana has only 260',
      "Ana's 100: 4250",
      "Ana's 101: 260",
      '500 or more: Ana 4250',
      '500 or more: Bob 800',
      '5310 in all, after 3 transfers',
    ]),
  'session_store.mjs': (lines) =>
    assert.deepEqual(lines, [
      'after 20 minutes: bob is logged in',
      'after 40 minutes: 2 sessions had expired',
      'after 40 minutes: alice is logged out, bob is logged in',
      'bob leaves everywhere: 1 session ended',
      'sessions: 0 left',
      'sessions/by time: 0 left',
      'sessions/by user: 0 left',
    ]),
  'offline_notes.mjs': (lines, _, directory) => {
    assert.deepEqual(lines, [
      'tea… ideas, shopping',
      'bread… shopping',
      'gard… ideas, todo',
      'zebra… nothing',
      '3 notes exported and backed up',
      'in the backup: Call Ana about the garden',
    ])
    const notes = readFileSync(join(directory, 'notes.jsonl'), 'utf8').trimEnd().split('\n')
    assert.deepEqual(
      notes.map((line) => JSON.parse(line).id),
      ['ideas', 'shopping', 'todo'],
    )
    assert.deepEqual(readdirSync(directory).sort(), ['notes.jsonl', 'notes.varve', 'notes_backup.varve'])
  },
}

describe('examples', { concurrency: 2 }, () => {
  for (const [name, check] of Object.entries(SAYS)) {
    it(name, async (t) => {
      const directory = join(temporaryDirectory(t), 'place')
      for (const run of [1, 2]) check(await linesOf(name, directory), run, directory)
    })
  }

  it('are all here', () => {
    const there = readdirSync(EXAMPLES).filter((file) => file.endsWith('.mjs'))
    assert.deepEqual(there.sort(), Object.keys(SAYS).sort())
  })
})

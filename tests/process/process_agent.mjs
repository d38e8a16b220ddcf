// process_agent.mjs: a Node process that does with databases what it is told: process_agent.c describes the lines.

import { writeSync } from 'node:fs'
import { createInterface } from 'node:readline'

import { Database } from '../../bindings/js/index.js'
import { idOfValue, makeValue } from './process_value.mjs'

/** @type {Database<string, any>} */
let db
const now = () => performance.timeOrigin + performance.now()
const keyOf = (/** @type {string} */ prefix, /** @type {number} */ i) => prefix + String(i).padStart(6, '0')

/** @param {number} at */
function waitUntil(at) {
  const left = at - now()
  if (left > 2) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, left - 1)
  while (now() < at) continue
}

/** @param {string} key @param {number} size */
function isThere(key, size) {
  const value = db.getSync(key)
  return value !== undefined && value.length === size && idOfValue(value) === key
}

/** @param {any} error */
const codeOf = (error) => `${String(error.code ?? error.stack).replace('ERR_DB_', '')} ${error.message}`

/** @type {Record<string, (...words: string[]) => any>} */
const verbs = {
  open(path = '', wait = '', at = '', mode = '') {
    waitUntil(Number(at))
    db = Database.openSync(path, {
      valueEncoding: 'view',
      memory: 2 << 20,
      memtable: 64 << 10,
      tableSize: 64 << 10,
      lock: { wait: Number(wait) },
      readOnly: mode === 'read',
    })
  },
  put: (key = '', size = '') => db.put(key, makeValue(key, Number(size))),
  get(key = '') {
    const value = db.getSync(key)
    if (value === undefined) return 'NOTFOUND'
    return idOfValue(value) === key ? value.length : 'BAD'
  },
  number(key = '', n = '') {
    if (n !== '') return db.put(key, Buffer.from(n))
    return Buffer.from(db.getSync(key) ?? '0').toString()
  },
  fill(prefix = '', size = '', count = '', level = '') {
    let made = 0
    try {
      for (; made < Number(count); made++) {
        const key = keyOf(prefix, made)
        db.putSync(key, makeValue(key, Number(size)), { durability: level === 'strict' ? 'strict' : 'relaxed' })
      }
      return made
    } catch (error) {
      return `${made} ${codeOf(error)}`
    }
  },
  check(prefix = '', size = '', count = '') {
    for (let i = 0; i < Number(count); i++) {
      if (!isThere(keyOf(prefix, i), Number(size))) throw Object.assign(new Error(keyOf(prefix, i)), { code: 'LOST' })
    }
    return db.countSync({ prefix })
  },
  clear: (prefix = '', count = '') => db.clear({ gte: keyOf(prefix, 0), lt: keyOf(prefix, Number(count)) }),
  verify: async () => void (await db.verify()),
  compact: () => db.compact(),
  flush: () => db.flush(),
  sync: () => db.sync(),
  backup: async (target = '') => void (await db.backup(target)),
  close: () => db.close(),
  pid: () => process.pid,
}

for await (const line of createInterface({ input: process.stdin })) {
  const [verb = '', ...words] = line.split(' ')
  let answer
  try {
    const result = await verbs[verb]?.(...words)
    answer = result === undefined ? 'ok' : `ok ${result}`
  } catch (error) {
    answer = `error ${codeOf(error)}`
  }
  writeSync(1, `${answer.replaceAll('\n', ' ')}\n`)
}

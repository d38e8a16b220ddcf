// kill_writer.mjs: a Node process that writes to a database until it is killed. kill_writer.c describes its arguments
// and what it says; instead of threads there are turns: half of the commits are several promises of one turn of the
// event loop.

import { writeSync } from 'node:fs'

import { Database } from '../../bindings/js/index.js'
import { VALUE_MIN, idOfValue, makeValue } from './process_value.mjs'

const PARTITIONS = 4
const KEYS = 250
const NAMES = ['', 'one', 'two']
const bytes = /** @type {const} */ ({ keyEncoding: 'utf8', valueEncoding: 'view' })

const [, , , path = '', ...given] = process.argv
const set = Object.fromEntries(given.map((text) => text.split(/=(.*)/s, 2)))
const [round, seed, strict, commits] = ['round', 'seed', 'strict', 'commits'].map((name) => Number(set[name] ?? 0))

let state = BigInt.asUintN(64, BigInt(seed) * 1000003n + BigInt(round) * 16n)
/** @param {number} limit */
function below(limit) {
  state = BigInt.asUintN(64, state + 0x9e3779b97f4a7c15n)
  let z = BigInt.asUintN(64, (state ^ (state >> 30n)) * 0xbf58476d1ce4e5b9n)
  z = BigInt.asUintN(64, (z ^ (z >> 27n)) * 0x94d049bb133111ebn)
  return Number((((z ^ (z >> 31n)) >> 32n) * BigInt(limit)) >> 32n)
}

/** @param {string} text */
function say(text) {
  const line = Buffer.from(`${text}\n`)
  for (let at = 0; at < line.length;) at += writeSync(1, line, at)
}

/** @param {Database<string, Uint8Array>} db */
function scan(db) {
  const there = db.keyspaces()
  NAMES.forEach((name, k) => {
    if (k > 0 && !there.includes(name)) return
    const lines = []
    for (const [key, value] of (k === 0 ? db : db.keyspace(name)).entriesSync()) {
      lines.push(`= ${k} ${key} ${idOfValue(value)} ${value.length}`)
    }
    if (lines.length > 0) say(lines.join('\n'))
  })
  say('@ scanned')
}

/** A change as it is said and as it is made. @param {number} n @param {number} place @param {any[]} stores */
function makeChange(n, place, stores) {
  const kind = below(100)
  const k = below(NAMES.length)
  const number = below(KEYS)
  const partition = below(PARTITIONS)
  const name = (/** @type {number} */ at) => `p${partition}-${String(at).padStart(5, '0')}`
  const key = name(number)
  const where = k === 0 ? {} : { keyspace: stores[k] }
  if (kind < 75) {
    const size = below(300) === 0 ? 20000 + below(80000) : VALUE_MIN + (below(4) === 0 ? below(4000) : below(400))
    const value = makeValue(`${round}.0.${n}.${place}`, size)
    return { said: `p${k}/${key}=${size}`, change: { type: 'put', key, value, ...where } }
  }
  return { said: `d${k}/${key}`, change: { type: 'del', key, ...where } }
}

/** @param {Database<string, Uint8Array>} db @param {any[]} stores @param {number} n */
async function makeCommit(db, stores, n) {
  const kind = below(1000)
  const options = strict === 2 && below(8) === 0 ? /** @type {const} */ ({ durability: 'strict' }) : {}
  if (kind < 2) {
    const k = 1 + below(2)
    say(`+ 0 ${n} x${k}`)
    await db.dropKeyspace(NAMES[k] ?? '')
    stores[k] = db.keyspace(NAMES[k] ?? '', bytes)
  } else if (kind < 70) {
    const k = below(NAMES.length)
    const begin = below(KEYS)
    const partition = below(PARTITIONS)
    const ends = [begin, begin + 1 + below(KEYS / 10)].map((at) => `p${partition}-${String(at).padStart(5, '0')}`)
    say(`+ 0 ${n} r${k}/${ends[0]}/${ends[1]}`)
    stores[k].clearSync({ gte: ends[0], lt: ends[1], ...options })
  } else {
    const count = kind < 400 ? 2 + below(11) : 1
    const changes = Array.from({ length: count }, (_, place) => makeChange(n, place, stores))
    say(`+ 0 ${n} ${changes.map(({ said }) => said).join(' ')}`)
    if (kind % 2 === 0) db.batchSync(/** @type {any} */ (changes.map(({ change }) => change)), options)
    else {
      const turn = changes.map(({ change }) => {
        const { type, key, value, keyspace = db } = change
        return type === 'put' ? keyspace.put(key, value, options) : keyspace.del(key, options)
      })
      await Promise.all(turn)
    }
  }
  say(`! 0 ${n}`)
}

async function main() {
  say('@ opening')
  const db = await Database.open(path, {
    ...bytes,
    memory: 2 << 20,
    memtable: 64 << 10,
    tableSize: 64 << 10,
    syncInterval: 20,
    durability: strict === 1 ? 'strict' : 'relaxed',
  })
  say('@ open')
  scan(db)
  const stores = [db, db.keyspace('one', bytes), db.keyspace('two', bytes)]
  say('@ writing')
  for (let n = 0; commits === 0 || n < commits; n++) {
    await makeCommit(db, stores, n)
    if (n % 64 === 0) await new Promise((resolve) => setTimeout(resolve)) // work in the background, and timers
    if (n % 500 === 30 && set.compact === '1') {
      say('@ compact')
      await db.compact()
    }
    if (n === 40 && set.backup !== undefined) {
      say('@ backup')
      await db.backup(set.backup)
      say('@ saved')
    }
  }
  say('@ closing')
  await db.close()
  say('@ closed')
}

try {
  await main()
} catch (error) {
  const { code = 'ERROR', message, stack } = /** @type {any} */ (error)
  say(`- ${code.replace('ERR_DB_', '')} ${code === 'ERROR' ? stack : message}`.replaceAll('\n', ' | '))
  process.exitCode = 3
}

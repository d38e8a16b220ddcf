// soak.mjs: npm run soak -- [--minutes 10] [--seed n]: a program that runs for long: random operations, iterators and
// snapshots that are abandoned, workers that are started and ended, backups, databases that are closed and opened
// again. Memory must stay flat: over the second half, a line through the samples of the resident set, each the least
// of its interval, may rise by no more than 8 MiB, or 5 % where that is more. At the end no descriptor, iterator or
// snapshot may be left.

import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { Readable } from 'node:stream'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { parseArgs } from 'node:util'
import { Worker } from 'node:worker_threads'
import { setTimeout as wait } from 'node:timers/promises'
import { Database } from '../bindings/js/index.js'

const { values } = parseArgs({ options: { minutes: { type: 'string' }, seed: { type: 'string' } } })
const minutes = Number(values.minutes ?? 10)
let state = Number(values.seed ?? Date.now() % 2 ** 31) >>> 0
console.log(`soak: ${minutes} minutes, --seed ${state}`)

/** @param {number} n */
function below(n) {
  state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9) >>> 0
  return ((state ^ (state >>> 13)) >>> 0) % n
}
setFlagsFromString('--expose-gc')
const gc = runInNewContext('gc')

const directory = mkdtempSync(join(tmpdir(), 'varve-soak-'))
const KEYS = 20_000
const counts = { operations: 0, reopened: 0, workers: 0, backups: 0, abandoned: 0 }
const key = () => `key ${below(KEYS)}`
const descriptors = () => (existsSync('/proc/self/fd') ? readdirSync('/proc/self/fd').length : 0)

const WORKER = `
  const { parentPort, workerData } = require('node:worker_threads')
  import(workerData.url).then(async ({ Database }) => {
    const db = await Database.open(workerData.path, { lock: { wait: 10000 } })
    for (let i = 0; i < 200; i++) await db.put('w' + i, 'x'.repeat(i))
    globalThis.kept = [db.keysSync(), db.snapshot(), db]
    parentPort.postMessage('ready')
    if (!workerData.terminated) { await db.close() } else setInterval(() => {}, 1000)
  })`

/** A worker that closes its database, or is terminated with everything open. */
async function runWorker() {
  counts.workers++
  const terminated = below(2) === 0
  const url = new URL('../bindings/js/index.js', import.meta.url).href
  const workerData = { url, path: `${directory}/worker.varve`, terminated }
  const worker = new Worker(WORKER, { eval: true, workerData })
  const ended = new Promise((resolve, reject) => worker.on('exit', resolve).on('error', reject))
  if (terminated) {
    await new Promise((resolve, reject) => worker.on('message', resolve).on('error', reject))
    await worker.terminate()
  }
  await ended
}

/** @typedef {Database<any, any>} AnyDatabase */
/** @typedef {import('varve').Keyspace<any, any>} AnyKeyspace */

/** @param {AnyDatabase} db */
async function backUp(db) {
  counts.backups++
  const copy = `${directory}/copy`
  let bytes = 0
  /** @type {Uint8Array[]} */
  const chunks = []
  const write = (/** @type {Uint8Array} */ chunk) => {
    bytes += chunk.length
    chunks.push(chunk)
  }
  await db.backup(new WritableStream({ write }))
  if (bytes === 0) throw new Error('an empty backup')
  await Database.restore(Readable.toWeb(Readable.from(chunks)), copy)
  const back = await Database.open(copy, { readOnly: true })
  if (back.countSync() !== db.countSync()) throw new Error('the backup holds something else')
  await back.close()
  rmSync(copy, { recursive: true })
}

/** Iterators and snapshots that nobody closes. @param {AnyDatabase} db */
function abandon(db) {
  counts.abandoned += 3
  const rows = db.entriesSync({ gte: key() })
  for (let i = 0; i < below(50); i++) rows.next()
  void db.values({ reverse: true }).next()
  db.snapshot()
}

/** @param {AnyDatabase} db @param {AnyKeyspace} json */
async function someOperations(db, json) {
  for (let i = 0; i < 500; i++) {
    counts.operations++
    const choice = below(100)
    if (choice < 35) void db.put(key(), 'v'.repeat(below(400)))
    else if (choice < 40) await db.put(key(), 'large'.repeat(below(4000)))
    else if (choice < 50) void db.del(key())
    else if (choice < 70) db.getSync(key())
    else if (choice < 80) await db.getMany([key(), key(), key()])
    else if (choice < 90) for (const row of db.entriesSync({ gte: key(), limit: 30 })) void row
    else if (choice < 95) await json.batch([{ type: 'put', key: ['a', below(1000)], value: { n: below(9) } }])
    else if (choice < 97)
      for await (const row of json.entries({ prefix: ['a'], limit: 100 }))
        if (below(50) === 0) break
        else void row
    else if (choice === 97) void db.clear({ gte: key(), limit: 20 })
    else db.countSync({ prefix: 'key 1' })
  }
}

const open = async (/** @type {string} */ path) => {
  const db = await Database.open(path)
  db.on('warning', () => {})
  db.on('error', (error) => {
    throw error
  })
  return { db, json: db.keyspace('tuples', { keyEncoding: 'tuple', valueEncoding: 'json' }) }
}

/** The rise of a line through the samples, over their whole time. @param {number[]} samples */
function rise(samples) {
  const n = samples.length
  const meanX = (n - 1) / 2
  const meanY = samples.reduce((a, b) => a + b, 0) / n
  let top = 0
  let bottom = 0
  samples.forEach((y, x) => {
    top += (x - meanX) * (y - meanY)
    bottom += (x - meanX) ** 2
  })
  return { rise: (top / bottom) * (n - 1), mean: meanY }
}

/** @param {AnyDatabase} db */
async function handlesGone(db) {
  for (let i = 0; i < 50; i++) {
    gc()
    await wait(10)
    const { iterators, snapshots } = db.stats()
    if (iterators + snapshots === 0) return
  }
  const { iterators, snapshots } = db.stats()
  throw new Error(`${iterators} iterators and ${snapshots} snapshots are open that nobody can reach`)
}

async function run() {
  const path = `${directory}/db`
  await runWorker()
  const before = descriptors()
  let { db, json } = await open(path)
  const end = Date.now() + minutes * 60_000
  const step = (minutes * 60_000) / 60
  const samples = []
  let least = Infinity
  let sampleAt = Date.now() + step
  for (let round = 1; Date.now() < end; round++) {
    await someOperations(db, json)
    abandon(db)
    if (round % 40 === 0) await runWorker()
    if (round % 60 === 0) await backUp(db)
    if (round % 25 === 0) {
      await handlesGone(db)
      counts.reopened++
      await db.close()
      ;({ db, json } = await open(round % 50 === 0 ? path : `${path}.varve`))
    }
    if (round % 5 === 0) gc()
    least = Math.min(least, process.memoryUsage.rss())
    if (Date.now() < sampleAt) continue
    samples.push(least)
    least = Infinity
    sampleAt += step
  }
  await handlesGone(db)
  await db.close()
  return { samples, before }
}

/** @param {{ samples: number[], before: number }} result */
function judge({ samples, before }) {
  const half = rise(samples.slice(Math.floor(samples.length / 2)))
  const bound = Math.max(8 << 20, 0.05 * half.mean)
  const mib = (/** @type {number} */ bytes) => `${(bytes / 2 ** 20).toFixed(1)} MiB`
  console.log(JSON.stringify(counts))
  console.log(`RSS ${samples.map((bytes) => (bytes / 2 ** 20).toFixed(0)).join(' ')}`)
  console.log(`second half: mean ${mib(half.mean)}, rises by ${mib(half.rise)}; the bound is ${mib(bound)}`)
  const left = descriptors()
  console.log(`descriptors: ${before} before, ${left} after; no iterator and no snapshot is left`)
  return half.rise <= bound && left <= before
}

try {
  if (!judge(await run())) process.exitCode = 1
} finally {
  rmSync(directory, { recursive: true, force: true })
}
console.log(process.exitCode === 1 ? 'soak: FAILED' : 'soak: ok')

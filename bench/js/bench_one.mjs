// bench_one.mjs ENGINE DIR RECORDS: one engine through all rows, in a process of its own. It prints one line of JSON:
// operations a second for each row (null where the engine has no such call), and what memory and disk it took.

import { mkdirSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'

/**
 * What a row calls; null = the engine has no such call.
 * @typedef {object} Store
 * @property {((key: string, value: string) => Promise<any>) | null} put
 * @property {((key: string, value: string) => void) | null} putSync
 * @property {(rows: [string, string][]) => Promise<any>} batch
 * @property {((key: string) => Promise<any>) | null} get
 * @property {((key: string) => any) | null} getSync
 * @property {(keys: string[]) => Promise<any[]>} getMany
 * @property {(key: string) => Promise<any>} del
 * @property {((from: string, limit: number) => Promise<number>) | null} scan
 * @property {((from: string, limit: number) => number) | null} scanSync
 * @property {() => Promise<any>} close
 */

const BATCH = 1000
const ROW_MS = 1500
const VALUE = 'v'.repeat(60)

const [engine = '', dir = '', count = '100000'] = process.argv.slice(2)
const records = Number(count)
/** @type {(dir: string, options: { strict: boolean }) => Promise<Store | null>} */
const open = (await import(`./engine_${engine}.mjs`)).open

let state = 88172645
function random() {
  state ^= state << 13
  state ^= state >>> 17
  state ^= state << 5
  return (state >>> 0) / 2 ** 32
}

/** 16 bytes; the numbers are spread, so that order of insertion is not order of keys. @param {number} i */
const keyOf = (i) => `k${String((i * 2654435761) % 4294967296).padStart(10, '0')}${String(i % 100000).padStart(5, '0')}`
/** 100 bytes, half of them without a pattern. @param {number} i */
const valueOf = (i) => (VALUE + Math.sin(i + 1).toString(36) + Math.sin(i + 2).toString(36) + VALUE).slice(0, 100)
const anyKey = () => keyOf(Math.floor(random() * records))
const noKey = () => anyKey() + 'x'

/** Calls `one` until time is up, and looks at the clock once in a while.
 * @param {(i: number) => any} one @param {number} [most] @param {number} [each] operations a call */
async function awaited(one, most = Infinity, each = 1) {
  const since = performance.now()
  let i = 0
  while (i < most && (i % 64 !== 0 || performance.now() - since < ROW_MS)) await one(i++)
  return Math.round((i * each * 1000) / (performance.now() - since))
}

/** The same without promises. @param {(i: number) => any} one @param {number} [most] */
function direct(one, most = Infinity) {
  const since = performance.now()
  let i = 0
  while (i < most && (i % 64 !== 0 || performance.now() - since < ROW_MS)) one(i++)
  return Math.round((i * 1000) / (performance.now() - since))
}

/** @param {string} path @returns {number} */
function bytesIn(path) {
  let sum = 0
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    const inside = join(path, entry.name)
    sum += entry.isDirectory() ? bytesIn(inside) : statSync(inside).blocks * 512
  }
  return sum
}

/** @param {Store} db */
async function fill(db) {
  const since = performance.now()
  for (let i = 0; i < records; i += BATCH) {
    /** @type {[string, string][]} */
    const rows = []
    for (let k = i; k < Math.min(i + BATCH, records); k++) rows.push([keyOf(k), valueOf(k)])
    await db.batch(rows)
  }
  return Math.round((records * 1000) / (performance.now() - since))
}

/** @param {Store} db @param {Record<string, number | null>} row */
async function reads(db, row) {
  const { get, getSync, scan, scanSync } = db
  row['get awaited'] = get && (await awaited(() => get(anyKey())))
  row['get sync'] = getSync && direct(() => getSync(anyKey()))
  row['missing awaited'] = get && (await awaited(() => get(noKey())))
  row['missing sync'] = getSync && direct(() => getSync(noKey()))
  row['getMany 100'] = await awaited(() => db.getMany(Array.from({ length: 100 }, anyKey)), Infinity, 100)
  row['scan 100 awaited'] = scan && (await awaited(() => scan(anyKey(), 100), Infinity, 100))
  row['scan 100 sync'] = scanSync && 100 * direct(() => scanSync(anyKey(), 100))
  for (const [name, walk] of Object.entries({ 'iterate awaited': scan, 'iterate sync': scanSync })) {
    const since = performance.now()
    const rows = walk && (await walk('', Infinity))
    row[name] = rows && Math.round((rows * 1000) / (performance.now() - since))
  }
}

/** @param {Store} db @param {Record<string, number | null>} row */
async function writes(db, row) {
  const { put, putSync } = db
  row['put awaited'] = put && (await awaited((i) => put(anyKey(), valueOf(i))))
  row['put sync'] = putSync && direct((i) => putSync(anyKey(), valueOf(i)))
  row['put 100 at once'] = put && (await awaited((i) => Promise.all(hundred(put, i)), Infinity, 100))
}

/** @param {NonNullable<Store['put']>} put @param {number} i */
const hundred = (put, i) => Array.from({ length: 100 }, (_, k) => put(anyKey(), valueOf(i + k)))

async function main() {
  /** @type {Record<string, number | null>} */
  const row = {}
  mkdirSync(dir, { recursive: true })
  const before = process.memoryUsage()
  let db = /** @type {Store} */ (await open(dir, { strict: false }))
  row['batch 1000'] = await fill(db)
  await reads(db, row)
  await writes(db, row)
  const after = process.memoryUsage()
  row['rss MiB'] = Math.round((after.rss - before.rss) / 2 ** 20)
  row['heap MiB'] = Math.round((after.heapUsed - before.heapUsed) / 2 ** 20)
  row['external MiB'] = Math.round((after.external - before.external) / 2 ** 20)
  row['delete awaited'] = await awaited((i) => db.del(keyOf(i)), records / 2)
  await db.close()
  row['disk MiB'] = Math.round((10 * bytesIn(dir)) / 2 ** 20) / 10
  const since = performance.now()
  db = /** @type {Store} */ (await open(dir, { strict: false }))
  row['open ms'] = engine === 'map' ? null : Math.round(10 * (performance.now() - since)) / 10
  await db.close()

  const strict = await open(dir, { strict: true })
  if (strict !== null) {
    const { put, putSync } = strict
    row['put strict'] = put
      ? await awaited((i) => put(anyKey(), valueOf(i)))
      : putSync && direct((i) => putSync(anyKey(), valueOf(i)))
    row['put strict 100 at once'] = put && (await awaited((i) => Promise.all(hundred(put, i)), Infinity, 100))
    await strict.close()
  }
  console.log(JSON.stringify(row))
}

await main()

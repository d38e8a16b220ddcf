// support.js: what the tests of the package share: places to open databases in, seeds, and programs to run beside.

import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Database, MemoryHost } from '../../bindings/js/index.js'

export { Random } from './random.js'

export const packageUrl = new URL('../../bindings/js/index.js', import.meta.url).href

/** @type {WeakMap<object, (() => unknown)[]>} */
const ends = new WeakMap()

/** Runs something when the test ends: what was asked for last comes first. */
export function atEnd(t, run) {
  let list = ends.get(t)
  if (list === undefined) {
    const all = (list = [])
    ends.set(t, all)
    t.after(async () => {
      while (all.length > 0) await all.pop()()
    })
  }
  list.push(run)
}

/** A directory that is removed when the test ends. */
export function temporaryDirectory(t) {
  const path = mkdtempSync(join(tmpdir(), 'varve-js-'))
  atEnd(t, () => rmSync(path, { recursive: true, force: true }))
  return path
}

/**
 * Where a database may live: memory, files in JavaScript memory, a directory, one file. Each has open(options), and
 * reopen where what was stored is still there.
 */
export const PLACES = [
  {
    name: ':memory:',
    lasts: false,
    make: () => ({ location: ':memory:', options: {} }),
  },
  {
    name: 'memory host',
    lasts: true,
    make: () => ({ location: 'place', options: { host: new MemoryHost() } }),
  },
  {
    name: 'directory',
    lasts: true,
    make: (t) => ({ location: join(temporaryDirectory(t), 'db'), options: {} }),
  },
  {
    name: 'one file',
    lasts: true,
    make: (t) => ({ location: join(temporaryDirectory(t), 'db.varve'), options: {} }),
  },
]

/** Another build of the engine to test: VARVE_WASM names its file. */
const wasm = process.env.VARVE_WASM === undefined ? {} : { wasm: readFileSync(process.env.VARVE_WASM) }

/** Opens a database that is closed when the test ends. */
export async function openIn(t, place, options = {}) {
  const { location, options: own } = place.make(t)
  const open = async (more = {}) => {
    const db = await Database.open(location, { ...own, ...wasm, ...options, ...more })
    atEnd(t, () => db.close())
    return db
  }
  return { db: await open(), open, location }
}

/** The seed of a run: VARVE_SEED, or one of the clock. */
export function seedOf() {
  return process.env.VARVE_SEED === undefined ? (Date.now() ^ (process.pid << 8)) >>> 0 : Number(process.env.VARVE_SEED)
}

/**
 * Runs a program made of `source` (with Database in scope) in a Node of its own. `line()` resolves to its next line,
 * `ended` to { code, signal, stdout, stderr }.
 */
export function runNode(source, args = []) {
  const program = `import { Database, DatabaseError } from ${JSON.stringify(packageUrl)}\n${source}`
  const child = spawn(process.execPath, ['--input-type=module', '-e', program, ...args], {
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  let stdout = ''
  let stderr = ''
  let given = 0
  let wake = () => {}
  child.stdout.on('data', (data) => {
    stdout += data
    wake()
  })
  child.stderr.on('data', (data) => (stderr += data))
  const ended = new Promise((resolve) => {
    child.on('close', (code, signal) => {
      resolve({ code, signal, stdout, stderr })
      wake()
    })
  })
  const line = async () => {
    for (;;) {
      const end = stdout.indexOf('\n', given)
      if (end >= 0) {
        const text = stdout.slice(given, end)
        given = end + 1
        return text
      }
      if (child.exitCode !== null || child.signalCode !== null) throw new Error(`it ended: ${stderr}`)
      await new Promise((resolve) => (wake = resolve))
    }
  }
  return { child, ended, line }
}

/** The error that a promise or a function ends with. */
export async function errorOf(run) {
  try {
    await (typeof run === 'function' ? run() : run)
  } catch (error) {
    return error
  }
  throw new Error('nothing was thrown')
}

export const testFile = (url) => fileURLToPath(url)

/** The native command-line program, and why tests with it are left out. */
export const program = fileURLToPath(new URL('../../build/release/varve', import.meta.url))
export const skipNative = existsSync(program) ? false : 'build/release/varve was not built'

/** Runs a verb of it. @returns {Promise<{ code: number, stdout: string, stderr: string }>} */
export function varve(args, input = '') {
  return new Promise((resolve) => {
    const child = execFile(program, args, { encoding: 'utf8', maxBuffer: 1 << 28 }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr })
    })
    child.stdin.on('error', () => {}) // a verb that reads nothing ends first
    child.stdin.end(input)
  })
}

/** Kills a Node that writes, `rounds` times: what it acknowledged is there, in Node and natively. */
export async function killedWritersKeep(path, rounds) {
  const source = `
    const db = await Database.open(process.argv[1], { memtable: 65536, memory: 1 << 20 })
    let i = (await db.count()) / 3
    for (;;) {
      const key = String(i).padStart(9, '0')
      await Promise.all([0, 1, 2].map((n) => db.put(key + ' ' + n, 'x'.repeat(100 + (i * 37) % 3000))))
      process.stdout.write(i++ + '\\n')
    }`
  for (let round = 0; round < rounds; round++) {
    const run = runNode(source, [path])
    await run.line()
    await new Promise((resolve) => setTimeout(resolve, 300))
    run.child.kill('SIGKILL')
    const { stdout } = await run.ended
    const acknowledged = Number(stdout.trimEnd().split('\n').at(-1))
    const db = await Database.open(path)
    const count = await db.count()
    assert.ok(count >= 3 * (acknowledged + 1), `${count} rows, ${acknowledged + 1} turns of three acknowledged`)
    assert.equal(count % 3, 0, 'the writes of one turn are there together or not at all')
    assert.equal((await db.verify()).errors, 0)
    await db.close()
    assert.equal((await varve([path, 'verify'])).code, 0)
  }
}

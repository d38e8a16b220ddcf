// process_support.mjs: what the tests with real processes share: programs, lines, seeds, places.

import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

import { Database } from '../../bindings/js/index.js'
import { idOfValue } from './process_value.mjs'

const root = fileURLToPath(new URL('../..', import.meta.url))
const build = process.env.VARVE_PROCESS_BUILD ?? join(root, 'build/release')

export const programs = {
  writer: join(build, 'kill_writer'),
  agent: join(build, 'process_agent'),
  varve: process.env.VARVE_CLI ?? join(build, 'varve'),
}
const missing = Object.values(programs).filter((path) => !existsSync(path))
/** For node:test: false, or why a test cannot run. */
export const skip =
  process.platform !== 'linux' ? 'Linux only' : missing.length > 0 ? `not built: ${missing.join(', ')}` : false

/** @param {string} name of a script beside this file */
export const scriptPath = (name) => fileURLToPath(new URL(name, import.meta.url))

/** Seeded: splitmix64. */
export class Seeded {
  /** @param {number} seed */
  constructor(seed) {
    this.state = BigInt.asUintN(64, BigInt(seed))
  }
  /** @param {number} limit */
  below(limit) {
    this.state = BigInt.asUintN(64, this.state + 0x9e3779b97f4a7c15n)
    let z = BigInt.asUintN(64, (this.state ^ (this.state >> 30n)) * 0xbf58476d1ce4e5b9n)
    z = BigInt.asUintN(64, (z ^ (z >> 27n)) * 0x94d049bb133111ebn)
    return Number((((z ^ (z >> 31n)) >> 32n) * BigInt(limit)) >> 32n)
  }
  /** @template T @param {readonly T[]} list @returns {T} */
  pick(list) {
    return /** @type {T} */ (list[this.below(list.length)])
  }
}

export const seedOf = () => Number(process.env.VARVE_SEED ?? Date.now() % 1_000_000_007)

/** A directory that goes with the test. @param {{ after(run: () => void): void }} t */
export function placeFor(t, parent = process.env.VARVE_PROCESS_DIR ?? tmpdir()) {
  const path = mkdtempSync(join(parent, 'varve-process-'))
  t.after(() => rmSync(path, { recursive: true, force: true }))
  return path
}

/** @param {number} ms */
export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

/**
 * A process whose output is taken line by line; what was cut off by its death is dropped.
 * @param {string[]} command @param {(line: string) => void} onLine
 */
export function startLines(command, onLine, { timeout = 120_000 } = {}) {
  const [file = '', ...args] = command
  const child = spawn(file, args, { stdio: ['pipe', 'pipe', 'pipe'] })
  let rest = ''
  let errors = ''
  let timedOut = false
  child.stdout.setEncoding('latin1')
  child.stdout.on('data', (/** @type {string} */ data) => {
    const lines = (rest + data).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) onLine(line)
  })
  child.stderr.on('data', (data) => (errors += data))
  child.stdin.on('error', () => {})
  const timer = setTimeout(() => {
    timedOut = true
    child.kill('SIGKILL')
  }, timeout)
  const ended = new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) => {
      clearTimeout(timer)
      resolve({ code, signal, errors, timedOut })
    })
  })
  return { child, ended: /** @type {Promise<Ended>} */ (ended) }
}
/** @typedef {{ code: number | null, signal: string | null, errors: string, timedOut: boolean }} Ended */

/** @typedef {import('./kill_model.mjs').State} State */
/** @typedef {{ code: string, message: string, state: State | null }} Look  code '' when all is well */

/** Opens, scans and verifies with the native program. @param {string} path @returns {Promise<Look>} */
export async function lookNative(path, readOnly = false) {
  /** @type {State} */
  const state = new Map()
  let failure = ''
  let scanned = false
  const { ended } = startLines([programs.writer, 'check', path, `read_only=${readOnly ? 1 : 0}`], (line) => {
    const [kind, k, key, id, size] = line.split(' ')
    if (kind === '=') state.set(`${k}/${key}`, `${id} ${size}`)
    else if (kind === '-') failure = line
    else if (line === '@ scanned') scanned = true
  })
  const { code, signal, errors } = await ended
  if (failure !== '') return { code: failure.split(' ')[1] ?? '?', message: failure, state: null }
  if (code !== 0 || !scanned)
    return { code: 'DIED', message: `check ended with ${signal ?? code} ${errors}`, state: null }
  return { code: '', message: '', state }
}

/** The same in this process. @param {string} path @returns {Promise<Look>} */
export async function lookNode(path, readOnly = false) {
  /** @type {Database<string, Uint8Array> | null} */
  let db = null
  try {
    const bytes = /** @type {const} */ ({ valueEncoding: 'view' })
    db = await Database.open(path, { ...bytes, readOnly, createIfMissing: false, memory: 4 << 20, memtable: 64 << 10 })
    /** @type {State} */
    const state = new Map()
    const spaces = db.keyspaces()
    for (const [k, name] of ['', 'one', 'two'].entries()) {
      if (k > 0 && !spaces.includes(name)) continue
      const store = k === 0 ? db : db.keyspace(name, bytes)
      for (const [key, value] of store.entriesSync()) state.set(`${k}/${key}`, `${idOfValue(value)} ${value.length}`)
    }
    await db.verify()
    await db.close()
    return { code: '', message: '', state }
  } catch (error) {
    const { code = 'ERROR', message, stack } = /** @type {any} */ (error)
    await db?.close().catch(() => {})
    return { code: code.replace('ERR_DB_', ''), message: code === 'ERROR' ? stack : message, state: null }
  }
}

/** The layouts that both sides know: 'directory', and 'single' where a path in .varve makes one file. */
export async function layouts() {
  const place = mkdtempSync(join(tmpdir(), 'varve-layout-'))
  try {
    const path = join(place, 'probe.varve')
    const db = await Database.open(path)
    await db.put('a', '1')
    await db.close()
    if (!statSync(path).isFile()) return ['directory']
    return (await lookNative(path)).code === '' || statSync(path).isFile() ? ['directory', 'single'] : ['directory']
  } catch {
    return ['directory']
  } finally {
    rmSync(place, { recursive: true, force: true })
  }
}

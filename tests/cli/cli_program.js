/**
 * Runs the command-line program for the tests: the native one and, where it was built, the WASI one.
 *
 * VARVE_CLI and VARVE_CLI_WASM name them; else they are looked for where the CMake presets put them. Without a native
 * program the tests fail; without a WASI one its half is skipped, and says so.
 */
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import assert from 'node:assert/strict'
import { after, describe } from 'node:test'

const root = resolve(fileURLToPath(import.meta.url), '../../..')
const launcher = join(root, 'tests/support/run_wasi.mjs')

/**
 * @typedef {object} Result
 * @property {number | null} status  the exit status
 * @property {Buffer} bytes  standard output
 * @property {string} out  standard output as text
 * @property {string} err  standard error as text
 */

/**
 * @param {string | undefined} named
 * @param {string[]} places
 * @returns {string | undefined}
 */
function findProgram(named, places) {
  if (named !== undefined && named !== '') return resolve(named)
  return places.map((place) => join(root, place)).find((place) => existsSync(place))
}

/** One way to run the program, and a directory of its own for the databases of the tests. */
export class Program {
  /**
   * @param {string} name
   * @param {string[]} command  what goes before the arguments
   */
  constructor(name, command) {
    this.name = name
    this.file = command[0] ?? ''
    this.before = command.slice(1)
    this.directory = mkdtempSync(join(tmpdir(), `varve-cli-${name}-`))
    this.made = 0
    /** @type {import('node:child_process').ChildProcess[]} */
    this.started = []
  }

  get isNative() {
    return this.name === 'native'
  }

  /** A path in the directory where nothing is yet. */
  path(ending = '') {
    this.made += 1
    return join(this.directory, `p${this.made}${ending}`)
  }

  /**
   * Runs to the end.
   * @param {string[]} args
   * @param {{ input?: string | Uint8Array }} [options]
   * @returns {Result}
   */
  run(args, { input = '' } = {}) {
    const ended = spawnSync(this.file, [...this.before, ...args], {
      input,
      cwd: this.directory,
      maxBuffer: 1 << 28,
      timeout: 60_000,
      env: { ...process.env, VARVE_HISTORY: '' },
    })
    if (ended.error !== undefined) throw ended.error
    return { status: ended.status, bytes: ended.stdout, out: ended.stdout.toString(), err: ended.stderr.toString() }
  }

  /**
   * Runs to the end; the exit status must be 0, with nothing on standard error.
   * @param {string[]} args
   * @param {{ input?: string | Uint8Array }} [options]
   */
  ok(args, options) {
    const result = this.run(args, options)
    assert.equal(result.err, '')
    assert.equal(result.status, 0)
    return result
  }

  /**
   * Runs to the end; the exit status and the message must be these.
   * @param {string[]} args
   * @param {number} status
   * @param {RegExp} message
   * @param {{ input?: string | Uint8Array }} [options]
   */
  fails(args, status, message, options) {
    const result = this.run(args, options)
    assert.match(result.err, message)
    assert.equal(result.status, status, result.err)
    return result
  }

  /**
   * A database with these entries.
   * @param {Record<string, string>} entries
   */
  database(entries) {
    const path = this.path()
    const rows = Object.entries(entries).map(([key, value]) => JSON.stringify({ key, value }) + '\n')
    this.ok([path, 'load'], { input: rows.join('') })
    return path
  }

  /**
   * Runs a line of bash, in which `varve` is this program.
   * @param {string} line
   * @param {string[]} args  $1 and so on
   */
  bash(line, args) {
    const quoted = [this.file, ...this.before].map((word) => `'${word}'`).join(' ')
    const script = `set -o pipefail; varve() { ${quoted} "$@"; }; ${line}`
    const ended = spawnSync('bash', ['-c', script, 'bash', ...args], {
      cwd: this.directory,
      maxBuffer: 1 << 28,
      timeout: 60_000,
    })
    if (ended.error !== undefined) throw ended.error
    return { status: ended.status, out: ended.stdout.toString(), err: ended.stderr.toString() }
  }

  /**
   * Starts a process and leaves it running.
   * @param {string[]} args
   */
  start(args) {
    const child = spawn(this.file, [...this.before, ...args], { cwd: this.directory, stdio: ['pipe', 'pipe', 'pipe'] })
    this.started.push(child)
    return child
  }

  /** Ends what a failed test left running, and removes its databases. */
  close() {
    for (const child of this.started) child.kill('SIGKILL')
    rmSync(this.directory, { recursive: true, force: true })
  }
}

const native = findProgram(process.env.VARVE_CLI, ['build/release/varve', 'build/dev/varve', 'build/asan/varve'])
const wasm = findProgram(process.env.VARVE_CLI_WASM, ['build/wasi/varve.wasm', 'dist/varve-cli.wasm'])

/**
 * Describes the same tests for each program.
 * @param {string} name
 * @param {(program: Program) => void} tests
 */
export function eachProgram(name, tests) {
  if (native === undefined) {
    throw new Error('there is no varve program: build it with `cmake --build --preset release`, or set VARVE_CLI')
  }
  const commands = { native: [native], wasi: wasm === undefined ? [] : [process.execPath, launcher, wasm] }
  for (const [kind, command] of Object.entries(commands)) {
    const skip = command.length === 0 ? 'build/wasi/varve.wasm was not built' : false
    describe(`${name} (${kind})`, { skip, timeout: 300_000 }, () => {
      if (skip !== false) return
      const program = new Program(kind, command)
      after(() => program.close())
      tests(program)
    })
  }
}

/**
 * A seeded source of numbers (mulberry32).
 * @param {number} from
 * @returns {(below: number) => number}
 */
export function seeded(from) {
  let state = from >>> 0
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) % below
  }
}

/** The seed of this run: VARVE_SEED, or a new one. Tests have it in their names. */
export const seed = Number(process.env.VARVE_SEED ?? Date.now() % 1_000_000_007)

// cli_kills.mjs: kill -9 in the middle of the verbs of the command-line program that write a lot: load, compact,
// backup, restore, convert. The source must be what it was; a target that was not finished is no database, or is whole.

import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { Seeded, programs } from './process_support.mjs'

const ROWS = 20_000
const END_MS = 60_000

/** @param {string[]} args @param {{ input?: string }} [options] */
function varve(args, options = {}) {
  const ended = spawnSync(programs.varve, args, { maxBuffer: 1 << 28, timeout: END_MS, ...options })
  return { code: ended.status, out: ended.stdout, err: ended.stderr.toString() }
}

/** What a database holds, or '' and why it cannot be read. @param {string} path */
export function contentOf(path) {
  const { code, out, err } = varve([path, 'dump'])
  if (code !== 0) return { hash: '', rows: 0, why: err }
  return { hash: createHash('sha256').update(out).digest('hex'), rows: out.toString().split('\n').length - 1, why: '' }
}

export class CliKills {
  /** @type {Record<string, { killed: number, ended: number, unfinished: number, whole: number }>} */
  counts = {}
  /** @type {string[]} */
  problems = []
  made = 0

  /** @param {string} place @param {number} seed @param {string[]} layouts */
  constructor(place, seed, layouts) {
    this.place = place
    this.random = new Seeded(seed)
    this.layouts = layouts
    this.input = join(place, 'rows.jsonl')
    const row = (/** @type {number} */ i) => {
      const key = `k${String((i * 7919) % ROWS).padStart(6, '0')}`
      return JSON.stringify({ key, value: `${i} `.repeat(20 + (i % 60)) })
    }
    writeFileSync(this.input, `${Array.from({ length: ROWS }, (_, i) => row(i)).join('\n')}\n`)
    this.convert = /\bconvert\b/.test(varve(['--help']).out.toString())
    /** @type {Map<string, number>} how long a verb takes, in ms, so that the kill comes before its end */
    this.takes = new Map()
    const source = this.#target('directory')
    varve([source, 'load', this.input])
    this.full = contentOf(source)
    rmSync(source, { recursive: true })
  }

  /** @param {string} layout */
  #target(layout) {
    return join(this.place, `t${this.made++}${layout === 'single' ? '.varve' : ''}`)
  }

  /** Runs until it ends, or is killed. @param {string} verb @param {string[]} args */
  #killed(verb, args) {
    const usual = this.takes.get(verb) ?? 400
    const after = this.random.below(Math.ceil(usual * 1.1))
    const since = performance.now()
    const count = (this.counts[verb] ??= { killed: 0, ended: 0, unfinished: 0, whole: 0 })
    return new Promise((resolve, reject) => {
      const child = spawn(programs.varve, args, { stdio: ['ignore', 'ignore', 'pipe'] })
      let errors = ''
      child.stderr.on('data', (data) => (errors += data))
      const timer = setTimeout(() => child.kill('SIGKILL'), after)
      child.on('error', reject)
      child.on('close', (code, signal) => {
        clearTimeout(timer)
        if (signal === 'SIGKILL') count.killed++
        else {
          count.ended++
          this.takes.set(verb, performance.now() - since)
          if (code !== 0) this.problems.push(`${verb} ended with ${signal ?? code}: ${errors}`)
        }
        resolve(signal !== 'SIGKILL')
      })
    })
  }

  /** A new target must be no database, or the whole one. @param {string} verb @param {string} target
   * @param {boolean} ended */
  #judge(verb, target, ended) {
    const count = this.counts[verb]
    const content = contentOf(target)
    if (content.hash === this.full.hash) count.whole++
    else if (content.hash === '' && !ended) count.unfinished++
    else this.problems.push(`${verb}: ${content.rows} rows of ${this.full.rows}, ended ${ended}: ${content.why}`)
  }

  /** @param {string} verb @param {string} source */
  #sourceIntact(verb, source) {
    if (contentOf(source).hash !== this.full.hash) this.problems.push(`${verb}: the source is not what it was`)
    const { code, err } = varve([source, 'verify'])
    if (code !== 0) this.problems.push(`${verb}: verify of the source: ${err}`)
  }

  /** One kill of each verb, in one layout. */
  async round() {
    const layout = this.random.pick(this.layouts)
    const source = this.#target(layout)
    const targets = [source]
    const target = (/** @type {string} */ kind) => {
      targets.push(this.#target(kind))
      return /** @type {string} */ (targets.at(-1))
    }
    await this.#load(target(layout))
    varve([source, 'load', this.input])
    await this.#killed('compact', [source, 'compact'])
    this.#sourceIntact('compact', source)

    const copy = target('directory')
    this.#judgeAfter('backup', copy, await this.#killed('backup', [source, 'backup', copy]), source)
    const whole = target('directory')
    const backed = varve([source, 'backup', whole])
    if (backed.code !== 0) this.problems.push(`backup: ${backed.err}`)
    const again = varve([source, 'backup', copy]) // what a killed backup left is brought up to date
    if (again.code !== 0) this.problems.push(`backup over an unfinished one: ${again.err}`)
    else this.#judge('backup', copy, true)

    const restored = target(layout)
    this.#judgeAfter('restore', restored, await this.#killed('restore', [restored, 'restore', whole]), null)
    if (this.convert) {
      const converted = target(layout === 'single' ? 'directory' : 'single')
      this.#judgeAfter('convert', converted, await this.#killed('convert', [source, 'convert', converted]), source)
    }
    for (const path of targets) if (existsSync(path)) rmSync(path, { recursive: true })
  }

  /** @param {string} verb @param {string} target @param {boolean} ended @param {string | null} source */
  #judgeAfter(verb, target, ended, source) {
    this.#judge(verb, target, ended)
    if (source !== null) this.#sourceIntact(verb, source)
  }

  /** What load wrote before it was killed is there, and the rest can be loaded over it. @param {string} path */
  async #load(path) {
    const ended = await this.#killed('load', [path, 'load', this.input])
    const content = contentOf(path)
    if (ended && content.hash !== this.full.hash) this.problems.push('load: it ended, and not all is there')
    if (content.hash === '' && !/no database|there is no/i.test(content.why)) this.problems.push(`load: ${content.why}`)
    if (content.hash === '') return
    if (content.hash === this.full.hash) this.counts.load.whole++
    else this.counts.load.unfinished++
    const { code, err } = varve([path, 'verify'])
    if (code !== 0) this.problems.push(`load: verify: ${err}`)
    const again = varve([path, 'load', this.input])
    if (again.code !== 0) this.problems.push(`load over what a killed one left: ${again.err}`)
    if (contentOf(path).hash !== this.full.hash) this.problems.push('load again: not all is there')
  }
}

#!/usr/bin/env node
// torture.mjs: npm run torture: builds the crash simulator (tests/crash) and runs it on every core, each with seeds of
// its own. The exit code is 1 when something was found, and the line that shows it again is printed.
//
//   npm run torture -- --minutes 20         both layouts, release and then, for a quarter of the time, sanitised
//   npm run torture -- --seeds 5000         so many seeds in each layout
//   npm run torture -- --asan ...           the sanitised build alone; --no-asan: without it
//   npm run torture -- --plain              without transactions and indexes
//   npm run torture -- --from N             the first seed (1; with --minutes: taken from the clock)
//   npm run torture -- --layout dir|single  one layout
//   npm run torture -- --trace-seeds N      only compares the traces of N seeds, native and WebAssembly
//
// To show one seed again: build/torture/torture --seed 0x1234 --layout dir (build/tiny/torture for the sanitised one).

import { spawn } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'

import { root, setUp } from './setup.mjs'

/** Seeds that once failed. */
const REGRESSIONS = join(root, 'tests/crash/seeds.txt')
/** Each process has so many seeds for itself when it runs by the clock. */
const SEEDS_OF_ONE = 1_000_000_000
const ASAN_SHARE = 0.25
const SHOWN_EVERY_MS = process.stdout.isTTY ? 1000 : 10_000

/** @typedef {{ code: number, output: string }} Ended */
/** @typedef {Record<string, number>} Counts */
/**
 * @typedef {{ program: string, label: string, layout: string, from: number, seeds: number, minutes: number,
 *   plain: boolean }} Campaign
 */

/** @param {string} text @returns {never} */
function stop(text) {
  console.error(text)
  process.exit(2)
}

/** Runs a program; `onError` is given what it says on standard error. @param {string} command @param {string[]} args
 * @param {(text: string) => void} [onError] @returns {Promise<Ended>} */
function run(command, args, onError) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    child.stdout.on('data', (data) => (output += data))
    child.stderr.on('data', (data) => (onError === undefined ? (output += data) : onError(String(data))))
    child.on('error', (error) => stop(`${command} could not be started: ${error.message}`))
    child.on('close', (code) => resolve({ code: code ?? 128, output }))
  })
}

/** @param {string} preset to configure @param {string} target the preset to build @param {string} program */
export async function buildTorture(preset, target, program) {
  for (const args of [
    ['--preset', preset, '-DVARVE_WERROR=ON'],
    ['--build', '--preset', target, '--', '--quiet'],
  ]) {
    const { code, output } = await run('cmake', args)
    if (code !== 0) stop(output)
  }
  return join(root, 'build', preset, program)
}

/** @param {Counts} to @param {Counts} from */
function addCounts(to, from) {
  for (const [name, count] of Object.entries(from)) to[name] = (to[name] ?? 0) + count
}

/** What a process said at its end: failures, and its counts as the last line. @param {string} output */
function readOutput(output) {
  const lines = output.trimEnd().split('\n')
  const last = lines.at(-1) ?? ''
  if (!last.startsWith('{')) return { text: output, counts: {} }
  return { text: lines.slice(0, -1).join('\n'), counts: /** @type {Counts} */ (JSON.parse(last)) }
}

/** One campaign on all cores. @param {Campaign} c @returns {Promise<{ failed: boolean, counts: Counts }>} */
async function campaign(c) {
  const cores = availableParallelism()
  /** @type {Counts} */
  const counts = {}
  /** @type {string[]} what each process said last of its progress */
  const progress = []
  let failed = false
  const since = performance.now()
  const timer = setInterval(() => show(c, progress, since), SHOWN_EVERY_MS)
  await Promise.all(
    Array.from({ length: cores }, async (_, i) => {
      const share = c.minutes > 0 ? SEEDS_OF_ONE : Math.floor(c.seeds / cores) + (i < c.seeds % cores ? 1 : 0)
      if (share === 0) return
      const before = c.minutes > 0 ? i * share : i * Math.floor(c.seeds / cores) + Math.min(i, c.seeds % cores)
      const args = ['--layout', c.layout, '--json', '--unchecked', '--from', String(c.from + before)]
      args.push(...(c.minutes > 0 ? ['--minutes', String(c.minutes)] : ['--seeds', String(share)]))
      if (c.plain) args.push('--plain')
      if (i === 0) args.push('--regressions', REGRESSIONS)
      const { code, output } = await run(c.program, args, (text) => (progress[i] = text))
      const { text, counts: mine } = readOutput(output)
      addCounts(counts, mine)
      if (code === 0) return
      failed = true
      console.log(`${text}\n${c.label}: exit code ${code} of the seeds from ${c.from + before} on`)
    }),
  )
  clearInterval(timer)
  return { failed: summary(c, counts, since, failed), counts }
}

/** @param {Campaign} c @param {string[]} progress @param {number} since */
function show(c, progress, since) {
  let seeds = 0
  let images = 0
  for (const text of progress) {
    const match = /(\d+) seeds .*?(\d+) images/.exec(text ?? '')
    seeds += Number(match?.[1] ?? 0)
    images += Number(match?.[2] ?? 0)
  }
  const line = `${c.label}, ${c.layout}: ${seeds} seeds, ${images} crash images, ${seconds(since)} s`
  if (process.stdout.isTTY) process.stdout.write(`\r${line}\x1b[K`)
  else console.log(line)
}

/** @param {number} since */
function seconds(since) {
  return ((performance.now() - since) / 1000).toFixed(0)
}

/** Tells the figures; true when the campaign failed. @param {Campaign} c @param {Counts} counts @param {number} since
 * @param {boolean} failed */
function summary(c, counts, since, failed) {
  const time = (performance.now() - since) / 1000
  const { seeds = 0, images = 0, checks = 0, missing, ...rest } = counts
  void missing
  if (process.stdout.isTTY) process.stdout.write('\r\x1b[K')
  console.log(
    `${c.label}, ${c.layout}: ${seeds} seeds (${(seeds / time).toFixed(0)}/s), ${images} crash images ` +
      `(${(images / time).toFixed(0)}/s), ${checks} states compared, ` +
      `${failed ? 'FAILED' : 'no failure'}, ${time.toFixed(0)} s`,
  )
  const layouts = c.layout === 'both' ? 2 : 1
  if (failed || seeds < 1000 * layouts) return failed
  const never = Object.entries(rest).filter(([name, count]) => count === 0 && !excused(name, c))
  for (const [name] of never) console.log(`never reached: ${name}`)
  return never.length > 0
}

/** Counters of the other layout, or of what plain seeds leave out. @param {string} name @param {Campaign} c */
function excused(name, { layout, plain }) {
  if (plain && /txn|index|unique|range_deletes_of_rows/.test(name)) return true
  if (name.startsWith('dir:')) return layout === 'single'
  return name.startsWith('single:') && layout === 'dir'
}

/** The same seeds natively and in WebAssembly must do the same. @param {number} seeds */
async function compareTraces(seeds) {
  const native = await buildTorture('torture', 'torture', 'torture')
  const wasm = await buildTorture('wasi', 'torture-wasi', 'torture.wasm')
  const args = ['--seeds', String(seeds), '--layout', 'both', '--hashes', '--roomy', '--quiet', '--unchecked']
  const runner = join(root, 'tests/support/run_wasi.mjs')
  const since = performance.now()
  const [a, b, again] = await Promise.all([
    run(native, args),
    run(process.execPath, [runner, wasm, ...args]),
    run(native, ['--seeds', String(Math.min(seeds, 20)), ...args.slice(2)]),
  ])
  if (a.code !== 0 || b.code !== 0)
    stop(`${a.output}${b.output}\nthe runs failed: ${a.code} natively, ${b.code} in WASM`)
  const lines = a.output.trimEnd().split('\n')
  const other = b.output.trimEnd().split('\n')
  const differs = lines.findIndex((line, i) => line !== other[i])
  if (differs >= 0) stop(`the traces differ: ${lines[differs]} natively, ${other[differs] ?? 'nothing'} in WASM`)
  if (!a.output.startsWith(again.output.trimEnd())) stop('the same seeds run twice leave two traces')
  console.log(`traces of ${lines.length} runs are equal natively and in WASM, ${seconds(since)} s`)
}

function options() {
  const { values } = parseArgs({
    options: {
      seeds: { type: 'string' },
      from: { type: 'string' },
      minutes: { type: 'string' },
      layout: { type: 'string', default: 'both' },
      asan: { type: 'boolean', default: false },
      'no-asan': { type: 'boolean', default: false },
      'trace-seeds': { type: 'string' },
      plain: { type: 'boolean', default: false },
    },
  })
  if (!['dir', 'single', 'both'].includes(values.layout)) stop('--layout is dir, single or both')
  return values
}

async function main() {
  const o = options()
  setUp('test')
  if (o['trace-seeds'] !== undefined) return compareTraces(Number(o['trace-seeds']))
  const minutes = Number(o.minutes ?? 0)
  const seeds = Number(o.seeds ?? (minutes > 0 ? 0 : 5000))
  const from = Number(o.from ?? (minutes > 0 ? 1_000_000_000_000 + (Date.now() % 1_000_000) * 4 * SEEDS_OF_ONE : 1))
  if (!(minutes >= 0 && seeds >= 0 && Number.isSafeInteger(from))) stop('--seeds, --minutes and --from take numbers')
  const sanitised = o.asan ? 1 : o['no-asan'] ? 0 : ASAN_SHARE
  /** @type {{ label: string, preset: string, target: string, share: number }[]} */
  const builds = [
    { label: 'release', preset: 'torture', target: 'torture', share: 1 - sanitised },
    { label: 'sanitised', preset: 'tiny', target: 'torture-asan', share: sanitised },
  ]
  for (const { label, preset, target, share } of builds) {
    if (share === 0) continue
    const program = await buildTorture(preset, target, 'torture')
    const count = label === 'sanitised' && !o.asan ? Math.ceil(seeds / 10) : seeds
    const campaigned = {
      program,
      label,
      layout: o.layout,
      from,
      seeds: count,
      minutes: minutes * share,
      plain: o.plain,
    }
    const done = await campaign(campaigned)
    if (done.failed) process.exitCode = 1
  }
}

await main()

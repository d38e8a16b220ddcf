#!/usr/bin/env node
// fuzz.mjs: npm run fuzz: builds the fuzz targets (tests/fuzz) with libFuzzer and the sanitizers and runs each for a
// while, two at once. What libFuzzer finds worth keeping stays in build/fuzz/corpus/<target> for the next time.
//
//   npm run fuzz                            every target, 60 seconds each
//   npm run fuzz -- --seconds 10 wal table  these, 10 seconds each
//   npm run fuzz -- --list                  their names
//
// A finding ends the run of its target; its input is the reproducer. Replay it with
//   build/fuzz/fuzz_replay --file TARGET FILE
// and, when it is mended, put it into tests/fuzz/regressions/<target>/.

import { spawn, spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'

import { root, setUp } from './setup.mjs'

const BUILD = join(root, 'build', 'fuzz')
const CORPUS = join(BUILD, 'corpus')
const FINDINGS = join(BUILD, 'findings')
const AT_ONCE = 2
const SLOWEST_SECONDS = 10
const MEMORY_MB = 2048

/** @typedef {{ target: string, runs: number, speed: number, edges: number, kept: number, finding: string }} Outcome */

/** @param {string} text @returns {never} */
function stop(text) {
  console.error(text)
  process.exit(2)
}

/** Runs a command; its output is shown only when it fails. @param {string} command @param {string[]} args */
function run(command, args) {
  const { status, error, stdout, stderr } = spawnSync(command, args, {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  })
  if (error !== undefined) stop(`${command} could not be started: ${error.message}`)
  if (status !== 0) stop(`${stdout}${stderr}\n${command} ${args.join(' ')}: exit code ${status}`)
}

function build() {
  const sanitizers = '-DVARVE_SANITIZE=fuzzer-no-link,address,undefined'
  const options = ['-G', 'Ninja', '-DCMAKE_C_COMPILER=clang', '-DCMAKE_BUILD_TYPE=Debug', '-DVARVE_TINY=ON', sanitizers]
  run('cmake', ['-S', root, '-B', BUILD, ...options])
  run('cmake', ['--build', BUILD, '--target', 'fuzz', 'fuzz_replay', '--', '--quiet'])
}

/** The names that tests/fuzz/fuzz.c lists. */
function targets() {
  const text = readFileSync(join(root, 'tests/fuzz/fuzz.c'), 'utf8')
  const list = /fuzz_targets\[\] = \{([^}]*)\}/.exec(text)?.[1] ?? ''
  return [...list.matchAll(/&fuzz_(\w+)/g)].map((match) => match[1] ?? '')
}

/** @param {string} path */
const filesIn = (path) => readdirSync(path).length

/** @param {string} output @param {RegExp} pattern */
const numberIn = (output, pattern) => Number([...output.matchAll(pattern)].at(-1)?.[1] ?? 0)

/** @param {string} target @param {number} seconds @returns {Promise<Outcome>} */
function fuzz(target, seconds) {
  const corpus = join(CORPUS, target)
  const before = filesIn(corpus)
  const args = [
    `-max_total_time=${seconds}`,
    `-timeout=${SLOWEST_SECONDS}`,
    `-rss_limit_mb=${MEMORY_MB}`,
    `-artifact_prefix=${join(FINDINGS, `${target}-`)}`,
    '-print_final_stats=1',
    '-max_len=24576',
    corpus,
  ]
  for (const kind of ['corpus', 'regressions']) {
    const kept = join(root, 'tests/fuzz', kind, target)
    try {
      if (filesIn(kept) > 0) args.push(kept)
    } catch {
      // There is none for this target.
    }
  }
  return new Promise((resolve) => {
    const env = { ...process.env, VARVE_FUZZ_TARGET: target }
    const child = spawn(join(BUILD, 'fuzz'), args, { cwd: root, env, stdio: ['ignore', 'ignore', 'pipe'] })
    let output = ''
    child.stderr.on('data', (data) => (output += data))
    child.on('error', (error) => stop(`the fuzzer could not be started: ${error.message}`))
    child.on('close', (code) => {
      const finding = /Test unit written to (\S+)/.exec(output)?.[1] ?? ''
      if (code !== 0) console.error(output.slice(-6000))
      resolve({
        target,
        runs: numberIn(output, /stat::number_of_executed_units: +(\d+)/g) || numberIn(output, /^#(\d+)/gm),
        speed: numberIn(output, /stat::average_exec_per_sec: +(\d+)/g),
        edges: numberIn(output, /cov: (\d+)/g),
        kept: filesIn(corpus) - before,
        finding: code === 0 ? '' : finding || `exit code ${code}`,
      })
    })
  })
}

/** @param {string[]} cells */
const row = (cells) => cells.map((cell, i) => (i === 0 ? cell.padEnd(12) : cell.padStart(12))).join('')

/** @param {Outcome} o */
const show = (o) => row([o.target, ...[o.runs, o.speed, o.edges, o.kept].map(String), o.finding === '' ? '0' : '1'])

/** @param {string[]} names @param {number} seconds */
async function runAll(names, seconds) {
  /** @type {Outcome[]} */
  const outcomes = []
  const queue = [...names]
  console.log(row(['target', 'executions', 'per second', 'edges', 'new inputs', 'findings']))
  const worker = async () => {
    for (let name = queue.shift(); name !== undefined; name = queue.shift()) {
      const outcome = await fuzz(name, seconds)
      outcomes.push(outcome)
      console.log(show(outcome))
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, worker))
  return outcomes
}

async function main() {
  const { values, positionals } = parseArgs({
    options: { seconds: { type: 'string', default: '60' }, list: { type: 'boolean', default: false } },
    allowPositionals: true,
  })
  const all = targets()
  if (values.list) return console.log(all.join('\n'))
  const seconds = Number(values.seconds)
  if (!Number.isInteger(seconds) || seconds < 1) stop('--seconds takes a whole number of at least 1')
  const unknown = positionals.filter((name) => !all.includes(name))
  if (unknown.length > 0) stop(`There is no target ${unknown.join(', ')}: npm run fuzz -- --list names them`)
  setUp('test')
  rmSync(FINDINGS, { recursive: true, force: true })
  for (const name of all) mkdirSync(join(CORPUS, name), { recursive: true })
  mkdirSync(FINDINGS, { recursive: true })
  build()
  run(join(BUILD, 'fuzz_replay'), ['--seeds', CORPUS])
  const outcomes = await runAll(positionals.length > 0 ? positionals : all, seconds)
  const runs = outcomes.reduce((sum, { runs: count }) => sum + count, 0)
  const found = outcomes.filter(({ finding }) => finding !== '')
  console.log(`${outcomes.length} targets, ${runs} executions, ${found.length} findings`)
  for (const { target, finding } of found) console.log(`${target}: build/fuzz/fuzz_replay --file ${target} ${finding}`)
  if (found.length > 0) process.exitCode = 1
}

await main()

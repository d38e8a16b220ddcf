#!/usr/bin/env node
/**
 * npm run bench: Varve beside LevelDB, RocksDB, LMDB and SQLite, in one run.
 *
 * Builds the workers of bench/ in release mode, runs them round by round with the engines interleaved, prints
 * the table and writes build/bench/results.json and build/bench/table.txt. The databases are deleted afterwards.
 */
import { spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { cpus, loadavg, release } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

import { ROWS, groupsOf, rowsByCpu } from '../bench/bench_rows.mjs'
import { runPlan } from '../bench/bench_run.mjs'
import { formatTable, formatVerdict, resultsOf } from '../bench/bench_report.mjs'

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), '..')
/** The engines of a run that names none; an engine that was not built is left out. */
const ENGINES = ['varve', 'leveldb', 'leveldb-16m', 'rocksdb', 'lmdb', 'sqlite']
/** The others that can be asked for. */
const VARIANTS = ['varve-nothread', 'lmdb-writemap']

const HELP = `usage: npm run bench -- [options]

  --engines LIST          default: ${ENGINES.join(',')}
                          as well: ${VARIANTS.join(', ')}
  --rows LIST             rows to measure (default: all); --help-rows lists them
  --n N                   entries, and random reads (default 1,000,000)
  --rounds N              how often everything is run (default 3)
  --seed N                of the first round; the next round's is one more (default 1)
  --value-size N          bytes of a value (default 100)
  --compression-ratio X   how well values compress: 1 not at all (default), 0.5 to half
  --compression on|off    the engines' default compression, or none (default)
  --batch N               entries of a batch (default 1000)
  --sync-n N              operations of fillsync (default 2000)
  --crash-mib N           data written before the kill (default 64)
  --dir PATH              where the databases go (default build/bench/data)
  --build PATH            where the workers are built (default build/bench/native)
  --ranges                show least and greatest values beside the medians
  --cpu                   operations a second of processor time, for a machine that is not idle
  --no-build              use the workers as they are`

/** Options that are passed on to the workers as they are. */
const PASSED = ['n', 'value-size', 'compression-ratio', 'compression', 'batch', 'sync-n', 'crash-mib']

function parseCommandLine() {
  /** @type {Record<string, { type: 'string' | 'boolean' }>} */
  const options = {}
  const words = ['engines', 'rows', 'rounds', 'seed', 'dir', 'build', ...PASSED]
  for (const name of words) options[name] = { type: 'string' }
  for (const name of ['ranges', 'cpu', 'no-build', 'help', 'help-rows']) options[name] = { type: 'boolean' }
  try {
    return /** @type {Record<string, string | undefined>} */ (parseArgs({ options }).values)
  } catch (error) {
    return fail(`${error instanceof Error ? error.message : error} (--help lists the options)`)
  }
}

/**
 * A mistake of the caller: one line, no stack.
 * @param {string} message
 * @returns {never}
 */
function fail(message) {
  process.stderr.write(`bench: ${message}\n`)
  process.exit(1)
}

/** @param {string[]} command */
function runCommand(command) {
  const child = spawnSync(command[0], command.slice(1), { encoding: 'utf8' })
  if (child.status !== 0) {
    fail(`${command.join(' ')} failed\n${child.stdout ?? ''}${child.stderr ?? ''}${child.error?.message ?? ''}`)
  }
  return `${child.stdout}${child.stderr}`
}

/**
 * Configures, and builds the workers of the engines that are asked for.
 * @param {string} build
 * @param {string[]} engines
 * @param {boolean} asked  whether the user named the engines: then a missing one is an error
 * @returns {string[]} the engines that there are
 */
function buildWorkers(build, engines, asked) {
  const output = runCommand(['cmake', '-S', join(ROOT, 'bench'), '-B', build])
  for (const line of output.split('\n')) if (line.includes('left out')) process.stderr.write(`${line}\n`)
  const there = readFileSync(join(build, 'engines.txt'), 'utf8').split('\n').filter(Boolean)
  const some = engines.filter((engine) => there.includes(engine.split('-')[0]))
  if (asked && some.length < engines.length) {
    fail(`there is no ${engines.filter((engine) => !some.includes(engine)).join(', ')}; there is ${there.join(', ')}`)
  }
  const targets = new Set(some.map((engine) => `bench_${engine.split('-')[0]}`))
  if (targets.size > 0) runCommand(['cmake', '--build', build, '--target', ...targets])
  return some
}

/** @param {string | undefined} text */
function chooseRows(text) {
  if (!text) return ROWS
  const names = text.split(',')
  const known = ROWS.map((row) => row.name)
  const unknown = names.filter((name) => !known.includes(name))
  if (unknown.length > 0) fail(`no such row: ${unknown.join(', ')}; there are ${known.join(', ')}`)
  return ROWS.filter((row) => names.includes(row.name))
}

/**
 * @param {string | undefined} text
 * @param {number} otherwise
 * @param {string} name
 */
function wholeNumber(text, otherwise, name) {
  const number = text === undefined ? otherwise : Number(text)
  if (!Number.isSafeInteger(number) || number < 1) fail(`--${name} takes a whole number from 1`)
  return number
}

/** @param {string} text */
function progress(text) {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`)
}

function main() {
  const args = parseCommandLine()
  if (args.help) return void process.stdout.write(`${HELP}\n`)
  if (args['help-rows']) return void process.stdout.write(`${ROWS.map((row) => row.name).join('\n')}\n`)
  const build = resolve(args.build ?? join(ROOT, 'build/bench/native'))
  const dir = resolve(args.dir ?? join(ROOT, 'build/bench/data'))
  const rounds = wholeNumber(args.rounds, 3, 'rounds')
  const seed = wholeNumber(args.seed, 1, 'seed')
  for (const name of PASSED) if (!name.startsWith('compression')) wholeNumber(args[name], 1, name)
  const rows = chooseRows(args.rows)
  const wanted = args.engines?.split(',') ?? ENGINES
  const known = [...ENGINES, ...VARIANTS]
  for (const engine of wanted) if (!known.includes(engine)) fail(`no engine ${engine}; there are ${known.join(', ')}`)
  const engines = args['no-build'] ? wanted : buildWorkers(build, wanted, args.engines !== undefined)
  const options = PASSED.flatMap((name) => (args[name] === undefined ? [] : [`--${name}`, String(args[name])]))
  const about = aboutMachine()
  process.stdout.write(`${about.cpu}, ${about.cpus} cpus, load ${about.load.toFixed(2)}\n`)
  process.stdout.write(`n ${args.n ?? 1e6}, rounds ${rounds}, seed ${seed} ${options.join(' ')}\n`)
  mkdirSync(dir, { recursive: true })
  const groups = groupsOf(rows)
  const plan = { workers: build, dir, engines, groups, rounds, seed, options, progress }
  const { samples, problems } = runPlan(plan)
  progress('')
  for (const engine of engines) rmSync(join(dir, engine), { recursive: true, force: true })
  report(args.cpu ? rowsByCpu(rows) : rows, engines, Boolean(args.ranges), {
    about,
    rounds,
    seed,
    options,
    samples,
    problems,
  })
}

/** What the figures depend on, besides the options. */
function aboutMachine() {
  const date = new Date().toISOString()
  return { date, cpu: cpus()[0].model, cpus: cpus().length, kernel: release(), load: loadavg()[0] }
}

/**
 * Prints the table and writes the files.
 * @param {import('../bench/bench_rows.mjs').Row[]} rows
 * @param {string[]} engines
 * @param {boolean} ranges
 * @param {{ samples: import('../bench/bench_run.mjs').Samples, problems: string[] } & Record<string, unknown>} run
 */
function report(rows, engines, ranges, run) {
  const { samples, problems } = run
  const results = resultsOf(rows, samples, engines)
  const table = `${formatTable(results, engines, ranges)}\n`
  const verdict = `* the best peer. ${formatVerdict(results)}\n`
  process.stdout.write(`\n${table}\n${verdict}`)
  const all = Object.fromEntries([...samples].map(([engine, values]) => [engine, Object.fromEntries(values)]))
  const out = join(ROOT, 'build/bench')
  mkdirSync(out, { recursive: true })
  const file = { ...run, loadAfter: loadavg()[0], samples: all, results }
  writeFileSync(join(out, 'results.json'), `${JSON.stringify(file, null, 2)}\n`)
  writeFileSync(join(out, 'table.txt'), `${table}\n${verdict}`)
  for (const problem of problems) process.stderr.write(`bench: ${problem}\n`)
  if (problems.length > 0) process.exitCode = 1
}

main()

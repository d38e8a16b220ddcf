#!/usr/bin/env node
// mutants.mjs: npm run mutants: can the simulator find bugs? Each patch of tests/crash/mutants is planted in a copy of
// the sources, and the simulator must find it.
//
//   npm run mutants                     all, in every layout where they can do harm; exit code 1 when one is not found
//   npm run mutants -- NAME...          these (or those whose names begin so)
//   npm run mutants -- --list           their names and what they are
//   npm run mutants -- --check          only whether the patches apply
//   --seeds N                           how many seeds each may take (2000)
//   --layout dir|single                 in this layout alone
//   --keep                              leave the programs in build/mutants, to look at one with --trace
//
// Sources are compiled one by one at -O1 with the shrunken constants, and objects are kept by the hash of what they are
// made of: a mutant costs the compilation of the file that it changes, and a link.

import { execFile, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'

import { mutantNames, plantMutant } from './mutants_patch.mjs'
import { root, setUp } from './setup.mjs'

const BUILD = join(root, 'build/mutants')
const FLAGS = ['-std=gnu11', '-O1', '-DVARVE_TINY', '-DVARVE_THREADS=1', '-pthread']
const INCLUDES = ['src', 'include', 'tests', 'tests/crash']
/** Files of other targets. */
const NOT_NATIVE = /\/(vfs_host|env_wasm|vfs_wasi|env_wasi|sync_none|api_wasm\w*)\.c$/
/** A call that comes back after so long is an endless loop. */
const TIMEOUT_MS = 20 * 60 * 1000
/** Seeds of one call: small at first, as most are found at once, and never so many that a crash is far from its
 * seed. */
const CHUNKS = [4, 16, 60, 120, 300, 500]

/**
 * @typedef {{ code: number, signal: string | null, output: string }} Ended
 * @typedef {{ seed: number, what: string } | null} Found
 * @typedef {{ name: string, layout: string, found: Found, seconds: number, error?: string }} Row
 */

/** @param {string} command @param {string[]} args @returns {Promise<Ended>} */
function run(command, args) {
  const options = { cwd: root, maxBuffer: 1 << 28 }
  return new Promise((resolve) => {
    execFile(command, args, options, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : -1
      resolve({ code, signal: error?.signal ?? null, output: stdout + stderr })
    })
  })
}

/** @param {string} directory @param {RegExp} which */
function filesBelow(directory, which) {
  if (!existsSync(join(root, directory))) return []
  const names = readdirSync(join(root, directory), { recursive: true, encoding: 'utf8' })
  return names.filter((name) => which.test(name)).map((name) => `${directory}/${name}`)
}

function engineSources() {
  return filesBelow('src', /^[^/]+\/[^/]+\.c$/).filter((path) => !NOT_NATIVE.test(path))
}

/** What torture_all.c puts together. */
function simulatorSources() {
  const all = readFileSync(join(root, 'tests/crash/torture_all.c'), 'utf8')
  return [...all.matchAll(/^#include "((?:sim|torture)_\w+\.c)"/gm)].map((match) => `tests/crash/${match[1]}`)
}

/** All headers together: one number says whether any of them changed. @param {Map<string, string>} texts */
function headersKey(texts) {
  const hash = createHash('sha1')
  const headers = INCLUDES.flatMap((directory) => filesBelow(directory, /\.h$/))
  for (const path of [...new Set(headers)].sort()) hash.update(texts.get(path) ?? readFileSync(join(root, path)))
  return hash.digest('hex')
}

let parts = 0

/** Compiles a file, unless that very text was compiled before. @param {string} path @param {Map<string, string>} texts
 * @param {string} headers @param {string} place where the planted files are @returns {Promise<string>} the object */
async function compile(path, texts, headers, place) {
  const planted = texts.get(path)
  const text = planted ?? readFileSync(join(root, path), 'utf8')
  const key = createHash('sha1')
    .update(`${FLAGS.join(' ')}\n${path}\n${headers}\n${text}`)
    .digest('hex')
  const object = join(BUILD, 'objects', `${key}.o`)
  if (existsSync(object)) return object
  const source = planted === undefined ? path : join(place, path)
  const includes = [place, root].flatMap((base) => INCLUDES.map((directory) => `-I${join(base, directory)}`))
  const partial = `${object}.${process.pid}.${parts++}`
  const { code, output } = await run('cc', [...FLAGS, ...includes, '-c', source, '-o', partial])
  if (code !== 0) throw new Error(`${path} does not compile\n${output}`)
  renameSync(partial, object)
  return object
}

/** Builds the simulator over the engine with some files changed. @param {string} name @param {Map<string, string>}
 * texts @returns {Promise<string>} the program */
async function build(name, texts) {
  const place = join(BUILD, name)
  for (const [path, text] of texts) {
    mkdirSync(join(place, path, '..'), { recursive: true })
    writeFileSync(join(place, path), text)
  }
  const headers = headersKey(texts)
  mkdirSync(place, { recursive: true })
  const objects = []
  for (const path of [...engineSources(), ...simulatorSources()]) {
    objects.push(await compile(path, texts, headers, place))
  }
  const program = join(place, 'torture')
  const { code, output } = await run('cc', [...FLAGS, ...objects, '-o', program])
  if (code !== 0) throw new Error(`${name} does not link\n${output}`)
  return program
}

/** Runs seeds until one fails; the simulator would then look for the shortest way to it, which is not waited for.
 * @param {string} program @param {string[]} args @returns {Promise<Ended>} */
function torture(program, args) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] })
    const timer = setTimeout(() => child.kill('SIGKILL'), TIMEOUT_MS)
    let output = ''
    const take = (/** @type {Buffer} */ data) => {
      output += data
      if (/^FAILED seed .*\n/m.test(output)) child.kill('SIGKILL')
    }
    child.stdout.on('data', take)
    child.stderr.on('data', take)
    child.on('error', reject)
    child.on('close', (code, signal) => {
      clearTimeout(timer)
      resolve({ code: code ?? -1, signal, output })
    })
  })
}

/** The first seed of [from, from + count) that fails. A promise of the engine that does not hold ends the program
 * without a word about the seed, which is then looked for by halves. @param {string} program @param {string} layout
 * @param {number} from @param {number} count @returns {Promise<Found>} */
async function search(program, layout, from, count) {
  const args = ['--layout', layout, '--from', String(from), '--seeds', String(count), '--stop', '--quiet']
  const { code, signal, output } = await torture(program, args)
  if (code === 0) return null
  const said = /^FAILED seed (0x[0-9a-f]+) \(\w+\): (.*)$/m.exec(output)
  const promise = /([\w.]+:\d+): a promise does not hold: .*/.exec(output)?.[0]
  if (said?.[1] !== undefined) return { seed: Number(said[1]), what: promise ?? said[2] ?? '' }
  if (count === 1) {
    const ending = signal === 'SIGKILL' ? 'endless loop' : `ended by ${signal ?? `exit code ${code}`}`
    return { seed: from, what: promise ?? ending }
  }
  const half = Math.floor(count / 2)
  return (await search(program, layout, from, half)) ?? (await search(program, layout, from + half, count - half))
}

/** A seed counts only when the engine without the bug passes it.
 * @param {string} program @param {string} sound @param {string} layout @param {number} seeds */
async function hunt(program, sound, layout, seeds) {
  for (let from = 1, i = 0; from <= seeds; i++) {
    const count = Math.min(CHUNKS[Math.min(i, CHUNKS.length - 1)] ?? 1, seeds + 1 - from)
    const found = await search(program, layout, from, count)
    if (found !== null && (await search(sound, layout, found.seed, 1)) === null) return found
    from = found === null ? from + count : found.seed + 1
  }
  return null
}

/** @typedef {{ seeds: number, layout: string, keep: boolean }} Options */

/** @param {string} name @param {string} sound @param {Options} options @param {(row: Row) => void} report */
async function tryMutant(name, sound, options, report) {
  let since = performance.now()
  const seconds = () => (performance.now() - since) / 1000
  try {
    const { mutant, texts } = plantMutant(root, name)
    const layouts = mutant.layout === 'both' ? ['dir', 'single'] : [mutant.layout]
    const program = await build(name, texts)
    for (const layout of layouts.filter((one) => options.layout === 'both' || options.layout === one)) {
      report({ name, layout, found: await hunt(program, sound, layout, options.seeds), seconds: seconds() })
      since = performance.now()
    }
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error)
    report({ name, layout: '', found: null, seconds: seconds(), error: text })
  }
  if (!options.keep) rmSync(join(BUILD, name), { recursive: true, force: true })
}

/** @param {Row} row */
function line({ name, layout, found, seconds, error }) {
  const seed = found === null ? '-' : String(found.seed)
  const what = error ?? (found === null ? 'NOT FOUND' : found.what.slice(0, 160))
  return `${name.padEnd(32)} ${layout.padEnd(6)} ${seed.padStart(5)}  ${seconds.toFixed(1).padStart(6)} s  ${what}`
}

/** As many at a time as there are processors. @param {string[]} names @param {(name: string) => Promise<void>} visit */
async function inParallel(names, visit) {
  const left = [...names]
  const worker = async () => {
    for (let name = left.shift(); name !== undefined; name = left.shift()) await visit(name)
  }
  await Promise.all(Array.from({ length: availableParallelism() }, worker))
}

/** @param {string[]} names */
function list(names) {
  for (const name of names) {
    const { mutant } = plantMutant(root, name)
    console.log(`${name.padEnd(32)} ${mutant.layout.padEnd(6)} ${mutant.bug}\n${''.padEnd(40)}(${mutant.standsFor})`)
  }
}

/** @param {string[]} names @param {Options} options */
async function findAll(names, options) {
  setUp('start')
  mkdirSync(join(BUILD, 'objects'), { recursive: true })
  const sound = await build('sound', new Map())
  console.log(`${'bug'.padEnd(32)} layout ${'seed'.padStart(5)}  ${'time'.padStart(8)}  found by`)
  let missed = 0
  await inParallel(names, (name) =>
    tryMutant(name, sound, options, (row) => {
      if (row.found === null) missed++
      console.log(line(row))
    }),
  )
  console.log(`${names.length} bugs, ${missed} times not found within ${options.seeds} seeds`)
  if (missed > 0) process.exitCode = 1
}

async function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      list: { type: 'boolean', default: false },
      check: { type: 'boolean', default: false },
      keep: { type: 'boolean', default: false },
      seeds: { type: 'string', default: '2000' },
      layout: { type: 'string', default: 'both' },
    },
  })
  const all = mutantNames(root)
  const names = all.filter((name) => positionals.length === 0 || positionals.some((part) => name.startsWith(part)))
  if (names.length === 0) throw new Error(`There is no bug ${positionals.join(', ')}: npm run mutants -- --list`)
  if (values.list) return list(names)
  for (const name of names) plantMutant(root, name)
  if (values.check) return console.log(`${names.length} patches apply`)
  return findAll(names, { ...values, seeds: Number(values.seeds) })
}

try {
  await main()
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 1
}

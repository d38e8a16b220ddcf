#!/usr/bin/env node
// coverage.mjs: npm run coverage: which lines and branches of src/ the native tests and the simulator reach, by gcov.
//
//   npm run coverage                    a table, file by file
//   npm run coverage -- --missed job    and every branch of src/lsm/job.c that was never taken
//   npm run coverage -- --keep          without building and running again
//
// A branch is one way out of a condition. Those of ASSERT are left out: the other way is a bug of ours. So are those
// that the compiler says no test can choose (calls that do not return).

import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join, relative, resolve } from 'node:path'

import { root, setUp } from './setup.mjs'

const BUILD = 'build/coverage'
const SEEDS = 500

/** @typedef {{ count: number }} Branch */
/** @typedef {{ line_number: number, count: number, branches: (Branch & { throw: boolean })[] }} Line */
/** @typedef {{ lines: number, linesHit: number, branches: number, branchesHit: number, missed: string[] }} Figures */

/** @param {string} command @param {string[]} args */
function run(command, args) {
  execFileSync(command, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] })
}

function buildAndRun() {
  const flags = ['-DCMAKE_C_FLAGS=--coverage -O0', '-DCMAKE_BUILD_TYPE=Debug', '-DVARVE_TINY=ON']
  run('cmake', ['-S', '.', '-B', BUILD, '-G', 'Ninja', ...flags])
  run('cmake', ['--build', BUILD, '--', '--quiet'])
  for (const file of counters()) execFileSync('rm', [file])
  run('ctest', ['--test-dir', BUILD, '-j', String(availableParallelism()), '--output-on-failure', '--quiet'])
  const torture = join(root, BUILD, 'torture')
  if (existsSync(torture)) run(torture, ['--seeds', String(SEEDS), '--quiet'])
}

/** The files with what was counted, for the objects that all tests share. */
function counters() {
  const place = join(root, BUILD, 'CMakeFiles/varve_objects.dir')
  const names = readdirSync(place, { recursive: true, encoding: 'utf8' })
  return names.filter((name) => name.endsWith('.gcda')).map((name) => join(place, name))
}

/** The lines that an ASSERT covers. @param {string} text */
function assertLines(text) {
  const lines = new Set()
  for (const match of text.matchAll(/\bASSERT(_SLOW)?\(/g)) {
    let depth = 0
    let at = match.index + match[0].length - 1
    do depth += text[at] === '(' ? 1 : text[at] === ')' ? -1 : 0
    while (depth > 0 && ++at < text.length)
    const first = text.slice(0, match.index).split('\n').length
    const last = text.slice(0, at).split('\n').length
    for (let line = first; line <= last; line++) lines.add(line)
  }
  return lines
}

/** Headers are counted in every file that includes them: the best of all counts.
 * @param {Map<string, Map<number, Line>>} all @param {string} path @param {Line[]} lines */
function merge(all, path, lines) {
  const known = all.get(path) ?? /** @type {Map<number, Line>} */ (new Map())
  all.set(path, known)
  for (const line of lines) {
    const old = known.get(line.line_number)
    if (old === undefined) {
      known.set(line.line_number, line)
      continue
    }
    old.count = Math.max(old.count, line.count)
    old.branches.forEach((branch, i) => (branch.count = Math.max(branch.count, line.branches[i]?.count ?? 0)))
  }
}

function collect() {
  /** @type {Map<string, Map<number, Line>>} */
  const all = new Map()
  for (const file of counters()) {
    const options = { cwd: root, encoding: /** @type {const} */ ('utf8'), maxBuffer: 1 << 28 }
    const text = execFileSync('gcov', ['--json-format', '--stdout', '--branch-probabilities', file], options)
    for (const source of JSON.parse(text).files) {
      const path = relative(root, resolve(root, source.file))
      if (path.startsWith('src/')) merge(all, path, source.lines)
    }
  }
  return all
}

/** @param {string} path @param {Map<number, Line>} lines @returns {Figures} */
function figures(path, lines) {
  const text = readFileSync(join(root, path), 'utf8')
  const source = text.split('\n')
  const asserts = assertLines(text)
  /** @type {Figures} */
  const sum = { lines: 0, linesHit: 0, branches: 0, branchesHit: 0, missed: [] }
  for (const [number, line] of [...lines].sort(([a], [b]) => a - b)) {
    sum.lines++
    if (line.count > 0) sum.linesHit++
    const branches = asserts.has(number) ? [] : line.branches.filter((branch) => !branch.throw)
    const hit = branches.filter((branch) => branch.count > 0).length
    sum.branches += branches.length
    sum.branchesHit += hit
    if (line.count === 0 || hit < branches.length) {
      sum.missed.push(`${path}:${number}: ${hit} of ${branches.length} ways: ${source[number - 1]?.trim() ?? ''}`)
    }
  }
  return sum
}

/** @param {number} part @param {number} of */
const percent = (part, of) => (of === 0 ? '' : `${((100 * part) / of).toFixed(1)} %`).padStart(8)

function main() {
  const args = process.argv.slice(2)
  const missed = args.includes('--missed') ? (args[args.indexOf('--missed') + 1] ?? '') : null
  if (!args.includes('--keep')) {
    setUp('test')
    buildAndRun()
  }
  const total = { lines: 0, linesHit: 0, branches: 0, branchesHit: 0 }
  console.log(`${'file'.padEnd(32)} ${'lines'.padStart(8)} ${'branches'.padStart(8)} ${'not taken'.padStart(10)}`)
  for (const [path, lines] of [...collect()].sort()) {
    const f = figures(path, lines)
    total.lines += f.lines
    total.linesHit += f.linesHit
    total.branches += f.branches
    total.branchesHit += f.branchesHit
    const left = String(f.branches - f.branchesHit).padStart(10)
    console.log(`${path.padEnd(32)} ${percent(f.linesHit, f.lines)} ${percent(f.branchesHit, f.branches)} ${left}`)
    if (missed !== null && path.includes(missed)) console.log(f.missed.join('\n'))
  }
  const left = String(total.branches - total.branchesHit).padStart(10)
  const lines = percent(total.linesHit, total.lines)
  console.log(`${'all'.padEnd(32)} ${lines} ${percent(total.branchesHit, total.branches)} ${left}`)
}

main()

// check_tools.mjs: what other programs check: clang-format, Prettier, ESLint, TypeScript, and that generated files are
// what their generators would write. All run at the same time.

import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'

import { root } from './check_main.mjs'

/** @typedef {import('./check_main.mjs').SourceFile} SourceFile */
/** @typedef {import('./check_main.mjs').Report} Report */

/** The formatter's versions do not agree with each other: this one decides. */
const CLANG_FORMAT_VERSION = 14

/** Generated files that are committed; each generator takes --check. */
const GENERATED = [
  {
    generator: 'tools/gen_abi.mjs',
    output: 'bindings/js/src/abi.js',
    needs: ['src/api/api_wasm.c', 'include/varve.h'],
  },
]

/**
 * @param {string} command
 * @param {string[]} args
 * @returns {Promise<{ code: number, output: string }>} code -1: there is no such program
 */
function run(command, args) {
  return new Promise((done) => {
    execFile(command, args, { cwd: root, encoding: 'utf8', maxBuffer: 1 << 26 }, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : -1
      done({ code, output: stdout + stderr })
    })
  })
}

/** @param {string} what */
function leaveOut(what) {
  console.error(`tools/check: ${what}`)
}

async function findClangFormat() {
  for (const name of [`clang-format-${CLANG_FORMAT_VERSION}`, 'clang-format']) {
    const { code, output } = await run(name, ['--version'])
    if (code === 0 && output.includes(`version ${CLANG_FORMAT_VERSION}.`)) return name
  }
  return null
}

/** @param {SourceFile[]} files @param {Report} report */
async function checkClangFormat(files, report) {
  const name = await findClangFormat()
  if (name === null) {
    leaveOut(`clang-format ${CLANG_FORMAT_VERSION} is not installed; the formatting of C was not checked`)
    return
  }
  const paths = files.map((file) => file.path).filter((path) => /\.(c|h|cc)$/.test(path))
  const half = Math.ceil(paths.length / 2)
  const parts = [paths.slice(0, half), paths.slice(half)].filter((part) => part.length > 0)
  const results = await Promise.all(parts.map((part) => run(name, ['--dry-run', '-Werror', ...part])))
  const first = new Map()
  for (const match of results.flatMap(({ output }) => [...output.matchAll(/^(\S+?):(\d+):\d+: error/gm)])) {
    if (!first.has(match[1])) first.set(match[1], Number(match[2]))
  }
  for (const [path, line] of first) report(path, line, `is not formatted. Run ${name} -i ${path}`)
  if (first.size === 0 && results.some(({ code }) => code !== 0)) {
    report(
      '.clang-format',
      1,
      `${name} failed: ${results
        .map(({ output }) => output)
        .join('')
        .slice(0, 500)}`,
    )
  }
}

/**
 * npm's programs, each with a cache in node_modules/.cache: only what changed is looked at again.
 * `config` must exist; `found` reads a line of what the program prints.
 */
const CACHE = 'node_modules/.cache'
const NPM_TOOLS = [
  {
    name: 'prettier',
    args: ['--check', '--log-level=warn', '--cache', '.'],
    config: '.prettierrc.json',
    found: /^\[(?:warn|error)\] (?<path>[^\s:]+)(?<line>$|:)/,
    mend: 'Run npx prettier --write on it',
  },
  {
    name: 'eslint',
    args: ['--cache', `--cache-location=${CACHE}/eslint/`, '--format', './tools/check_eslint.mjs', '.'],
    config: 'eslint.config.js',
    found: /^(?<path>[^:]+):(?<line>\d+): (?<text>.+)/,
    mend: 'Mend it, or try npx eslint --fix',
  },
  {
    name: 'tsc',
    args: [
      '--noEmit',
      '--pretty',
      'false',
      '--incremental',
      '--tsBuildInfoFile',
      `${CACHE}/tsc.tsbuildinfo`,
      '-p',
      '.',
    ],
    config: 'tsconfig.json',
    found: /^(?<path>\S+?)\((?<line>\d+),\d+\): error (?<text>.+)/,
    mend: 'Mend the types',
  },
]

/** @param {typeof NPM_TOOLS[number]} tool @param {Report} report */
async function checkWithNpm({ name, args, config, found, mend }, report) {
  const program = join(root, 'node_modules/.bin', name)
  if (!existsSync(program)) {
    leaveOut(`${name} is not installed (npm install); what it checks was not checked`)
    return
  }
  if (!existsSync(join(root, config))) return
  const { code, output } = await run(program, args)
  if (code === 0) return
  let count = 0
  for (const line of output.split('\n')) {
    const groups = found.exec(line)?.groups
    if (groups === undefined) continue
    count++
    report(
      groups.path ?? config,
      Number(groups.line) || 1,
      `${name}: ${groups.text?.replace(/\.$/, '') ?? 'not formatted'}. ${mend}`,
    )
  }
  if (count === 0) report(config, 1, `${name} failed: ${output.trim()}`)
}

/** @param {SourceFile[]} files @param {Report} report */
async function checkGenerated(files, report) {
  const paths = new Set(files.map((file) => file.path))
  for (const { generator, output, needs } of GENERATED) {
    if (![generator, output, ...needs].every((path) => paths.has(path))) continue
    const result = await run(process.execPath, [generator, '--check'])
    if (result.code !== 0) report(output, 1, `is not what its generator writes. Run node ${generator}`)
  }
}

/**
 * @param {SourceFile[]} files
 * @param {Report} report
 * @param {{ js: boolean }} options
 */
export async function checkTools(files, report, { js }) {
  const checks = [checkClangFormat(files, report), checkGenerated(files, report)]
  if (js && existsSync(join(root, 'package.json'))) {
    checks.push(...NPM_TOOLS.map((tool) => checkWithNpm(tool, report)))
  }
  await Promise.all(checks)
}

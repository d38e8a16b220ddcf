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
 * Runs one of npm's programs; what it prints goes to the report as it is, with its own file and line.
 * @param {string} name
 * @param {string[]} args
 * @param {string[]} configs one of these must exist
 * @param {string} mend
 * @param {Report} report
 */
async function checkWithNpm(name, args, configs, mend, report) {
  const program = join(root, 'node_modules/.bin', name)
  if (!existsSync(program)) {
    leaveOut(`${name} is not installed (npm install); what it checks was not checked`)
    return
  }
  const config = configs.find((file) => existsSync(join(root, file)))
  if (config === undefined) return
  const { code, output } = await run(program, args)
  if (code !== 0) report(config, 1, `${name} found this. ${mend}\n${output.trim()}`)
}

/** @param {SourceFile[]} files @param {Report} report */
async function checkGenerated(files, report) {
  const paths = new Set(files.map((file) => file.path))
  for (const { generator, output, needs } of GENERATED) {
    if (![generator, output, ...needs].every((path) => paths.has(path))) continue
    const result = await run(process.execPath, [generator, '--check'])
    if (result.code !== 0) report(output, 1, `is out of date. Run node ${generator}\n${result.output.trim()}`)
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
    const eslint = ['eslint.config.js', 'eslint.config.mjs']
    const prettier = ['.prettierrc', '.prettierrc.json', 'prettier.config.js', 'package.json']
    checks.push(
      checkWithNpm('prettier', ['--check', '--log-level', 'warn', '.'], prettier, 'Run npx prettier --write .', report),
      checkWithNpm('eslint', ['.'], eslint, 'Mend it, or run npx eslint --fix .', report),
      checkWithNpm('tsc', ['--noEmit', '-p', '.'], ['tsconfig.json'], 'Mend the types', report),
    )
  }
  await Promise.all(checks)
}

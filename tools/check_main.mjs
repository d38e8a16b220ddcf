// check_main.mjs: runs every check over the files of the repository, prints what is wrong as
// "file:line: what. How to mend it", and says so in the exit status. Outside tools that are not installed are named on
// standard error and left out.

import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

import { checkApi } from './check_api.mjs'
import { blankC, checkC } from './check_c.mjs'
import { checkFiles } from './check_files.mjs'
import { checkTools } from './check_tools.mjs'
import { checkMutants } from './mutants_patch.mjs'

/**
 * @typedef {{ path: string, text: string, code: string }} SourceFile `code`: a C file without comments and strings
 * @typedef {(path: string, line: number, text: string) => void} Report
 */

export const root = resolve(fileURLToPath(new URL('..', import.meta.url)))

/** Every file that is committed or could be. */
function listFiles() {
  const options = { cwd: root, encoding: /** @type {const} */ ('utf8'), maxBuffer: 1 << 26 }
  const out = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], options)
  const paths = [...new Set(out.split('\0'))].filter((path) => path !== '' && existsSync(join(root, path)))
  return paths.sort()
}

const TEXT = /\.(c|h|cc|m?js|ts|cmake|in|json|md|html|css|sh|yml|txt)$|(^|\/)(CMakeLists\.txt|LICENSE|check|run)$/

/** @param {string} path */
function load(path) {
  const text = TEXT.test(path) ? readFileSync(join(root, path), 'utf8') : ''
  return { path, text, code: /\.(c|h)$/.test(path) ? blankC(text) : '' }
}

/** @param {string[]} args */
export async function main(args) {
  const files = listFiles().map(load)
  /** @type {string[]} */
  const problems = []
  /** @type {Report} */
  const report = (path, line, text) => {
    problems.push(`${path}:${line}: ${text}`)
  }

  const tools = checkTools(files, report, { js: !args.includes('--no-js') })
  checkFiles(files, report)
  checkC(files, report)
  checkApi(files, report)
  checkMutants(root, report)
  await tools

  if (problems.length === 0) return
  console.log(problems.join('\n'))
  console.log(`\ntools/check: ${problems.length} to mend`)
  process.exitCode = 1
}

// check_files.mjs: rules for files of any kind: names, lengths, words and paths that have no place here.

import { basename } from 'node:path'

/** @typedef {import('./check_main.mjs').SourceFile} SourceFile */
/** @typedef {import('./check_main.mjs').Report} Report */

const LINES = 500
const LINES_HARD = 1000
const COLUMNS = 120

/**
 * Files over 500 lines that are there already, with the lines they may have. A ratchet: entries only shrink and go.
 * @type {Record<string, number>}
 */
const LONG_FILES = {
  'bindings/js/index.d.ts': 600, // one page for all that a program sees
  'include/varve.h': 700, // the same in C
}

/** Names that a tool or a reader expects in many places. */
const COMMON_NAME = /^(index\..*|README\.md|CMakeLists\.txt|package(-lock)?\.json|tsconfig\.json|\..*)$/

/** Places whose files are data, not sources. */
const DATA = /^tests\/(golden|fuzz\/(corpus|regressions))\//

const CODE = /\.(c|h|cc|m?js|ts|cmake)$/

/** @param {SourceFile[]} files @param {Report} report */
function checkNames(files, report) {
  /** @type {Map<string, string>} */
  const seen = new Map()
  for (const { path } of files) {
    const name = basename(path)
    if (COMMON_NAME.test(name) || DATA.test(path)) continue
    const other = seen.get(name)
    if (other !== undefined) {
      report(path, 1, `the file name is taken by ${other}. Rename one: a name alone must find a file`)
    }
    seen.set(name, path)
  }
}

/** @param {SourceFile[]} files @param {Report} report */
function checkLengths(files, report) {
  for (const { path, text } of files) {
    if (!CODE.test(path) || DATA.test(path)) continue
    const lines = text.split('\n').length - 1
    const allowed = LONG_FILES[path]
    if (lines > LINES_HARD) {
      report(path, LINES_HARD, `${lines} lines; no file may have more than ${LINES_HARD}. Split it by subject`)
    } else if (lines > (allowed ?? LINES)) {
      report(path, allowed ?? LINES, `${lines} lines; it may have ${allowed ?? LINES}. Split it by subject`)
    } else if (allowed !== undefined && lines <= LINES) {
      report(path, 1, `no longer over ${LINES} lines. Take it off LONG_FILES in tools/check_files.mjs`)
    }
  }
  for (const path of Object.keys(LONG_FILES)) {
    if (!files.some((file) => file.path === path)) report(path, 1, 'is gone. Take it off LONG_FILES')
  }
}

/** Of every system, plainly an example, or a path of the tests' own web server. */
const COMMON_ROOTS = 'bin|bindings|dev|etc|mnt|no|nowhere|path|proc|tests|tmp|usr|web'
/** An absolute path below another directory. */
const MACHINE_PATH = new RegExp(String.raw`(?<![\w./}$)*>\]\\-])/(?!(?:${COMMON_ROOTS})/)[a-z]\w*/(?=[\w.])`)

/** Comments and strings too, which the formatters leave alone. @param {SourceFile[]} files @param {Report} report */
function checkColumns(files, report) {
  for (const { path, text } of files) {
    if (!/\.(c|h|cc|m?js|ts)$/.test(path) || DATA.test(path)) continue
    text.split('\n').forEach((line, i) => {
      // Most lines are short in UTF-16, too; the others are counted by character.
      const columns = line.length > COLUMNS ? [...line].length : 0
      if (columns > COLUMNS) report(path, i + 1, `${columns} columns; a line may have ${COLUMNS}. Wrap it at 118`)
    })
  }
}

/** What no line may hold: where, what, and what to do instead. */
const BANNED_TEXT = [
  { where: /./, what: MACHINE_PATH, mend: 'A path of one machine: make it relative or an option' },
  { where: /^(src|include|cli|bindings|web)\//, what: /["'`]\/tmp\b/, mend: 'Let the caller say the place' },
  { where: /^(?!.*\.md$)/, what: /\b(TODO|FIXME|XXX)\b/, mend: 'Do it, or say in a comment what is and why' },
  { where: /\.(c|h|cc|m?js|ts|cmake|md)$/, what: /[ \t]+$/, mend: 'Remove the white space at the end of the line' },
  { where: /\.(c|h|cc|m?js|ts)$/, what: /\t/, mend: 'Indent with spaces' },
]

/** @param {SourceFile[]} files @param {Report} report */
function checkText(files, report) {
  for (const { path, text } of files) {
    if (path === 'tools/check_files.mjs' || DATA.test(path) || path === 'LICENSE') continue
    const rules = BANNED_TEXT.filter((rule) => rule.where.test(path))
    // One test of the whole is much cheaper than one of each line.
    const found = rules.filter((rule) => new RegExp(rule.what.source, 'm').test(text))
    if (found.length === 0) continue
    text.split('\n').forEach((line, i) => {
      for (const rule of found) {
        const match = rule.what.exec(line)
        if (match !== null) report(path, i + 1, `"${match[0]}". ${rule.mend}`)
      }
    })
  }
}

/** @param {SourceFile[]} files @param {Report} report */
export function checkFiles(files, report) {
  checkNames(files, report)
  checkLengths(files, report)
  checkColumns(files, report)
  checkText(files, report)
}

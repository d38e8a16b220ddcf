// check_c.mjs: rules for C: layers, the list of sources, function lengths, calls that have a replacement.

import { dirname, join } from 'node:path'

/** @typedef {import('./check_main.mjs').SourceFile} SourceFile */
/** @typedef {import('./check_main.mjs').Report} Report */

/** From the bottom up; a layer may include itself and what stands before it. */
const LAYERS = ['base', 'env', 'lsm', 'txn', 'index', 'sql', 'api']

/**
 * Whether this file may include the inside of `layer` without being part of it: the layer's unit tests; the tests of
 * the whole engine, which stand on api and damage or stop what lies below it at a chosen place (a log's synced end, a
 * manifest's last record), where no public call reaches; the dump of files.
 * @param {string} path
 * @param {string} layer
 */
const looksInside = (path, layer) =>
  path.startsWith(`tests/unit/${layer}/`) ||
  /^tests\/(unit\/api|bug|golden|crash|corruption|fuzz)\//.test(path) ||
  path === 'tools/varve_dump.c'

const FUNCTION_LINES = 70

/**
 * Functions over 70 lines that are there already, as "file:function". A ratchet: entries only shrink and go.
 * @type {Record<string, number>}
 */
const LONG_FUNCTIONS = {}

/** Calls that the engine may not make outside env, and what to call instead. */
const BANNED_CALLS = [
  { calls: 'malloc calloc realloc free strdup strndup aligned_alloc posix_memalign', mend: 'Use mem_* (alloc.h)' },
  {
    calls: 'printf fprintf vprintf vfprintf puts fputs putchar perror fflush',
    mend: 'Report with status_fail (status.h)',
  },
  {
    calls:
      'time gettimeofday clock_gettime clock rand srand random srandom getrandom getentropy getenv sleep usleep ' +
      'nanosleep',
    mend: 'What is not decided by the input comes through env (env.h)',
  },
  {
    calls: 'fopen fclose fread fwrite fseek remove unlink rename mmap munmap fsync fdatasync',
    mend: 'Files are reached through vfs (vfs.h)',
  },
  {
    calls: 'strcpy strcat sprintf vsprintf strncpy strncat gets',
    mend: 'Use memcpy with a known size, or snprintf',
  },
  { calls: 'atoi atol atof strtok setjmp longjmp', mend: 'Write a bounded reader; errors are statuses' },
  { calls: 'alloca', mend: 'Use mem_alloc or a fixed array' },
  { calls: 'qsort bsearch', mend: 'Write a sort or search for the type: qsort may allocate' },
  { calls: 'assert', mend: 'Use ASSERT or ASSERT_SLOW (base.h)' },
  { calls: 'abort exit _Exit', mend: 'Use ASSERT for promises and status_fail for the rest' },
].flatMap(({ calls, mend }) => calls.split(' ').map((call) => ({ call, mend })))
const BANNED_MEND = new Map(BANNED_CALLS.map(({ call, mend }) => [call, mend]))
const BANNED_PATTERN = new RegExp(`(?<![\\w.>])(${BANNED_CALLS.map(({ call }) => call).join('|')})\\s*\\(`, 'g')

/** @type {Record<string, string[]>} */
const ALLOWED_CALLS = {
  'src/base/alloc.c': ['realloc', 'free'],
  'src/base/base.c': ['fprintf', 'fflush', 'abort'],
}

/**
 * The text with comments, strings and characters turned to spaces: every offset and line stays.
 * @param {string} text
 */
export function blankC(text) {
  const pattern = /\/\*[\s\S]*?\*\/|\/\/[^\n]*|"(?:\\[\s\S]|[^"\\\n])*"|'(?:\\.|[^'\\\n])+'/g
  return text.replace(pattern, (match) => match.replace(/[^\n]/g, ' '))
}

/** @param {string} text @param {number} offset */
export function lineAt(text, offset) {
  let line = 1
  for (let at = text.indexOf('\n'); at !== -1 && at < offset; at = text.indexOf('\n', at + 1)) line++
  return line
}

/**
 * What an include of `target` in `path` breaks, or null.
 * @param {string} path
 * @param {string} target
 * @param {Set<string>} paths
 */
function includeProblem(path, target, paths) {
  if (target === 'varve.h') return null
  const beside = join(dirname(path), target)
  const own = /^src\/(\w+)\//.exec(path)?.[1]
  const layer = target.split('/')[0] ?? ''
  if (/^(cli|examples|bench)\//.test(path)) {
    return paths.has(beside)
      ? null
      : `includes "${target}". Only varve.h and its own directory's headers are allowed here`
  }
  if (!LAYERS.includes(layer)) {
    if (own !== undefined) return `includes "${target}". Write it as "<layer>/<file>.h"`
    const known = [beside, `tests/${target}`, `tests/crash/${target}`, `src/${target}`].some((other) =>
      paths.has(other),
    )
    return known || !path.startsWith('tests/') ? null : `includes "${target}", which does not exist`
  }
  if (!paths.has(`src/${target}`)) return `includes "${target}", which does not exist`
  if (own !== undefined && LAYERS.indexOf(layer) > LAYERS.indexOf(own)) {
    return `${own} includes "${target}" from a higher layer. Pass what is needed down as an argument`
  }
  if (target.endsWith('_int.h') && own !== layer && !looksInside(path, layer)) {
    return `includes "${target}", the inside of ${layer}. Use ${layer}'s other headers, or move what is shared to one`
  }
  return null
}

/** @param {SourceFile} file @param {Set<string>} paths @param {Report} report */
function checkIncludes(file, paths, report) {
  if (file.path === 'src/varve_all.c') return
  for (const match of file.text.matchAll(/^[ \t]*#[ \t]*include[ \t]+"([^"]+)"/gm)) {
    const problem = includeProblem(file.path, match[1] ?? '', paths)
    if (problem !== null) report(file.path, lineAt(file.text, match.index), problem)
  }
}

/** varve_all.c names every source once, lower layers first. @param {SourceFile[]} files @param {Report} report */
function checkAll(files, report) {
  const all = files.find((file) => file.path === 'src/varve_all.c')
  if (all === undefined) return
  const listed = new Set()
  let highest = 0
  for (const match of all.text.matchAll(/^#include "(\w+)\/(\w+\.c)"/gm)) {
    const rank = LAYERS.indexOf(match[1] ?? '')
    const line = lineAt(all.text, match.index)
    if (rank < highest) report(all.path, line, `${match[1]} comes after a higher layer. Move the line up`)
    highest = Math.max(highest, rank)
    listed.add(`src/${match[1]}/${match[2]}`)
  }
  for (const { path } of files) {
    if (/^src\/\w+\/\w+\.c$/.test(path) && !listed.has(path)) {
      report(path, 1, 'is not in src/varve_all.c. Add its line there, beside its layer')
    }
  }
}

/** The compiler cannot know that nobody calls a function. @param {SourceFile[]} files @param {Report} report */
function checkUnused(files, report) {
  /** @type {Map<string, { path: string, line: number }>} */
  const declared = new Map()
  /** @type {Set<string>} */
  const used = new Set()
  for (const { path, code } of files) {
    if (!/^(src|tools)\//.test(path)) continue
    code.split('\n').forEach((text, i) => {
      const name = /^INTERNAL\b[^(]*?\b(\w+)\(/.exec(text)?.[1]
      if (name !== undefined && path.endsWith('.h')) declared.set(name, { path, line: i + 1 })
      for (const word of text.match(/\b[a-z]\w+/g) ?? []) if (word !== name) used.add(word)
    })
  }
  for (const [name, { path, line }] of declared) {
    if (!used.has(name)) report(path, line, `nobody in src/ uses ${name}. Remove it, or use it`)
  }
}

/** @param {SourceFile} file @param {Report} report */
function checkCalls(file, report) {
  if (!file.path.startsWith('src/') || file.path.startsWith('src/env/')) return
  const allowed = ALLOWED_CALLS[file.path] ?? []
  for (const match of file.code.matchAll(BANNED_PATTERN)) {
    const call = match[1] ?? ''
    if (allowed.includes(call)) continue
    report(file.path, lineAt(file.code, match.index), `${call}() is not for the engine. ${BANNED_MEND.get(call)}`)
  }
}

/**
 * The functions of a C file, found by its formatting: a body ends with a brace at the begin of a line.
 * @param {string} code
 * @returns {{ name: string, line: number, lines: number }[]}
 */
function functionsOf(code) {
  const found = []
  const lines = code.split('\n')
  let begin = -1
  let signature = ''
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i] ?? ''
    if (/^[A-Za-z_]/.test(line)) signature = ''
    if (begin < 0) {
      signature += line
      if (!/\)\s*\{\s*$/.test(line)) continue
      begin = i
    }
    if (!/^\}/.test(line)) continue
    const name = /(\w+)\s*\(/.exec(signature)?.[1] ?? '?'
    found.push({ name, line: begin + 1, lines: i - begin + 1 })
    begin = -1
    signature = ''
  }
  return found
}

/** @param {SourceFile} file @param {Report} report @param {Set<string>} used */
function checkFunctions(file, report, used) {
  for (const { name, line, lines } of functionsOf(file.code)) {
    const key = `${file.path}:${name}`
    const allowed = LONG_FUNCTIONS[key] ?? FUNCTION_LINES
    if (key in LONG_FUNCTIONS && lines > FUNCTION_LINES) used.add(key)
    if (lines > allowed) {
      report(file.path, line, `${name} has ${lines} lines; it may have ${allowed}. Give a part of it a name`)
    }
  }
}

/** @param {SourceFile[]} files @param {Report} report */
export function checkC(files, report) {
  const paths = new Set(files.map((file) => file.path))
  /** @type {Set<string>} */
  const used = new Set()
  for (const file of files) {
    if (!/\.(c|h)$/.test(file.path)) continue
    checkIncludes(file, paths, report)
    checkCalls(file, report)
    checkFunctions(file, report, used)
  }
  for (const key of Object.keys(LONG_FUNCTIONS)) {
    if (!used.has(key)) report('tools/check_c.mjs', 1, `${key} is short now, or gone. Take it off LONG_FUNCTIONS`)
  }
  checkUnused(files, report)
  checkAll(files, report)
}

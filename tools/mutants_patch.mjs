// mutants_patch.mjs: the bugs of tests/crash/mutants: reading their patches, and applying them to the text of sources.
//
// A patch is free text, then a unified diff against the root (patch -p1). Three lines of the text are read:
//
//   Bug: what goes wrong
//   Stands for: which real ones
//   Layout: dir | single | both        where it can do harm; both when the line is missing

import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { basename, join } from 'node:path'

export const MUTANTS = 'tests/crash/mutants'

/**
 * @typedef {{ line: number, before: string, after: string }} Hunk `line`: where it was, counted from 1
 * @typedef {{ name: string, bug: string, standsFor: string, layout: string, files: Map<string, Hunk[]> }} Mutant
 */

/** The value of a line of the head, which may go on over several lines. @param {string} head @param {string} label */
function field(head, label) {
  const found = new RegExp(`^${label}: ((?:.+\\n)(?:(?!\\w[\\w ]*: ).+\\n)*)`, 'm').exec(head)
  return found?.[1]?.replace(/\s+/g, ' ').trim() ?? ''
}

/** @param {string} diff everything from the first "--- " on @param {string} name */
function readHunks(diff, name) {
  /** @type {Map<string, Hunk[]>} */
  const files = new Map()
  /** @type {Hunk[]} */
  let hunks = []
  /** @type {Hunk | undefined} */
  let hunk
  for (const line of diff.split('\n')) {
    const file = /^\+\+\+ b\/(\S+)/.exec(line)
    const at = /^@@ -(\d+)/.exec(line)
    if (file?.[1] !== undefined) files.set(file[1], (hunks = []))
    if (file !== null || line.startsWith('--- a/') || line === '') continue
    if (at !== null) {
      hunk = { line: Number(at[1]), before: '', after: '' }
      hunks.push(hunk)
      continue
    }
    if (hunk === undefined) throw new Error(`${name}: "${line}" is before the first hunk`)
    const text = `${line.slice(1)}\n`
    if (line[0] !== '+') hunk.before += text
    if (line[0] !== '-') hunk.after += text
  }
  if (files.size === 0) throw new Error(`${name}: there is no diff in it`)
  return files
}

/** @param {string} root @param {string} name without ".patch" @returns {Mutant} */
function readMutant(root, name) {
  const text = readFileSync(join(root, MUTANTS, `${name}.patch`), 'utf8')
  const start = text.indexOf('--- a/')
  if (start < 0) throw new Error(`${name}: there is no diff in it`)
  const head = text.slice(0, start)
  const layout = field(head, 'Layout') || 'both'
  const mutant = { name, bug: field(head, 'Bug'), standsFor: field(head, 'Stands for'), layout }
  if (mutant.bug === '' || mutant.standsFor === '') throw new Error(`${name}: "Bug:" or "Stands for:" is missing`)
  if (!/^(dir|single|both)$/.test(layout)) throw new Error(`${name}: there is no layout "${layout}"`)
  return { ...mutant, files: readHunks(text.slice(start), name) }
}

/** Every bug, by name. @param {string} root @returns {string[]} */
export function mutantNames(root) {
  if (!existsSync(join(root, MUTANTS))) return []
  const names = readdirSync(join(root, MUTANTS)).filter((name) => name.endsWith('.patch'))
  return names.map((name) => basename(name, '.patch')).sort()
}

/** Where `part` begins in `text`, the place nearest to `near`; -1 when it is nowhere.
 * @param {string} text @param {string} part @param {number} near */
function findNear(text, part, near) {
  let best = -1
  for (let at = text.indexOf(part); at >= 0; at = text.indexOf(part, at + 1)) {
    const lineStart = at === 0 || text[at - 1] === '\n'
    if (lineStart && (best < 0 || Math.abs(at - near) < Math.abs(best - near))) best = at
  }
  return best
}

/** Every line of a hunk must be there as it was; only the place may have moved.
 * @param {string} text @param {Hunk[]} hunks @returns {string | null} null: it does not apply */
function applyHunks(text, hunks) {
  let result = text
  for (const { line, before, after } of hunks) {
    const near = result.split('\n', line - 1).join('\n').length
    const at = findNear(result, before, near)
    if (at < 0) return null
    result = result.slice(0, at) + after + result.slice(at + before.length)
  }
  return result
}

/**
 * The mutant and the files that it changes, as they become.
 * @param {string} root @param {string} name
 * @returns {{ mutant: Mutant, texts: Map<string, string> }} throws when it does not apply
 */
export function plantMutant(root, name) {
  const mutant = readMutant(root, name)
  const texts = new Map()
  for (const [path, hunks] of mutant.files) {
    const text = applyHunks(readFileSync(join(root, path), 'utf8'), hunks)
    if (text === null) throw new Error(`${name}: it does not apply to ${path} any more: make it again`)
    texts.set(path, text)
  }
  return { mutant, texts }
}

/** For tools/check: every patch applies. @param {string} root @param {(path: string, line: number, text: string) =>
 * void} report */
export function checkMutants(root, report) {
  for (const name of mutantNames(root)) {
    try {
      plantMutant(root, name)
    } catch (error) {
      report(`${MUTANTS}/${name}.patch`, 1, error instanceof Error ? error.message : String(error))
    }
  }
}

// check_api.mjs: every public function has a comment in include/varve.h and a place in docs/API.md.

import { lineAt } from './check_c.mjs'

/** @typedef {import('./check_main.mjs').SourceFile} SourceFile */
/** @typedef {import('./check_main.mjs').Report} Report */

/**
 * A comment on the line, or one that stands above the block of lines that the function is in.
 * @param {string[]} lines
 * @param {number} at index of the declaration's first line
 */
function isDocumented(lines, at) {
  for (let i = at; i < lines.length && i < at + 8; i++) {
    if (lines[i]?.includes('/*')) return true
    if (lines[i]?.includes(';')) break
  }
  for (let i = at - 1; i >= 0 && lines[i]?.trim() !== ''; i--) {
    if (lines[i]?.includes('*/')) return true
  }
  return false
}

/** @param {SourceFile[]} files @param {Report} report */
export function checkApi(files, report) {
  const header = files.find((file) => file.path === 'include/varve.h')
  const manual = files.find((file) => file.path === 'docs/API.md')
  if (header === undefined) return
  const lines = header.text.split('\n')
  for (const match of header.code.matchAll(/^VARVE_API [^;(]*?\b(varve_\w+)\(/gm)) {
    const name = match[1] ?? ''
    const line = lineAt(header.text, match.index)
    if (!isDocumented(lines, line - 1)) {
      report(header.path, line, `${name} has no comment. Say what it does, its errors and who owns what`)
    }
    if (manual !== undefined && !new RegExp(`\\b${name}\\b`).test(manual.text)) {
      report(header.path, line, `${name} is not in docs/API.md. Describe it there`)
    }
  }
}

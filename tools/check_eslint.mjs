// check_eslint.mjs: makes ESLint print "file:line: what", as tools/check does.

import { relative } from 'node:path'

/**
 * @typedef {{ line?: number, message: string, ruleId: string | null }} Message
 * @param {{ filePath: string, messages: Message[] }[]} results
 */
export default function format(results) {
  const lines = results.flatMap(({ filePath, messages }) =>
    messages.map(
      ({ line, message, ruleId }) =>
        `${relative(process.cwd(), filePath)}:${line ?? 1}: ${message} (${ruleId ?? 'syntax'})`,
    ),
  )
  return lines.join('\n')
}

/**
 * The rows of the benchmark's table: where each comes from, which way is better, and what is aimed at.
 *
 * @typedef {object} Row
 * @property {string} name     as the worker prints it
 * @property {string} title    as the table shows it
 * @property {string} group    the group of workloads that measures it
 * @property {'ops/s' | 'ms' | 'MiB'} unit   ops/s: higher is better; ms and MiB: lower is better
 * @property {number} [ratio]  aimed at: this many times as good as the best peer
 * @property {number} [level]  aimed at: this many times as good as LevelDB
 * @property {number} [most]   aimed at: at most this, in the row's unit
 * @property {boolean} [extra] shown for information, beside db_bench's workloads
 *
 * A group is a process of its own. `data` is the directory it works in; `fresh` groups begin with
 * an empty one, the others use what `after` left there. `times` is how often it runs in a round.
 *
 * @typedef {object} Group
 * @property {string} name
 * @property {string} data
 * @property {boolean} fresh
 * @property {string} [after]
 * @property {number} [times]
 */

/** @type {Group[]} */
export const GROUPS = [
  { name: 'seq', data: 'seq', fresh: true },
  { name: 'batch', data: 'batch', fresh: true },
  { name: 'batchseq', data: 'batchseq', fresh: true },
  { name: 'sync', data: 'sync', fresh: true },
  { name: 'write', data: 'random', fresh: true },
  { name: 'open', data: 'random', fresh: false, after: 'write', times: 5 },
  { name: 'read', data: 'random', fresh: false, after: 'write' },
  { name: 'delete', data: 'random', fresh: false, after: 'write' },
  { name: 'crash', data: 'crash', fresh: true },
  { name: 'crashopen', data: 'crash', fresh: false, after: 'crash' },
]

/** @type {Row[]} */
export const ROWS = [
  { name: 'fillseq', title: 'fillseq', group: 'seq', unit: 'ops/s', ratio: 2.5 },
  { name: 'fillrandom', title: 'fillrandom', group: 'write', unit: 'ops/s', ratio: 2.2 },
  { name: 'overwrite', title: 'overwrite', group: 'write', unit: 'ops/s', ratio: 2.5 },
  { name: 'fillbatch', title: 'fillbatch (random)', group: 'batch', unit: 'ops/s', ratio: 2.5 },
  { name: 'fillbatchseq', title: 'fillbatch (sorted)', group: 'batchseq', unit: 'ops/s', extra: true },
  { name: 'fillsync', title: 'fillsync', group: 'sync', unit: 'ops/s', ratio: 1.8 },
  { name: 'readrandom_filled', title: 'readrandom (filled)', group: 'write', unit: 'ops/s' },
  { name: 'readrandom', title: 'readrandom (compact)', group: 'read', unit: 'ops/s', ratio: 1.5 },
  { name: 'readmissing', title: 'readmissing', group: 'read', unit: 'ops/s', ratio: 1.4 },
  { name: 'readhot', title: 'readhot', group: 'read', unit: 'ops/s', ratio: 1.2 },
  { name: 'readseq', title: 'readseq', group: 'read', unit: 'ops/s', ratio: 1.2 },
  { name: 'readreverse', title: 'readreverse', group: 'read', unit: 'ops/s', ratio: 1.2 },
  { name: 'seek10', title: 'seek + 10', group: 'read', unit: 'ops/s', ratio: 1.4 },
  { name: 'seek10_reused', title: 'seek + 10 (reused)', group: 'read', unit: 'ops/s', extra: true },
  { name: 'deleterandom', title: 'deleterandom', group: 'delete', unit: 'ops/s', ratio: 2 },
  { name: 'compact', title: 'compact (entries)', group: 'read', unit: 'ops/s', ratio: 1.2 },
  { name: 'open', title: 'open', group: 'open', unit: 'ms', most: 1 },
  { name: 'open_get', title: 'open and a get', group: 'open', unit: 'ms', extra: true },
  { name: 'open_crash', title: 'open after a kill', group: 'crashopen', unit: 'ms' },
  { name: 'open_crash_64', title: ' per 64 MiB of log', group: 'crashopen', unit: 'ms', most: 5 },
  { name: 'disk', title: 'disk (filled)', group: 'write', unit: 'MiB', level: 1 },
  { name: 'disk_compacted', title: 'disk (compact)', group: 'read', unit: 'MiB', level: 1 },
  { name: 'memory', title: 'peak memory', group: 'write', unit: 'MiB', level: 1 },
  { name: 'memory_private', title: ' without mapped files', group: 'write', unit: 'MiB', extra: true },
]

/**
 * The same rows in operations a second of processor time, all threads of the process together. For a machine that
 * others use as well: it says what the work costs, not how well it is spread over the processors.
 * @param {Row[]} rows
 * @returns {Row[]}
 */
export function rowsByCpu(rows) {
  return rows.map((row) => (row.unit === 'ops/s' ? { ...row, name: `${row.name}_cpu` } : row))
}

/**
 * The groups that the rows need, with the ones that make their data, in order.
 * @param {Row[]} rows
 * @returns {Group[]}
 */
export function groupsOf(rows) {
  const wanted = new Set(rows.map((row) => row.group))
  for (const group of GROUPS) if (wanted.has(group.name) && group.after) wanted.add(group.after)
  return GROUPS.filter((group) => wanted.has(group.name))
}

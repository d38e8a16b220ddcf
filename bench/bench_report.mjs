/**
 * Turns samples into medians, ratios and a table.
 *
 * A ratio says how many times as good Varve is: above 1 it is the better one, whichever way the unit points.
 *
 * @typedef {import('./bench_rows.mjs').Row} Row
 * @typedef {import('./bench_run.mjs').Samples} Samples
 * @typedef {{ median: number, min: number, max: number, samples: number[] }} Spread
 *
 * @typedef {object} Result
 * @property {Row} row
 * @property {Record<string, Spread>} engines
 * @property {string} [best]       the best peer
 * @property {number} [toBest]     Varve against it
 * @property {number} [toLevel]    Varve against LevelDB with its default settings
 * @property {boolean} [reached]   whether the row's target is reached, where it has one
 */

const SUBJECT = 'varve'
const LEVEL = 'leveldb'

/**
 * @param {number[]} samples
 * @returns {Spread}
 */
function spreadOf(samples) {
  const sorted = [...samples].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  const median = sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
  return { median, min: sorted[0], max: sorted[sorted.length - 1], samples }
}

/**
 * How many times as good `a` is as `b`.
 * @param {Row} row
 * @param {number} a
 * @param {number} b
 */
function timesAsGood(row, a, b) {
  return row.unit === 'ops/s' ? a / b : b / a
}

/**
 * @param {Row} row
 * @param {Samples} samples
 * @param {string[]} names
 * @returns {Result}
 */
function resultOf(row, samples, names) {
  /** @type {Result} */
  const result = { row, engines: {} }
  for (const name of names) {
    const values = samples.get(name)?.get(row.name)
    if (values?.length) result.engines[name] = spreadOf(values)
  }
  const peers = Object.keys(result.engines).filter((name) => !name.startsWith(SUBJECT))
  /** @param {string} name */
  const median = (name) => result.engines[name].median
  peers.sort((a, b) => timesAsGood(row, median(b), median(a)) - timesAsGood(row, median(a), median(b)))
  result.best = peers[0]
  if (!result.engines[SUBJECT]) return result
  if (result.best) result.toBest = timesAsGood(row, median(SUBJECT), median(result.best))
  if (result.engines[LEVEL]) result.toLevel = timesAsGood(row, median(SUBJECT), median(LEVEL))
  if (row.ratio && result.toBest !== undefined) result.reached = result.toBest >= row.ratio
  if (row.level && result.toLevel !== undefined) result.reached = result.toLevel >= row.level
  if (row.most) result.reached = median(SUBJECT) <= row.most
  return result
}

/**
 * @param {Row[]} rows
 * @param {Samples} samples
 * @param {string[]} engines
 * @returns {Result[]}
 */
export function resultsOf(rows, samples, engines) {
  return rows.map((row) => resultOf(row, samples, engines))
}

/** @param {Row} row @param {number} value */
function formatValue(row, value) {
  if (row.unit !== 'ops/s') return `${value.toPrecision(value < 100 ? 3 : 4)} ${row.unit}`
  if (value >= 1e6) return `${(value / 1e6).toFixed(value >= 1e7 ? 1 : 2)} M`
  return value >= 1e5 ? `${(value / 1e3).toFixed(0)} k` : `${(value / 1e3).toFixed(1)} k`
}

/** @param {Row} row */
function formatTarget(row) {
  if (row.ratio) return row.ratio.toFixed(1)
  if (row.level) return `LevelDB`
  return row.most ? `≤ ${row.most} ${row.unit}` : ''
}

/** @param {Row} row @param {Spread | undefined} spread @param {boolean} ranges */
function formatSpread(row, spread, ranges) {
  if (!spread) return '-'
  const text = formatValue(row, spread.median)
  if (!ranges) return text
  return `${text} [${formatValue(row, spread.min)} … ${formatValue(row, spread.max)}]`
}

/**
 * @param {Result[]} results
 * @param {string[]} engines
 * @param {boolean} ranges  show the least and the greatest value beside each median
 * @returns {string}
 */
export function formatTable(results, engines, ranges) {
  const head = ['ops/s, ms or MiB', ...engines, '× best', 'target', '× leveldb', '']
  const lines = results.map((result) => [
    result.row.title,
    ...engines.map((name) => {
      const text = formatSpread(result.row, result.engines[name], ranges)
      return name === result.best ? `*${text}` : text
    }),
    result.toBest?.toFixed(2) ?? '',
    formatTarget(result.row),
    result.toLevel?.toFixed(2) ?? '',
    result.reached === undefined ? '' : result.reached ? 'reached' : 'below',
  ])
  const table = [head, ...lines]
  const widths = head.map((_, at) => Math.max(...table.map((line) => line[at].length)))
  const text = table.map((line) =>
    line
      .map((cell, at) => (at === 0 ? cell.padEnd(widths[at]) : cell.padStart(widths[at])))
      .join('  ')
      .trimEnd(),
  )
  text.splice(
    1,
    0,
    widths
      .map((width) => '-'.repeat(width))
      .join('  ')
      .trimEnd(),
  )
  return text.join('\n')
}

/**
 * Two sentences: the rows slower than LevelDB's, and the rows that miss their target.
 * @param {Result[]} results
 * @returns {string}
 */
export function formatVerdict(results) {
  const measured = results.filter((result) => result.engines[SUBJECT] && !result.row.extra)
  if (measured.length === 0) return 'Varve was not measured.'
  /** @param {Result[]} some */
  const names = (some) => some.map((result) => result.row.title.trim()).join(', ') || 'none'
  const slower = measured.filter((result) => result.toLevel !== undefined && result.toLevel < 1)
  const below = measured.filter((result) => result.reached === false)
  return `Rows behind LevelDB: ${names(slower)}.\nRows below their target: ${names(below)}.`
}

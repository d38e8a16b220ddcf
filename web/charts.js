// charts.js: small charts as SVG. Each is one image with a sentence for those who do not see it; colours come from the
// style sheet.

import { html, svg } from './page_dom.js'

const WIDTH = 320

/** @typedef {{ label: string, value: number, shade: number, text: string }} Part shade 1 (strong) to 4 (faint) */

/** @param {string} sentence @param {number} height @param {string} kind @param {...Node} shapes */
function image(sentence, height, kind, ...shapes) {
  const box = { viewBox: `0 0 ${WIDTH} ${height}`, role: 'img', 'aria-label': sentence, class: `chart ${kind}` }
  return svg('svg', { ...box, preserveAspectRatio: 'none' }, ...shapes)
}

/** The names of parts and what they come to. @param {Part[]} parts */
function legend(parts) {
  const items = parts.map(({ label, shade, text }) =>
    html(
      'li',
      {},
      html('span', { class: `swatch shade-${shade}`, 'aria-hidden': 'true' }),
      html('span', { class: 'label' }, label),
      html('span', { class: 'number' }, text),
    ),
  )
  return html('ul', { class: 'legend' }, ...items)
}

/** A bar cut into parts, and their legend. @param {string} what @param {Part[]} parts @param {number} [all] */
export function partsBar(what, parts, all = 0) {
  const whole = Math.max(
    all,
    parts.reduce((sum, { value }) => sum + value, 0),
    1,
  )
  let x = 0
  const shapes = [svg('rect', { x: 0, y: 0, width: WIDTH, height: 16, class: 'track' })]
  for (const { value, shade } of parts) {
    const width = (WIDTH * value) / whole
    if (width > 0) shapes.push(svg('rect', { x, y: 0, width, height: 16, class: `shade-${shade}` }))
    x += width
  }
  const sentence = `${what}: ${parts.map(({ label, text }) => `${label} ${text}`).join(', ')}`
  return html('div', {}, image(sentence, 16, 'parts', ...shapes), legend(parts))
}

/** The levels of the tree as layers, the newest on top; each as wide as the share of bytes it has.
 * @param {{ tables: number, bytes: number, amount: string, text: string }[]} levels */
export function strata(levels) {
  const most = Math.max(1, ...levels.map(({ bytes }) => bytes))
  const rows = levels.map(({ bytes, tables, amount, text }, level) => {
    const width = bytes === 0 ? 0 : Math.max(3, (WIDTH * bytes) / most)
    const sentence = `Level ${level}: ${text}`
    const bar = image(
      sentence,
      18,
      'stratum',
      svg('rect', { x: 0, y: 0, width: WIDTH, height: 18, class: 'track' }),
      svg('rect', { x: 0, y: 0, width, height: 18, class: 'shade-1' }),
    )
    const name = html('span', { class: 'level', 'aria-hidden': 'true' }, `L${level}`)
    const figure = html('span', { class: 'number', 'aria-hidden': 'true' }, tables === 0 ? 'empty' : amount)
    return html('li', tables === 0 ? { class: 'none' } : {}, name, bar, figure)
  })
  return html('ol', { class: 'strata-chart' }, ...rows)
}

/** A line over time, the newest at the right. @param {string} sentence @param {number[]} values
 * @param {number} room how many values fill it */
export function sparkline(sentence, values, room) {
  const height = 64
  const most = Math.max(1, ...values)
  const step = WIDTH / (room - 1)
  const from = WIDTH - (values.length - 1) * step
  const points = values.map((value, i) => {
    const y = height - 3 - ((height - 8) * value) / most
    return `${(from + i * step).toFixed(1)},${y.toFixed(1)}`
  })
  const base = svg('line', { x1: 0, y1: height - 2, x2: WIDTH, y2: height - 2, class: 'base' })
  if (points.length < 2) return image(sentence, height, 'spark', base)
  const area = `M${from.toFixed(1)},${height - 2}L${points.join('L')}L${WIDTH},${height - 2}Z`
  return image(
    sentence,
    height,
    'spark',
    base,
    svg('path', { d: area, class: 'area' }),
    svg('path', { d: `M${points.join('L')}`, class: 'line' }),
  )
}

/** Two bars, one under the other, of the same scale.
 * @param {{ label: string, value: number, text: string, main: boolean }[]} bars @param {number} most */
export function pair(bars, most) {
  const rows = bars.map(({ label, value, text, main }) => {
    const width = Math.max(1, (WIDTH * value) / Math.max(most, 1e-9))
    const bar = image(
      `${label}: ${text}`,
      10,
      'pair-bar',
      svg('rect', { x: 0, y: 0, width, height: 10, class: main ? 'shade-1' : 'other' }),
    )
    return html('li', {}, html('span', { class: 'label' }, label), bar, html('span', { class: 'number' }, text))
  })
  return html('ul', { class: 'pair' }, ...rows)
}

// view_bench.js: a race against IndexedDB in the browser that the page is open in.

import { IndexedRacer, ROWS, VarveRacer, race } from './bench_race.js'
import { pair } from './charts.js'
import { Job, toast } from './page_dialogs.js'
import { byId, count, figure, html } from './page_dom.js'
import { PageStore, explain } from './page_store.js'

const SIZES = [2000, 10_000, 50_000]

export class BenchView {
  constructor() {
    this.panel = byId('panel-bench', HTMLElement)
    this.start = html('button', { type: 'button', class: 'button main', click: () => void this.#run() }, 'Run')
    this.rows = html('ol', { class: 'race' })
    this.sum = html('p', { class: 'verdict', role: 'status' })
    const sizes = SIZES.map((size) => {
      const input = html('input', { type: 'radio', name: 'bench-size', value: String(size), checked: size === 10_000 })
      return html('label', {}, input, html('span', {}, count(size)))
    })
    const choice = html('fieldset', { class: 'seg small' }, html('legend', {}, 'Entries'), ...sizes)
    const text =
      'The same work, here in your browser, once with Varve and once with IndexedDB: keys of about 15 bytes, ' +
      'values of 100. The two take turns; the median of three rounds counts. Their databases are deleted afterwards.'
    const head = html('div', { class: 'bench-head' }, html('h2', {}, 'Against IndexedDB'), html('p', {}, text))
    head.append(html('div', { class: 'row' }, choice, this.start))
    this.panel.replaceChildren(head, this.sum, this.rows)
    this.#showRows()
  }

  #showRows() {
    this.rows.replaceChildren(...ROWS.map(({ name, what }) => this.#row(name, what, null)))
  }

  /** @param {string} name @param {string} what @param {{ ours: number, theirs: number, unit: string } | null} result */
  #row(name, what, result) {
    const title = html('div', { class: 'race-name' }, html('h3', {}, name), html('p', { class: 'quiet' }, what))
    if (result === null) return html('li', {}, title, html('p', { class: 'quiet wait' }, 'not run yet'))
    const { ours, theirs, unit } = result
    const bars = pair(
      [
        { label: 'Varve', value: ours, text: figure(ours), main: true },
        { label: 'IndexedDB', value: theirs, text: figure(theirs), main: false },
      ],
      Math.max(ours, theirs),
    )
    const factor = ours / theirs
    const times = html('p', { class: 'factor' }, `× ${figure(factor)}`, html('span', { class: 'quiet' }, unit))
    return html('li', {}, title, bars, times)
  }

  async #run() {
    const chosen = this.panel.querySelector('input[name=bench-size]:checked')
    const entries = chosen instanceof HTMLInputElement ? Number(chosen.value) : 10_000
    const stop = new AbortController()
    const job = new Job('Benchmark', stop)
    /** @type {number[]} */
    const factors = []
    this.start.disabled = true
    this.sum.textContent = ''
    this.#showRows()
    try {
      const ours = new VarveRacer({ open: PageStore.openPlain, delete: PageStore.delete })
      await race(
        ours,
        new IndexedRacer(),
        entries,
        (at, row, mine, theirs) => {
          factors.push(mine / theirs)
          const line = this.#row(row.name, row.what, { ours: mine, theirs, unit: row.unit })
          this.rows.children[at]?.replaceWith(line)
        },
        (done, total, what) => job.show(done, total, what),
        stop.signal,
      )
      const mean = Math.exp(factors.reduce((sum, factor) => sum + Math.log(factor), 0) / factors.length)
      const least = Math.min(...factors)
      const [middle, low] = [figure(mean), figure(least)]
      this.sum.textContent = `Geometric mean of the ${factors.length} rows: × ${middle}; the least is × ${low}.`
    } catch (error) {
      if (!stop.signal.aborted) toast(explain(error), undefined, true)
    } finally {
      job.end()
      this.start.disabled = false
    }
  }
}

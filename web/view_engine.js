// view_engine.js: what the storage and the engine are doing: figures that it counts anyway, looked at once a second
// while they are in sight; and its three kinds of care: flush, compact, verify.

import { partsBar, sparkline, strata } from './charts.js'
import { Job, toast } from './page_dialogs.js'
import { byId, count, counted, figure, html, percent, size } from './page_dom.js'
import { PageStore, explain } from './page_store.js'

/** @typedef {import('../bindings/js/index.js').Stats} Stats */

const SECONDS = 60
const EVERY_MS = 1000

/** @param {string} title @param {string} id */
function card(title, id) {
  const body = html('div', { class: 'card-body' })
  const box = html('section', { class: 'card', 'aria-labelledby': id }, html('h2', { id }, title), body)
  return { box, body }
}

/** @param {[string, string][]} rows */
function figures(rows) {
  return html(
    'dl',
    { class: 'figures' },
    ...rows.map(([name, value]) => html('div', {}, html('dt', {}, name), html('dd', {}, value))),
  )
}

export class EngineView {
  /** @type {PageStore | null} */
  #store = null
  /** @type {Stats | null} */
  #last = null
  #lastAt = 0
  /** @type {number[]} */
  #writes = []
  /** @type {number[]} */
  #gets = []

  constructor() {
    this.panel = byId('panel-engine', HTMLElement)
    this.storage = card('Storage', 'card-storage')
    this.levels = card('Layers', 'card-levels')
    this.speed = card('Changes a second', 'card-speed')
    this.memory = card('Memory', 'card-memory')
    this.work = card('Work', 'card-work')
    this.care = card('Care', 'card-care')
    const { storage, levels, speed, memory, work, care } = this
    care.body.append(...this.#careButtons())
    this.panel.replaceChildren(storage.box, levels.box, speed.box, memory.box, work.box, care.box)
    setInterval(() => void this.look(), EVERY_MS)
  }

  /** Looks at another database. @param {PageStore} store */
  use(store) {
    this.#store = store
    this.#last = null
    this.#writes = []
    this.#gets = []
    void this.look()
  }

  get #visible() {
    return !this.panel.hidden && document.visibilityState === 'visible'
  }

  async look() {
    const store = this.#store
    if (!this.#visible || store === null) {
      this.#last = null
      return
    }
    try {
      const stats = await store.stats()
      const room = await store.estimate()
      if (store === this.#store) this.#draw(stats, room)
    } catch (error) {
      // A database that was closed meanwhile is no news.
      if (store === this.#store) this.storage.body.textContent = explain(error)
    }
  }

  /** @param {Stats} stats @param {{ usage: number, quota: number, persisted: boolean } | null} room */
  #draw(stats, room) {
    const now = performance.now()
    if (this.#last !== null) {
      const seconds = (now - this.#lastAt) / 1000
      this.#writes = [...this.#writes, Math.max(0, stats.writes - this.#last.writes) / seconds].slice(-SECONDS)
      this.#gets = [...this.#gets, Math.max(0, stats.gets - this.#last.gets) / seconds].slice(-SECONDS)
    }
    this.#last = stats
    this.#lastAt = now
    this.#drawStorage(stats, room)
    this.#drawLevels(stats)
    this.#drawSpeed(stats)
    this.#drawMemory(stats)
    this.#drawWork(stats)
  }

  /** @param {Stats} stats @param {{ usage: number, quota: number, persisted: boolean } | null} room */
  #drawStorage(stats, room) {
    const { diskBytes, tableBytes, logBytes } = stats
    const other = Math.max(0, diskBytes - tableBytes - logBytes)
    const parts = [
      { label: 'Tables', value: tableBytes, shade: 1, text: size(tableBytes) },
      { label: 'Log', value: logBytes, shade: 2, text: size(logBytes) },
      { label: 'Manifest', value: other, shade: 4, text: size(other) },
    ]
    const nodes = [html('p', { class: 'big' }, size(diskBytes)), partsBar('Storage', parts)]
    if (room !== null) nodes.push(...this.#roomOf(room))
    this.storage.body.replaceChildren(...nodes)
  }

  /** @param {{ usage: number, quota: number, persisted: boolean }} room */
  #roomOf({ usage, quota, persisted }) {
    const share = `${size(usage)} of ${size(quota)} (${percent(usage, quota)}) that this browser gives this site.`
    const kept = persisted
      ? 'The browser keeps it until you delete it.'
      : 'The browser may delete it when space is short.'
    const nodes = [html('p', { class: 'quiet' }, `${share} ${kept}`)]
    if (!persisted) {
      const press = () => void this.#persist()
      nodes.push(html('p', {}, html('button', { type: 'button', class: 'link', click: press }, 'Ask it to keep it')))
    }
    return nodes
  }

  /** The database that is shown. */
  get #shown() {
    if (this.#store === null) throw new Error('No database is open')
    return this.#store
  }

  async #persist() {
    const granted = await this.#shown.persist()
    toast(granted ? 'The browser keeps this site’s data from now on' : 'The browser did not agree; it may later')
    void this.look()
  }

  /** @param {Stats} stats */
  #drawLevels({ levels }) {
    const filled = levels.findLastIndex(({ tables }) => tables > 0)
    const shown = levels.slice(0, Math.max(2, filled + 1)).map(({ tables, bytes, entries }) => ({
      tables,
      bytes,
      amount: size(bytes),
      text: `${size(bytes)}, ${counted(entries, 'entry', 'entries')}`,
    }))
    const tip = html('p', { class: 'quiet' }, 'New entries settle at the top; merging moves them down.')
    this.levels.body.replaceChildren(strata(shown), tip)
  }

  /** @param {Stats} stats */
  #drawSpeed(stats) {
    const now = this.#writes.at(-1) ?? 0
    const sentence = `Changes a second in the last minute, now ${figure(now)}`
    const rows = /** @type {[string, string][]} */ ([
      ['Lookups a second', figure(this.#gets.at(-1) ?? 0)],
      ['Changes a commit', stats.commits === 0 ? '–' : figure(stats.writes / stats.commits)],
    ])
    const chart = sparkline(sentence, this.#writes, SECONDS)
    this.speed.body.replaceChildren(html('p', { class: 'big' }, figure(now)), chart, figures(rows))
  }

  /** @param {Stats} stats */
  #drawMemory(stats) {
    const { memoryBytes, memoryBytesMax, memtableBytes, cacheBytes, cacheHits, cacheMisses } = stats
    const other = Math.max(0, memoryBytes - memtableBytes - cacheBytes)
    const parts = [
      { label: 'New entries', value: memtableBytes, shade: 1, text: size(memtableBytes) },
      { label: 'Cache', value: cacheBytes, shade: 2, text: size(cacheBytes) },
      { label: 'Other', value: other, shade: 4, text: size(other) },
    ]
    const rows = /** @type {[string, string][]} */ ([
      ['Bound', size(memoryBytesMax)],
      ['Found in the cache', percent(cacheHits, cacheHits + cacheMisses)],
    ])
    const bar = partsBar('Memory', parts, memoryBytesMax)
    this.memory.body.replaceChildren(html('p', { class: 'big' }, size(memoryBytes)), bar, figures(rows))
  }

  /** @param {Stats} stats */
  #drawWork(stats) {
    const { here, changes } = this.#shown.led
    const written = stats.bytesFlushed + stats.bytesCompactedOut
    const rows = /** @type {[string, string][]} */ ([
      ['Commits', count(stats.commits)],
      ['Changes', count(stats.writes)],
      ['Syncs', count(stats.syncs)],
      ['Flushes', count(stats.flushes)],
      ['Merges', count(stats.compactions)],
      ['Write amplification', stats.bytesWritten === 0 ? '–' : `× ${figure(written / stats.bytesWritten)}`],
      ['Waits for merges', `${count(stats.stalls)}, ${figure(stats.stallUs / 1000)} ms`],
      [
        'Runs in',
        `${here ? 'this tab' : 'another tab'}${changes === 0 ? '' : `, taken over ${counted(changes, 'time')}`}`,
      ],
      ['Version', PageStore.version],
    ])
    this.work.body.replaceChildren(figures(rows))
  }

  #careButtons() {
    /** @param {string} label @param {string} what @param {() => Promise<string>} run */
    const button = (label, what, run) => {
      const press = async () => {
        const since = performance.now()
        for (const other of this.care.body.querySelectorAll('button')) other.disabled = true
        try {
          const text = await run()
          toast(`${text} in ${figure(performance.now() - since)} ms`)
        } catch (error) {
          toast(explain(error), undefined, true)
        } finally {
          for (const other of this.care.body.querySelectorAll('button')) other.disabled = false
        }
        void this.look()
      }
      const node = html('button', { type: 'button', class: 'button', click: () => void press() }, label)
      return html('div', { class: 'care-row' }, node, html('p', { class: 'quiet' }, what))
    }
    return [
      button('Flush', 'Writes new entries to a table now.', async () => {
        await this.#shown.flush()
        return 'Flushed'
      }),
      button('Compact', 'Merges everything and gives space back.', async () => {
        await this.#withJob('Merging', (show) => this.#shown.compact(show))
        return 'Merged'
      }),
      button('Verify', 'Reads and checks every byte.', async () => {
        const report = await this.#withJob('Checking every byte', (show) => this.#shown.verify(show))
        return `Checked ${counted(report.entries, 'entry', 'entries')} and ${size(report.bytes)}, all whole,`
      }),
    ]
  }

  /** @template T @param {string} what @param {(show: (done: number, total: number) => void) => Promise<T>} run */
  async #withJob(what, run) {
    const job = new Job(what)
    try {
      return await run((done, total) => job.show(done, total))
    } finally {
      job.end()
    }
  }
}

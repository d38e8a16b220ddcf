// view_live.js: changes as they are committed, newest first, wherever they were made.

import { preview } from './bytes_text.js'
import { sparkline } from './charts.js'
import { byId, count, counted, eachFrame, figure, html } from './page_dom.js'

/** @typedef {import('./page_store.js').Told} Told */
/** @typedef {{ time: Date, change: Told }} Seen */

const KEPT = 200
const SECONDS = 60
const NAMES = { put: 'put', del: 'delete', clear: 'clear', missed: 'missed' }
const RANGES = { clear: 'a range of keys', missed: 'another tab took over: changes may be missing here' }

export class LiveView {
  /** @type {Seen[]} newest first */
  #seen = []
  #paused = false
  #missed = 0
  #total = 0
  #thisSecond = 0
  /** @type {number[]} */
  #rates = []

  /** @param {{ write: () => void }} does */
  constructor({ write }) {
    this.prefix = html('input', { id: 'live-prefix', type: 'search', autocomplete: 'off', spellcheck: 'false' })
    this.pause = html('button', { type: 'button', class: 'button', 'aria-pressed': 'false' }, 'Pause')
    this.list = html('ol', { class: 'changes', role: 'log', 'aria-live': 'off', 'aria-label': 'Changes, newest first' })
    this.list.tabIndex = 0
    this.chart = html('div', { class: 'chart-box' })
    this.rate = html('p', { class: 'big' }, '0')
    this.sum = html('p', { class: 'quiet', role: 'status' })
    this.draw = eachFrame(() => this.#draw())
    const forget = html('button', { type: 'button', class: 'button', click: () => this.reset() }, 'Clear')
    const add = html('button', { type: 'button', class: 'button main', click: write }, 'Write an entry')
    const label = html('label', { for: 'live-prefix' }, 'Keys that begin with')
    const more = html('a', { href: location.href, target: '_blank', rel: 'noopener', class: 'link' }, 'a second tab')
    const tip = html('p', { class: 'quiet' }, 'Open ', more, ' and change something there: it shows here at once.')
    this.link = more
    this.prefix.addEventListener('input', () => this.reset())
    this.pause.addEventListener('click', () => this.#togglePause())
    const head = html('div', { class: 'live-head' }, html('div', { class: 'field' }, label, this.prefix))
    head.append(html('div', { class: 'row' }, this.pause, forget, add))
    const card = html('section', { class: 'card rate', 'aria-label': 'Changes a second' })
    card.append(html('h2', {}, 'Changes a second'), this.rate, this.chart, this.sum, tip)
    byId('panel-live', HTMLElement).replaceChildren(head, html('div', { class: 'live-body' }, this.list, card))
    setInterval(() => this.#second(), 1000)
    this.#draw()
  }

  /** Forgets what was seen. */
  reset() {
    this.#seen = []
    this.#missed = this.#total = 0
    this.link.href = location.href
    this.draw()
  }

  #togglePause() {
    this.#paused = !this.#paused
    this.pause.setAttribute('aria-pressed', String(this.#paused))
    this.pause.textContent = this.#paused ? 'Go on' : 'Pause'
    this.#missed = 0
    this.draw()
  }

  /** @param {Told[]} changes */
  told(changes) {
    const prefix = this.prefix.value
    const mine = prefix === '' ? changes : changes.filter(({ name }) => name?.startsWith(prefix) ?? true)
    this.#total += mine.length
    this.#thisSecond += mine.length
    if (this.#paused) this.#missed += mine.length
    else {
      const time = new Date()
      const newest = mine.slice(-KEPT).reverse()
      this.#seen = [...newest.map((change) => ({ time, change })), ...this.#seen].slice(0, KEPT)
    }
    this.draw()
  }

  #second() {
    this.#rates = [...this.#rates, this.#thisSecond].slice(-SECONDS)
    this.#thisSecond = 0
    if (!byId('panel-live', HTMLElement).hidden) this.#drawRate()
  }

  #drawRate() {
    const now = this.#rates.at(-1) ?? 0
    const most = Math.max(0, ...this.#rates)
    this.rate.textContent = figure(now)
    const sentence = `Changes a second in the last minute: now ${count(now)}, at most ${count(most)}`
    this.chart.replaceChildren(sparkline(sentence, this.#rates, SECONDS))
  }

  #draw() {
    if (byId('panel-live', HTMLElement).hidden) return
    this.#drawRate()
    const held = this.#paused ? `Paused; ${counted(this.#missed, 'change')} since then. ` : ''
    const kept = this.#total > KEPT ? ` The last ${KEPT} are listed.` : ''
    this.sum.textContent = `${held}${counted(this.#total, 'change')} since this page was opened.${kept}`
    if (this.#seen.length === 0) {
      const text = this.#paused ? 'Paused.' : 'Waiting for changes. Whatever is written to this database shows up here.'
      this.list.replaceChildren(html('li', { class: 'waiting' }, text))
      return
    }
    this.list.replaceChildren(...this.#seen.map((seen) => rowOf(seen)))
  }
}

/** @param {Seen} seen */
function rowOf({ time, change }) {
  const { type, name, text = '' } = change
  const at = time.toLocaleTimeString('en-GB')
  const shown = type === 'put' || type === 'del' ? preview(name ?? '') : RANGES[type]
  return html(
    'li',
    {},
    html('time', {}, at),
    html('span', { class: `kind ${type}` }, NAMES[type]),
    html('span', { class: 'code' }, shown),
    html('span', { class: 'code quiet' }, preview(text)),
  )
}

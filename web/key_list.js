// key_list.js: a list of any number of rows, of which only those in sight are elements. One row is active: it has the
// tab stop (roving tabindex), moves by the keyboard, and stays an element while it is out of sight, so that the focus
// is never lost. Browsers cannot make an element higher than some ten million pixels: above HEIGHT_MAX the scroll bar
// stands for more than its pixels.

import { count, eachFrame, html } from './page_dom.js'
import { showKey } from './bytes_text.js'

/** @typedef {import('./key_index.js').KeyIndex} KeyIndex */
/** @typedef {{ onSelect: (key: Uint8Array) => void, onOpen: () => void, onRemove: (key: Uint8Array) => void }} Does */

/** Fingers need more room than a pointer does. */
const ROW = matchMedia('(pointer: coarse)').matches ? 44 : 34
const OVERSCAN = 8
const HEIGHT_MAX = 8_000_000

export class KeyList {
  /** @type {Map<number, HTMLElement>} */
  #rows = new Map()
  /** @type {HTMLElement[]} */
  #spare = []
  #active = 0
  /** @type {Uint8Array | null} */
  #selected = null
  #mark = ''
  #offset = 0
  #scroller
  #list
  #index
  #does

  /** @param {HTMLElement} scroller @param {HTMLElement} list @param {KeyIndex} index @param {Does} does */
  constructor(scroller, list, index, does) {
    this.#scroller = scroller
    this.#list = list
    this.#index = index
    this.#does = does
    this.draw = eachFrame(() => this.#draw())
    list.style.setProperty('--row', `${ROW}px`)
    this.stop = new AbortController()
    const { signal } = this.stop
    scroller.addEventListener('scroll', this.draw, { passive: true, signal })
    list.addEventListener('keydown', (event) => this.#key(event), { signal })
    list.addEventListener('click', (event) => this.#click(event), { signal })
    const resized = new ResizeObserver(this.draw)
    resized.observe(scroller)
    signal.addEventListener('abort', () => resized.disconnect())
  }

  close() {
    this.stop.abort()
    this.#list.replaceChildren()
  }

  get hasFocus() {
    return this.#list.contains(document.activeElement)
  }

  /** What is highlighted in keys. @param {string} text */
  mark(text) {
    this.#mark = text.toLowerCase()
    this.#active = 0
    this.#scroller.scrollTop = 0
  }

  /** Rows came or went: the selected key stays the active one. */
  changed() {
    if (this.#selected !== null && !this.#index.walking) {
      const { row, known } = this.#index.rowOf(this.#selected)
      if (known) this.#active = row
    }
    this.draw()
  }

  /** Makes a key the active row, without telling anybody. @param {Uint8Array | null} key @param {boolean} [focus] */
  async select(key, focus = false) {
    this.#selected = key
    if (key !== null) {
      const { row } = await this.#index.locate(key)
      if (this.#selected !== key) return
      this.#active = row
      this.#intoView()
    }
    this.#draw()
    if (focus) this.focus()
  }

  focus() {
    this.#clampActive()
    this.#draw()
    this.#rows.get(this.#active)?.focus({ preventScroll: true })
  }

  #clampActive() {
    this.#active = Math.max(0, Math.min(this.#active, this.#index.total - 1))
  }

  #heights() {
    const all = this.#index.total * ROW
    const shown = Math.min(all, HEIGHT_MAX)
    const room = this.#scroller.clientHeight
    const factor = shown > room ? (all - room) / (shown - room) : 1
    return { all, shown, room, factor }
  }

  #intoView() {
    const { room, factor } = this.#heights()
    const at = this.#scroller.scrollTop * factor
    const top = this.#active * ROW
    if (top < at) this.#scroller.scrollTop = top / factor
    else if (top + ROW > at + room) this.#scroller.scrollTop = (top + ROW - room) / factor
  }

  #draw() {
    const { shown, room, factor } = this.#heights()
    const total = this.#index.total
    this.#list.style.height = `${shown}px`
    this.#clampActive()
    const at = this.#scroller.scrollTop
    this.#offset = at - at * factor
    const first = Math.max(0, Math.floor((at * factor) / ROW) - OVERSCAN)
    const end = Math.min(total, Math.ceil((at * factor + room) / ROW) + OVERSCAN)
    for (const [row, element] of this.#rows) {
      if ((row >= first && row < end) || (row === this.#active && row < total)) continue
      this.#rows.delete(row)
      if (element === document.activeElement) this.#list.focus({ preventScroll: true })
      element.remove()
      this.#spare.push(element)
    }
    for (let row = first; row < end; row++) this.#drawRow(row)
    if (total > 0) this.#drawRow(this.#active)
  }

  /** @param {number} row */
  #drawRow(row) {
    let element = this.#rows.get(row)
    if (element === undefined) {
      element = this.#spare.pop() ?? html('div', { role: 'option', class: 'key' })
      this.#rows.set(row, element)
      element.dataset['row'] = String(row)
      element.id = `key-${row}`
      element.setAttribute('aria-posinset', String(row + 1))
      this.#list.append(element)
    }
    const key = this.#index.at(row)
    const active = row === this.#active
    element.style.transform = `translateY(${row * ROW + this.#offset}px)`
    element.tabIndex = active ? 0 : -1
    element.setAttribute('aria-setsize', String(this.#index.walking ? -1 : this.#index.total))
    element.setAttribute('aria-selected', String(active && this.#selected !== null))
    this.#fill(element, key)
  }

  /** @param {HTMLElement} element @param {Uint8Array | undefined} key */
  #fill(element, key) {
    const shown = key === undefined ? null : showKey(key)
    const text = shown === null ? '' : shown.text
    const was = `${this.#mark}\n${text}`
    if (element.dataset['was'] === was && element.dataset['there'] === String(shown !== null)) return
    element.dataset['was'] = was
    element.dataset['there'] = String(shown !== null)
    element.classList.toggle('binary', shown?.binary === true)
    element.classList.toggle('unread', shown === null)
    element.title = text
    const at = this.#mark === '' ? -1 : text.toLowerCase().indexOf(this.#mark)
    if (at < 0) element.replaceChildren(text)
    else {
      const end = at + this.#mark.length
      element.replaceChildren(text.slice(0, at), html('mark', {}, text.slice(at, end)), text.slice(end))
    }
  }

  /** @param {number} row */
  #go(row) {
    this.#active = row
    this.#clampActive()
    this.#intoView()
    this.focus()
    this.#tell()
  }

  /** Tells of the active row as soon as its key is known. */
  #tell() {
    const row = this.#active
    const key = this.#index.at(row)
    if (key !== undefined) {
      this.#selected = key
      this.#does.onSelect(key)
      this.draw()
    } else if (row < this.#index.total) {
      this.#selected = null
      setTimeout(() => row === this.#active && this.#tell(), 30)
    }
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const page = Math.max(1, Math.floor(this.#scroller.clientHeight / ROW) - 1)
    /** @type {Record<string, number>} */
    const moves = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity }
    if (event.ctrlKey || event.metaKey || event.altKey) return
    const move = moves[event.key]
    const key = this.#index.at(this.#active)
    if (move !== undefined) this.#go(this.#active + move)
    else if (event.key === 'Enter' && key !== undefined) {
      this.#tell()
      this.#does.onOpen()
    } else if (event.key === 'Delete' && key !== undefined) this.#does.onRemove(key)
    else return
    event.preventDefault()
  }

  /** @param {MouseEvent} event */
  #click(event) {
    const element = event.target instanceof Element ? event.target.closest('[data-row]') : null
    if (!(element instanceof HTMLElement)) return
    this.#go(Number(element.dataset['row']))
    this.#does.onOpen()
  }

  /** For screen readers and the status line. */
  get summary() {
    const { total, walking } = this.#index
    return walking ? `${count(total)}…` : count(total)
  }
}

// page_dialogs.js: what the page says beside its views: short messages, questions, the shortcuts, the bar of a job.

import { byId, html } from './page_dom.js'

const TOAST_MS = 7000

/** A message for some seconds, longer while the pointer or the focus is on it.
 * @param {string} text @param {{ label: string, run: () => void }} [action] @param {boolean} [wrong] */
export function toast(text, action, wrong = false) {
  const place = byId(wrong ? 'alerts' : 'toasts', HTMLElement)
  const box = html('div', { class: wrong ? 'toast wrong' : 'toast' }, html('p', {}, text))
  let timer = setTimeout(() => box.remove(), wrong ? 2 * TOAST_MS : TOAST_MS)
  const stay = () => clearTimeout(timer)
  const go = () => (timer = setTimeout(() => box.remove(), TOAST_MS))
  for (const [enter, leave] of [
    ['pointerenter', 'pointerleave'],
    ['focusin', 'focusout'],
  ]) {
    box.addEventListener(/** @type {string} */ (enter), stay)
    box.addEventListener(/** @type {string} */ (leave), go)
  }
  if (action !== undefined) {
    const run = () => {
      box.remove()
      action.run()
    }
    box.append(html('button', { type: 'button', class: 'link', click: run }, action.label))
  }
  box.append(
    html('button', { type: 'button', class: 'close', 'aria-label': 'Dismiss', click: () => box.remove() }, '×'),
  )
  while (place.childElementCount > 2) place.firstElementChild?.remove()
  place.append(box)
}

/** A dialog of the browser, which keeps the focus inside and gives it back.
 * @param {string} title @param {Node[]} content @param {Node[]} [buttons] */
export function dialog(title, content, buttons = []) {
  const heading = html('h2', { id: 'dialog-title' }, title)
  const shut = html('button', { type: 'button', class: 'close', 'aria-label': 'Close', click: () => box.close() }, '×')
  const box = html(
    'dialog',
    { 'aria-labelledby': 'dialog-title' },
    html('div', { class: 'dialog-head' }, heading, shut),
    ...content,
    ...(buttons.length > 0 ? [html('div', { class: 'dialog-actions' }, ...buttons)] : []),
  )
  box.addEventListener('close', () => box.remove())
  box.addEventListener('click', (event) => event.target === box && box.close())
  document.body.append(box)
  box.showModal()
  return box
}

/** Asks before something that cannot be taken back.
 * @param {{ title: string, text: string, yes: string }} question @returns {Promise<boolean>} */
export function ask({ title, text, yes }) {
  return new Promise((resolve) => {
    let answer = false
    const agree = () => {
      answer = true
      box.close()
    }
    const no = html('button', { type: 'button', class: 'button', autofocus: true, click: () => box.close() }, 'Cancel')
    const box = dialog(
      title,
      [html('p', {}, text)],
      [no, html('button', { type: 'button', class: 'button danger', click: agree }, yes)],
    )
    box.addEventListener('close', () => resolve(answer))
  })
}

const SHORTCUTS = [
  ['/', 'Search keys'],
  ['n', 'New entry'],
  ['↑ ↓ Page Up Page Down Home End', 'Move in the list of keys'],
  ['Enter', 'Edit the value of the key'],
  ['Delete', 'Delete the entry (with Undo)'],
  ['Ctrl S', 'Save the value'],
  ['Esc', 'Back to the list; clear the search'],
  ['1 2 3 4', 'Data, Live, Engine, Benchmark'],
  ['?', 'This list'],
]

/** @param {{ get(): string, set(value: string): void }} singleKeys */
export function showShortcuts(singleKeys) {
  const rows = SHORTCUTS.map(([keys = '', what = '']) => {
    const caps = keys === 'Ctrl S' ? ['Ctrl', 'S'] : keys.replace(/Page /g, 'Page_').split(' ')
    const names = caps.flatMap((cap) => [html('kbd', {}, cap.replace('_', ' ')), ' '])
    return html('div', {}, html('dt', {}, ...names), html('dd', {}, what))
  })
  const box = html('input', { type: 'checkbox', checked: singleKeys.get() === 'on' })
  box.addEventListener('change', () => singleKeys.set(box.checked ? 'on' : 'off'))
  const choice = html('label', { class: 'check' }, box, ' Shortcuts of a single letter or digit work')
  dialog('Keyboard', [html('dl', { class: 'shortcuts' }, ...rows), choice])
}

/** The bar of a long job. One job at a time. */
export class Job {
  /** @param {string} what @param {AbortController} [stop] */
  constructor(what, stop) {
    this.bar = byId('job-progress', HTMLProgressElement)
    this.note = byId('job-note', HTMLElement)
    this.box = byId('job', HTMLElement)
    this.button = byId('job-stop', HTMLButtonElement)
    byId('job-what', HTMLElement).textContent = what
    this.note.textContent = ''
    this.bar.removeAttribute('value')
    this.button.hidden = stop === undefined
    this.button.onclick = () => stop?.abort(new DOMException('Stopped', 'AbortError'))
    this.box.hidden = false
  }

  /** @param {number} done @param {number} total @param {string} [note] */
  show(done, total, note = '') {
    if (total > 0) {
      this.bar.max = total
      this.bar.value = Math.min(done, total)
    }
    this.note.textContent = note
  }

  end() {
    this.box.hidden = true
  }
}

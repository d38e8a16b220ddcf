// value_editor.js: one entry: its key, its value as text, JSON or hexadecimal, and saving, deleting and downloading it.
// A new entry is the same form with a field for the key.

import {
  bytesOfHex,
  compareBytes,
  formatOf,
  hexOf,
  readValue,
  showKey,
  showValue,
  textOf,
  toBytes,
} from './bytes_text.js'
import { byId, counted, html, showOnly, size } from './page_dom.js'

/** @typedef {import('./bytes_text.js').Format} Format */
/** @typedef {import('./page_store.js').PageStore} PageStore */
/** @typedef {{ onSave: (key: Uint8Array, value: Uint8Array) => Promise<void>, onRemove: (key: Uint8Array) => void,
 *   onLeave: () => void, onError: (error: unknown) => void }} Does */

/** Longer values are shown in part: no text field is any good with megabytes. */
const EDIT_MAX = 1_000_000
const HEX_EDIT_MAX = 200_000
const SHOWN = 64_000

export class ValueEditor {
  /** @type {Uint8Array | null} the entry's key; null while a new entry is written, or none is chosen */
  key = null
  /** @type {Uint8Array} */
  #saved = new Uint8Array(0)
  #shown = ''
  #adding = false
  #partly = false
  /** @type {Format} */
  #format = 'text'
  #latest = 0
  #does

  /** @param {PageStore} store @param {Does} does */
  constructor(store, does) {
    this.store = store
    this.#does = does
    this.stop = new AbortController()
    this.form = byId('entry', HTMLFormElement)
    this.nothing = byId('entry-nothing', HTMLElement)
    this.title = byId('entry-title', HTMLElement)
    this.keyField = byId('entry-key', HTMLInputElement)
    this.keyRow = byId('entry-key-row', HTMLElement)
    this.keyHex = byId('entry-key-hex', HTMLInputElement)
    this.meta = byId('entry-meta', HTMLElement)
    this.text = byId('entry-value', HTMLTextAreaElement)
    this.status = byId('entry-status', HTMLElement)
    this.notice = byId('entry-notice', HTMLElement)
    this.saveButton = byId('entry-save', HTMLButtonElement)
    this.revertButton = byId('entry-revert', HTMLButtonElement)
    this.removeButton = byId('entry-remove', HTMLButtonElement)
    this.downloadButton = byId('entry-download', HTMLButtonElement)
    this.copyButton = byId('entry-copy', HTMLButtonElement)
    this.#listen()
  }

  #listen() {
    const { signal } = this.stop
    /** @param {EventTarget} target @param {string} type @param {(event: any) => void} run */
    const on = (target, type, run) => target.addEventListener(type, run, { signal })
    on(this.form, 'submit', (event) => {
      event.preventDefault()
      void this.save()
    })
    on(this.text, 'input', () => this.#judge())
    on(this.keyField, 'input', () => this.#judge())
    on(this.keyHex, 'change', () => this.#judge())
    on(this.revertButton, 'click', () => (this.#adding ? this.clear() : this.#present()))
    on(this.removeButton, 'click', () => this.key !== null && this.#does.onRemove(this.key))
    on(this.downloadButton, 'click', () => this.#download())
    on(this.copyButton, 'click', () => void this.#copy())
    on(byId('entry-back', HTMLButtonElement), 'click', () => this.#does.onLeave())
    for (const radio of this.#radios())
      on(radio, 'change', () => this.#changeFormat(/** @type {Format} */ (radio.value)))
  }

  /** @returns {HTMLInputElement[]} */
  #radios() {
    return [...this.form.querySelectorAll('input')].filter((input) => input.name === 'entry-format')
  }

  close() {
    this.stop.abort()
    this.clear()
  }

  get isDirty() {
    return this.#adding ? this.keyField.value !== '' || this.text.value !== '' : this.text.value !== this.#shown
  }

  /** Nothing is chosen. */
  clear() {
    this.#latest++
    this.key = null
    this.#adding = false
    this.text.value = this.#shown = ''
    showOnly(this.nothing, [this.nothing, this.form])
    document.body.classList.remove('reading')
  }

  /** Shows an entry. @param {Uint8Array} key */
  async open(key) {
    const turn = ++this.#latest
    try {
      const value = await this.store.get(key)
      if (turn !== this.#latest) return
      if (value === undefined) return this.clear()
      this.key = key
      this.#adding = false
      this.#saved = value
      this.#format = this.#editable('hex') || formatOf(value) !== 'hex' ? formatOf(value) : 'hex'
      this.#present()
    } catch (error) {
      this.#does.onError(error)
    }
  }

  /** An empty form. @param {string} prefix of the key */
  add(prefix) {
    this.#latest++
    this.key = null
    this.#adding = true
    this.#saved = new Uint8Array(0)
    this.#format = 'text'
    this.keyField.value = prefix
    this.keyHex.checked = false
    this.#present()
    this.keyField.focus()
  }

  focus() {
    this.text.focus()
  }

  /** The entry was changed by somebody: shows it, unless that would throw away what is being written.
   * @param {Uint8Array} key @param {Uint8Array | undefined} value */
  changedElsewhere(key, value) {
    if (this.key !== key || (value !== undefined && compareBytes(value, this.#saved) === 0)) return
    if (!this.isDirty) {
      if (value === undefined) return this.clear()
      this.#saved = value
      this.#present()
      return
    }
    const reload = html(
      'button',
      { type: 'button', class: 'link', click: () => void this.open(this.#keyNow()) },
      'Show it',
    )
    const what = value === undefined ? 'This entry was deleted meanwhile. ' : 'This value was changed meanwhile. '
    this.notice.replaceChildren(what, reload, ' or save yours over it.')
    this.notice.hidden = false
  }

  #keyNow() {
    return /** @type {Uint8Array} */ (this.key)
  }

  /** @param {Format} format */
  #editable(format) {
    return this.#saved.length <= (format === 'hex' ? HEX_EDIT_MAX : EDIT_MAX)
  }

  /** Puts the saved value into the form. */
  #present() {
    const { key } = this
    const partly = (this.#partly = !this.#editable(this.#format))
    const value = partly ? this.#saved.subarray(0, SHOWN) : this.#saved
    this.text.value = partly
      ? showValue(value, this.#format === 'json' ? 'text' : this.#format)
      : showValue(value, this.#format)
    this.#shown = this.text.value
    this.text.readOnly = partly
    this.text.scrollTop = 0
    this.notice.hidden = true
    showOnly(this.form, [this.nothing, this.form])
    this.keyRow.hidden = key !== null
    this.copyButton.hidden = this.removeButton.hidden = this.downloadButton.hidden = key === null
    this.revertButton.textContent = this.#adding ? 'Cancel' : 'Revert'
    this.title.textContent = key === null ? 'New entry' : showKey(key).text
    this.title.classList.toggle('code', key !== null)
    this.meta.textContent = key === null ? '' : `${size(this.#saved.length)} · key of ${size(key.length)}`
    for (const radio of this.#radios()) radio.checked = radio.value === this.#format
    this.text.dataset['format'] = this.#format
    document.body.classList.add('reading')
    this.#judge()
  }

  /** What is in the form, as bytes; throws a SyntaxError. */
  #read() {
    return readValue(this.text.value, this.#format)
  }

  /** The key of a new entry; throws a SyntaxError. */
  #readKey() {
    const key = this.keyHex.checked ? bytesOfHex(this.keyField.value) : toBytes(this.keyField.value)
    if (key.length === 0) throw new SyntaxError('Type a key first')
    if (key.length > 65536) throw new SyntaxError(`A key has at most 65,536 bytes; this one has ${key.length}`)
    return key
  }

  /** Says whether what is in the form can be saved. */
  #judge() {
    let problem = ''
    let note = this.#partly ? `The first ${size(SHOWN)} of ${size(this.#saved.length)}. Download it to see it all.` : ''
    try {
      if (this.#adding) {
        if (this.keyField.value === '') note = 'Type a key, then a value.'
        else this.#readKey()
      }
      if (this.isDirty && !this.#partly) {
        const value = this.#read()
        if (note === '') note = `Not saved yet · ${size(value.length)}`
      } else if (!this.#adding && note === '') note = 'Saved'
    } catch (error) {
      problem = error instanceof Error ? error.message : String(error)
    }
    const wrongKey = problem !== '' && this.#adding && /key|digit|byte/.test(problem) && this.keyHex.checked
    this.keyField.setAttribute('aria-invalid', String(wrongKey))
    this.text.setAttribute('aria-invalid', String(problem !== '' && !wrongKey))
    this.status.textContent = problem === '' ? note : `${this.#format === 'json' ? 'Not valid JSON: ' : ''}${problem}`
    this.status.classList.toggle('wrong', problem !== '')
    this.saveButton.disabled = problem !== '' || !this.isDirty || (this.#adding && this.keyField.value === '')
    this.revertButton.disabled = !this.isDirty && !this.#adding
  }

  /** @param {Format} format */
  #changeFormat(format) {
    const from = this.#format
    try {
      const value = this.isDirty && !this.#partly ? readValue(this.text.value, from) : this.#saved
      const dirty = this.isDirty
      if (format !== 'hex' && textOf(value) === null) {
        throw new SyntaxError('These bytes are not text in UTF-8, so they can only be shown as hexadecimal')
      }
      this.#format = format
      if (!dirty) return this.#present()
      this.text.value = showValue(value, format)
      this.text.dataset['format'] = format
      this.#judge()
    } catch (error) {
      this.#format = from
      for (const radio of this.#radios()) radio.checked = radio.value === from
      this.status.textContent = error instanceof Error ? error.message : String(error)
      this.status.classList.add('wrong')
    }
  }

  /** Saves what is in the form. */
  async save() {
    if (this.saveButton.disabled) return
    try {
      const key = this.#adding ? this.#readKey() : this.#keyNow()
      const value = this.#read()
      if (this.#adding && (await this.store.has(key)) && !this.#agreed(key)) return
      await this.#does.onSave(key, value)
      this.key = key
      this.#adding = false
      this.#saved = value
      this.#present()
      this.status.textContent = `Saved · ${size(value.length)}`
    } catch (error) {
      this.#does.onError(error)
    }
  }

  /** Whether the user has been told, and saves again. @param {Uint8Array} key */
  #agreed(key) {
    const hex = hexOf(key)
    if (this.notice.dataset['key'] === hex && !this.notice.hidden) return true
    this.notice.dataset['key'] = hex
    this.notice.textContent = 'There is an entry with this key. Save once more to replace its value.'
    this.notice.hidden = false
    return false
  }

  #download() {
    const { key } = this
    if (key === null) return
    const name = showKey(key)
      .text.replace(/[^\w.-]+/g, '_')
      .slice(0, 60)
    const url = URL.createObjectURL(new Blob([/** @type {BlobPart} */ (this.#saved)]))
    html('a', {
      href: url,
      download: `${name}.${this.#format === 'hex' ? 'bin' : this.#format === 'json' ? 'json' : 'txt'}`,
    }).click()
    setTimeout(() => URL.revokeObjectURL(url), 10_000)
  }

  async #copy() {
    const { key } = this
    if (key === null) return
    try {
      await navigator.clipboard.writeText(showKey(key).text)
      this.status.textContent = `Key copied, ${counted(key.length, 'byte')}`
    } catch (error) {
      this.#does.onError(error)
    }
  }
}

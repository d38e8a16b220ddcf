// page_worker.js: a page's own worker, one of those that want to lead. It is made again after the page was frozen:
// a frozen leader would hold the database for everybody, and whatever it acknowledged is in the storage already, so
// before the page stands still its worker is ended, and the next tab leads at once.

import { randomId, unpackError } from './protocol.js'

/** @typedef {import('./link.js').Link} Link */
/** @typedef {{ id: string, start: () => void, wake: () => void, challenge: (leader: string) => void,
 *   stop: () => Promise<void> }} PageWorker */

const STOP_MS = 2000
const CHALLENGE_MS = 1000

/** @param {any} source what open() was given as `worker` @returns {Worker} */
function make(source) {
  if (typeof source === 'function') return source()
  if (source !== undefined) return new Worker(source, { type: 'module' })
  return new Worker(new URL('./worker.js', import.meta.url), { type: 'module' })
}

/** For contexts that cannot have a worker: others must lead. @returns {PageWorker} */
export function noWorker() {
  return { id: '', start: () => {}, wake: () => {}, challenge: () => {}, stop: async () => {} }
}

/** @implements {PageWorker} */
export class OwnWorker {
  id = ''
  #link
  #source
  #begin
  /** @type {Worker | null} */
  #worker = null
  #running = false
  #challenged = 0
  #heard = 0
  /** @type {(() => void) | null} */
  #stopped = null
  #events = /** @type {[string, (event: any) => void][]} */ ([])

  /** @param {Link} link @param {any} source @param {any} begin the first message */
  constructor(link, source, begin) {
    this.#link = link
    this.#source = source
    this.#begin = begin
  }

  start() {
    this.#running = true
    this.#make()
    const on = (/** @type {string} */ name, /** @type {(event: any) => void} */ run) => {
      globalThis.addEventListener?.(name, run)
      this.#events.push([name, run])
    }
    // 'freeze' is told to the document and bubbles; 'pagehide' with `persisted` means the page is kept, standing still.
    globalThis.document?.addEventListener('freeze', this.#suspend)
    globalThis.document?.addEventListener('resume', this.#resume)
    on('pagehide', (event) => event.persisted && this.#suspend())
    on('pageshow', (event) => event.persisted && this.#resume())
  }

  #suspend = () => {
    this.#worker?.terminate()
    this.#worker = null
  }

  #resume = () => this.wake()

  /** There is a worker again, if there was none. */
  wake() {
    if (this.#running && this.#worker === null) this.#make()
  }

  #make() {
    const worker = make(this.#source)
    this.#worker = worker
    this.id = randomId()
    worker.onmessage = ({ data }) => this.#said(worker, data)
    worker.onerror = (event) => {
      event.preventDefault?.()
      this.#link.workerFailed(
        new TypeError(
          `The worker of the database did not start: ${event.message || 'its script was not found'}. ` +
            'With a bundler that does not follow new Worker(new URL(…)) (esbuild, Rollup), bundle ' +
            "'varve/worker' as a file of its own, and say where it is: Database.open(name, { worker: new URL(…) })",
        ),
      )
    }
    worker.postMessage({ ...this.#begin, start: { ...this.#begin.start, id: this.id } })
  }

  /** @param {Worker} worker @param {any} message */
  #said(worker, message) {
    if (worker !== this.#worker) return
    this.#heard = performance.now()
    if (message.t === 'leader') this.#link.leaderIs(message, (said) => worker.postMessage(said))
    else if (message.t === 'failed') this.#link.workerFailed(unpackError(message.error))
    else if (message.t === 'stopped') this.#stopped?.()
    else if (message.t !== 'here') this.#link.received(message)
  }

  /** The database is there: a worker that leads later makes no new one, and does not mind that there is one.
   * @param {any} options */
  opened(options) {
    this.#begin = { ...this.#begin, start: { ...this.#begin.start, options } }
    this.#worker?.postMessage({ t: 'opened', options })
  }

  /** The leader does not answer. @param {string} leader its worker */
  challenge(leader) {
    const now = performance.now()
    if (now - this.#challenged < CHALLENGE_MS) return
    const silent = this.#challenged > 0 && this.#heard < this.#challenged
    this.#challenged = now
    if (leader !== this.id && !silent) return this.#worker?.postMessage({ t: 'challenge' })
    this.#suspend() // it is ours, and hangs, or has died: nobody says so
    this.wake()
  }

  async stop() {
    this.#running = false
    for (const [name, run] of this.#events) globalThis.removeEventListener?.(name, run)
    globalThis.document?.removeEventListener('freeze', this.#suspend)
    globalThis.document?.removeEventListener('resume', this.#resume)
    const worker = this.#worker
    if (worker === null) return
    await new Promise((resolve) => {
      this.#stopped = () => resolve(undefined)
      setTimeout(resolve, STOP_MS)
      worker.postMessage({ t: 'stop' })
    })
    worker.terminate()
    this.#worker = null
  }
}

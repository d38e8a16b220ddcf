// background.js: the engine's background work, done between the program's tasks, and the syncs of relaxed commits.
// Nothing here keeps a process alive.

import { platform } from './platform.js'

const WORK_BYTES = 256 << 10 // about a millisecond of merging
const WORK_AFTER = 64 << 10 // of commits

export class Background {
  #engine
  #intervalMs
  #failed
  #pending = 0
  #scheduled = false
  /** @type {unknown} */
  #timer = null
  #closed = false
  #lastFailure = ''

  /** @param {import('./engine.js').Engine} engine @param {number} intervalMs of relaxed syncs
   * @param {(error: unknown) => void} failed told of a failure once, however often it comes again */
  constructor(engine, intervalMs, failed) {
    this.#failed = failed
    this.#engine = engine
    this.#intervalMs = intervalMs
  }

  /** @param {number} bytes that were committed */
  committed(bytes) {
    if (this.#closed) return
    this.#pending += bytes
    if (this.#pending >= WORK_AFTER) this.#schedule()
    if (this.#timer === null) this.#timer = platform().timer(() => this.#atInterval(), this.#intervalMs + 1)
  }

  #atInterval() {
    this.#timer = null
    this.#attempt(() => this.#engine.sync())
    this.#work()
  }

  /** A failure here is kept by the engine, which reports it to the next write. @param {() => void} run */
  #attempt(run) {
    try {
      run()
    } catch (error) {
      const text = String(error)
      if (text !== this.#lastFailure) this.#failed(error)
      this.#lastFailure = text
    }
  }

  #schedule() {
    if (this.#scheduled) return
    this.#scheduled = true
    platform().whenIdle(() => {
      this.#scheduled = false
      this.#work()
    })
  }

  #work() {
    if (this.#closed) return
    this.#pending = 0
    this.#attempt(() => {
      if (this.#engine.work(WORK_BYTES)) this.#schedule()
    })
  }

  close() {
    this.#closed = true
    if (this.#timer !== null) platform().clearTimer(this.#timer)
    this.#timer = null
  }
}

// transaction_run.js: a transaction that is run until it does not conflict. Loaded when it is first used.

import { describe } from './errors.js'
import { platform } from './platform.js'
import { signalOf } from './range.js'
import { Running } from './running.js'
import { BEGIN_OPTIONS, Transaction, beginOf, checkRun, isConflict } from './transaction.js'

/** @import { Context } from './store.js' */

const RUN_OPTIONS = [...BEGIN_OPTIONS, 'retries', 'signal']
const RETRIES = 5
const BACK_OFF_MS = 64

/** @param {number} ms */
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

/** @param {unknown} retries */
function retriesOf(retries = RETRIES) {
  if (typeof retries === 'number' && retries >= 0) return retries
  throw new TypeError(`retries must be a number from 0, or Infinity; got ${describe(retries)}`)
}

/** Runs a function until its promise is settled or the signal says stop. @param {() => Promise<any>} run
 * @param {AbortSignal | undefined} signal */
async function unlessAborted(run, signal) {
  if (signal === undefined) return run()
  signal.throwIfAborted()
  let deaf = () => {}
  const aborted = new Promise((_, reject) => {
    const abort = () => reject(signal.reason)
    signal.addEventListener('abort', abort, { once: true })
    deaf = () => signal.removeEventListener('abort', abort)
  })
  try {
    const result = await Promise.race([run(), aborted])
    signal.throwIfAborted()
    return result
  } finally {
    deaf()
  }
}

/** Runs a transaction, again when it conflicts. @param {Context} context of the database @param {any} run
 * @param {any} options */
export async function runRetried(context, run, options) {
  checkRun(run, 'transaction()')
  const how = beginOf(options, RUN_OPTIONS, 'transaction()')
  const retries = retriesOf(options?.retries)
  const signal = signalOf(options?.signal)
  for (let tries = 0; ; tries++) {
    const running = new Running(context, how, 'transaction()')
    try {
      const result = await unlessAborted(async () => run(new Transaction(running, false)), signal)
      if (running.status === 'open') running.commit()
      return result
    } catch (error) {
      if (!isConflict(error) || !running.engine.conflicted || tries >= retries) throw error
    } finally {
      running.end()
    }
    // The first time at once: whoever was in the way has committed.
    if (tries === 0) await platform().pause()
    else await wait(Math.random() * Math.min(2 ** tries, BACK_OFF_MS))
  }
}

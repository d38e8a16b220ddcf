// here.js: a database in the very thread that opens it, a worker of the application: the engine with its Sync methods.
// This thread leads then, and serves the other tabs between the tasks of the application.

import { Leader } from './leader.js'

/** The database, or null when somebody else leads.
 * @param {string} name @param {any} options @param {any} its @param {number} waitMs */
export async function openHere(name, options, its, waitMs) {
  const until = performance.now() + waitMs
  for (;;) {
    const found = await attempt(name, options, its)
    if (found !== null || performance.now() >= until) return found
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

/** @param {string} name @param {any} options @param {any} its */
async function attempt(name, options, its) {
  const { storage, allowMemory } = its
  /** @type {any} */
  let failed
  /** @type {Leader} */
  let leader
  /** @type {Promise<'leads'>} */
  const leads = new Promise((resolve) => {
    leader = new Leader({ name, options, storage, allowMemory }, (message) => {
      if (message.t === 'leader') resolve('leads')
      else if (message.t === 'failed') failed = message.error
    })
  })
  // @ts-ignore: the promise's function has run
  const made = leader
  const over = made.campaign({ ifAvailable: true })
  const first = await Promise.race([leads, over])
  if (first !== 'leads') {
    await made.stop()
    if (failed !== undefined) throw (await import('./protocol.js')).unpackError(failed)
    return null
  }
  const db = made.database
  if (db === null) return null
  db.on('closed', () => void made.stop())
  Object.defineProperty(db, 'storage', { value: made.storage, enumerable: true })
  return db
}

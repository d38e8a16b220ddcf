// tabs_worker.js: a worker of an application, for the tests: it opens a database, and does what it is told.

import { Database } from '/bindings/js/browser.js'

/** @type {any} */
let db

const does = {
  open: async (/** @type {any} */ { name, options }) => {
    db = await Database.open(name, options)
    return { storage: db.storage, sync: db.constructor.name }
  },
  puts: (/** @type {any} */ { entries }) => {
    for (const [key, value] of entries) db.putSync(key, value)
    return [...db.entriesSync()]
  },
  get: (/** @type {any} */ { key }) => db.get(key),
  close: () => db.close(),
}

addEventListener('message', async ({ data: { id, what, args } }) => {
  try {
    postMessage({ id, result: await /** @type {any} */ (does)[what](args) })
  } catch (error) {
    postMessage({
      id,
      error: { code: /** @type {any} */ (error).code ?? error.constructor.name, message: error.message },
    })
  }
})

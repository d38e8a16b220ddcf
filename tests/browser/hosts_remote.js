// hosts_remote.js: what the tests of the hosts have a page's worker do.

import { Database } from '/bindings/js/browser.js'
import { openOpfsHost } from '/bindings/js/src/host/opfs.js'

/** @param {{ name: string }} args */
export async function putAndClose({ name, entries }) {
  const host = await openOpfsHost(name)
  const db = await Database.open(name, { host })
  for (const [key, value] of entries) await db.put(key, value)
  await db.close()
  await host.close()
}

export async function readAll({ name }) {
  const host = await openOpfsHost(name)
  const db = await Database.open(name, { host })
  const rows = [...db.entriesSync()]
  await db.close()
  await host.close()
  return rows
}

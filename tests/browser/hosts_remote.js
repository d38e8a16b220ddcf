// hosts_remote.js: what the tests of the hosts have a page's worker do, over either storage. A database that is open
// stays open between calls.

import { Database } from '../../bindings/js/browser.js'
import { STATUS } from '../../bindings/js/src/abi.js'
import { openIdbHost } from '../../bindings/js/src/host/idb.js'
import { openOpfsHost } from '../../bindings/js/src/host/opfs.js'
import * as storage from '../../bindings/js/src/storage.js'

/** @param {number} status */
const nameOf = (status) => Object.entries(STATUS).find(([, number]) => number === status)?.[0]

const OPEN = { opfs: openOpfsHost, idb: openIdbHost }

/** @type {Map<string, { host: any, db: any }>} */
const opened = new Map()

export const openHost = (kind, name, options) => OPEN[kind](name, options)

/** @param {{ kind: 'opfs' | 'idb', name: string, options?: object, hostOptions?: object }} args */
export async function open({ kind, name, options = {}, hostOptions }) {
  const host = await openHost(kind, name, hostOptions)
  try {
    opened.set(name, { host, db: await Database.open(name, { host, ...options }) })
  } catch (error) {
    await host.close()
    throw error
  }
}

export async function close({ name }) {
  const { host, db } = opened.get(name)
  opened.delete(name)
  try {
    await db.close()
  } finally {
    await host.close()
  }
}

/** Puts entries, each acknowledged when it is stored. */
export async function put({ name, entries, durability }) {
  const { host, db } = opened.get(name)
  for (const [key, value] of entries) {
    await db.put(key, value, { durability })
    await host.settled(durability)
  }
}

export async function rows({ name }) {
  return [...opened.get(name).db.entriesSync()]
}

export async function verify({ name }) {
  return opened.get(name).db.verify()
}

/** Puts for ever, three a turn, and tells of every turn that is stored. */
export async function putForEver({ name, durability, size }, emit) {
  const { host, db } = opened.get(name)
  for (let i = (await db.count()) / 3; ; i++) {
    const key = String(i).padStart(9, '0')
    const value = 'x'.repeat(size + ((i * 37) % size))
    await Promise.all([0, 1, 2].map((n) => db.put(`${key} ${n}`, value, { durability })))
    await host.settled(durability)
    emit('stored', i)
  }
}

/** Puts until there is no more room. @returns {Promise<{ count: number, code: string, message: string }>} */
export async function putUntilFull({ name, size, most }) {
  const { host, db } = opened.get(name)
  let count = 0
  try {
    for (; count < most; count++) {
      const value = Array.from({ length: size / 10 }, () => Math.random().toFixed(8)).join('')
      await db.put(`full ${String(count).padStart(6, '0')}`, value, { durability: 'strict' })
      await host.settled('strict')
    }
  } catch (error) {
    return { count, code: error.code ?? `ERR_DB_${nameOf(error.status)}`, message: error.message }
  }
  return { count, code: '', message: '' }
}

/** Fills a database with what a seed says, and keeps it open. */
export async function fill({ name, count, seed }) {
  const { db } = opened.get(name)
  let state = seed
  const next = () => (state = (Math.imul(state, 1103515245) + 12345) >>> 0)
  for (let i = 0; i < count; i += 500) {
    await db.batch(
      Array.from({ length: 500 }, () => ({
        type: 'put',
        key: `k${next() % count}`,
        value: `${next()} ü`.repeat(next() % 40),
      })),
    )
  }
  for (let i = 0; i < count / 10; i++) await db.del(`k${next() % count}`)
  await opened.get(name).host.settled()
}

/** The rows as `varve dump` prints them, hashed. */
export async function hashOfDump({ name }) {
  const { db } = opened.get(name)
  const lines = [...db.entriesSync()].map(([key, value]) => `${JSON.stringify({ key, value })}\n`)
  return { sha256: await sha256(new TextEncoder().encode(lines.join(''))), rows: lines.length }
}

async function sha256(bytes) {
  const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes))
  return Array.from(hash, (byte) => byte.toString(16).padStart(2, '0')).join('')
}

async function bytesOf(stream) {
  return new Uint8Array(await new Response(stream).arrayBuffer())
}

/** Sends the .varve file to the harness. */
export async function exportTo({ name, url }) {
  const seen = []
  const stream = await storage.exportDatabase(name, { onProgress: (done, total) => seen.push([done, total]) })
  const bytes = await bytesOf(stream)
  await fetch(url, { method: 'POST', body: bytes })
  return { sha256: await sha256(bytes), size: bytes.length, last: seen.at(-1) }
}

/** Makes a database of what the harness serves. */
export async function importFrom({ name, url, kind }) {
  const response = await fetch(url)
  const seen = []
  const onProgress = (done) => void seen.push(done)
  await storage.importDatabase(name, response.body, { storage: kind, onProgress })
  return { last: seen.at(-1) }
}

/** What is left: handles that nobody gave back, locks, files that are no database. */
export async function leaks() {
  const left = []
  const { held = [], pending = [] } = await navigator.locks.query()
  left.push(...[...held, ...pending].map(({ name }) => `lock ${name}`))
  for (const { name } of (await indexedDB.databases?.()) ?? []) {
    const request = indexedDB.deleteDatabase(name)
    const blocked = await new Promise((resolve) => {
      request.onsuccess = () => resolve(false)
      request.onblocked = () => resolve(true)
    })
    left.push(...(blocked ? [`connection to ${name}`] : []))
  }
  const root = await navigator.storage?.getDirectory?.().catch(() => undefined)
  const directory = await root?.getDirectoryHandle('varve').catch(() => undefined)
  if (directory !== undefined) {
    for await (const [name, file] of directory.entries()) {
      try {
        ;(await file.createSyncAccessHandle()).close()
      } catch (error) {
        left.push(`handle of ${name}: ${error.name}`)
      }
      await directory.removeEntry(name).catch(() => {})
    }
  }
  return left
}

export const list = () => storage.listDatabases()
export const remove = ({ name }) => storage.deleteDatabase(name)
export const estimate = () => storage.estimate()
export const persist = () => storage.persist()

// browser_support.js: what tests/js/support.js is in Node, for the tests that run in browsers as well: places to open
// databases in, seeds, and how a test is told that it needs Node.

import { Database, MemoryHost } from '../../bindings/js/browser.js'
import { openIdbHost } from '../../bindings/js/src/host/idb.js'
import { hasOpfs, openOpfsHost } from '../../bindings/js/src/host/opfs.js'
import { deleteDatabase } from '../../bindings/js/src/storage.js'
import { NeedsNode, process } from './node_parts.js'

export { Random } from '../js/random.js'

export const packageUrl = '../../bindings/js/browser.js'

const ends = new WeakMap()

/** Runs something when the test ends: what was asked for last comes first. */
export function atEnd(t, run) {
  let list = ends.get(t)
  if (list === undefined) {
    const all = (list = [])
    ends.set(t, all)
    t.after(async () => {
      while (all.length > 0) await all.pop()()
    })
  }
  list.push(run)
}

function needNode(what) {
  throw new NeedsNode(`it needs ${what}`)
}

export const temporaryDirectory = () => needNode('a directory')
export const runNode = () => needNode('a Node beside it')
export const varve = () => needNode('the native program')
export const killedWritersKeep = () => needNode('a Node beside it')
export const program = ''
export const skipNative = 'needs the native program'

let stored = 0

/** A place whose host is opened, and whose database is removed at the end. */
function storedPlace(name, open) {
  return {
    name,
    lasts: true,
    async make(t) {
      const location = `test ${stored++}`
      const host = await open(location)
      atEnd(t, async () => {
        await host.close()
        await deleteDatabase(location)
      })
      return { location, options: { host } }
    },
  }
}

const ALL = [
  { name: ':memory:', lasts: false, make: () => ({ location: ':memory:', options: {} }) },
  {
    name: 'memory host',
    lasts: true,
    make: () => ({ location: 'place', options: { host: new MemoryHost() } }),
  },
  storedPlace('opfs', (name) => openOpfsHost(name)),
  storedPlace('idb', (name) => openIdbHost(name)),
]

const isWorker = typeof document === 'undefined'

/** What is stored is the work of workers; in a page the tests are of memory. */
export const PLACES = ALL.filter(({ name }) => {
  if (name === 'idb') return isWorker
  return name !== 'opfs' || (isWorker && hasOpfs())
})

/** Opens a database that is closed when the test ends. */
export async function openIn(t, place, options = {}) {
  if (place === undefined) needNode('that place')
  const { location, options: own } = await place.make(t)
  const open = async (more = {}) => {
    const db = await Database.open(location, { ...own, ...options, ...more })
    atEnd(t, () => db.close())
    return db
  }
  return { db: await open(), open, location }
}

/** The seed of a run: VARVE_SEED, or one of the clock. */
export function seedOf() {
  const given = process.env.VARVE_SEED
  return given === undefined ? Date.now() >>> 0 : Number(given)
}

/** The error that a promise or a function ends with. */
export async function errorOf(run) {
  try {
    await (typeof run === 'function' ? run() : run)
  } catch (error) {
    return error
  }
  throw new Error('nothing was thrown')
}

export const testFile = (url) => new URL(url).pathname

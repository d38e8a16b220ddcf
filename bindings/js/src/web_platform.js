// web_platform.js: pages and workers: what every JavaScript host has. Nothing global is touched before it is needed: a
// server that renders a page imports this too. The storage of this file is memory; src/worker/ has the other ones.

import { MemoryHost } from './host/memory.js'
import { compileResponse } from './wasm.js'
import { ensureLeases } from './worker/lease.js'

const host = new MemoryHost()
/** @type {MessagePort | undefined} */
let wake
/** @type {(() => void)[]} */
const due = []

/** @type {Promise<WebAssembly.Module> | undefined} */
let compiling

/** The file beside the package. Not every bundler copies it. */
async function compileOwn() {
  const url = new URL('../../../dist/varve.wasm', import.meta.url)
  try {
    return await compileResponse(await fetch(url))
  } catch (error) {
    compiling = undefined
    const reason = error instanceof Error ? error.message : String(error)
    throw new TypeError(
      `The engine was not found at ${url.href}: ${reason}. Copy varve.wasm of the package (varve/varve.wasm) ` +
        'to where it is served, and say where: Database.open(name, { wasm: new URL(…) }); a Response, bytes or a ' +
        'WebAssembly.Module will do as well',
      { cause: error },
    )
  }
}

/** @param {() => void} run */
function soon(run) {
  due.push(run)
  if (wake === undefined) {
    const channel = new MessageChannel()
    channel.port1.onmessage = () => due.shift()?.()
    wake = channel.port2
  }
  wake.postMessage(null)
}

/** @type {import('./platform.js').Platform} */
export const webPlatform = {
  host: () => host,
  module: () => (compiling ??= compileOwn()),
  moduleSync: () => {
    throw new TypeError('openSync() needs the engine: pass { wasm: module }, or use await Database.open()')
  },
  fetchModule: async (url) => compileResponse(await fetch(url)),
  afterTurn: soon,
  whenIdle: soon,
  timer: (run, ms) => {
    const timer = { id: setTimeout(() => void ensureLeases().then(() => timer.cleared || run()), ms), cleared: false }
    return timer
  },
  clearTimer: (timer) => {
    timer.cleared = true
    clearTimeout(timer.id)
  },
  warn: (warning) => console.warn(`${warning.name}: ${warning.message}`),
  pause: () => new Promise((resolve) => soon(() => resolve(undefined))),
}

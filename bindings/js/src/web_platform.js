// web_platform.js: pages and workers: what every JavaScript host has. Storage is in memory.

import { MemoryHost } from './host/memory.js'
import { compileResponse } from './wasm.js'

const host = new MemoryHost()
const channel = new MessageChannel()
/** @type {(() => void)[]} */
const due = []
channel.port1.onmessage = () => due.shift()?.()

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
  channel.port2.postMessage(null)
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
  timer: (run, ms) => setTimeout(run, ms),
  clearTimer: (timer) => clearTimeout(timer),
  warn: (warning) => console.warn(`${warning.name}: ${warning.message}`),
  pause: () => new Promise((resolve) => soon(() => resolve(undefined))),
}

// node_platform.js: Node's file system, its event loop, and the wasm file of the package.

import { readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { NodeHost } from './host/node.js'
import { compileBytes, compileResponse } from './wasm.js'

const WASM = new URL('../../../dist/varve.wasm', import.meta.url)
const BREAK_AFTER_MS = 4

/** @type {WebAssembly.Module | undefined} */
let module
/** @type {Promise<WebAssembly.Module> | undefined} */
let compiling

/** @param {unknown} error @returns {never} */
function missing(error) {
  throw new Error(`${WASM.pathname} is missing: in a checkout, build it with 'npm run build'`, { cause: error })
}

async function compileOnce() {
  const bytes = await readFile(WASM).catch(missing)
  module ??= await compileBytes(bytes, WASM.pathname)
  return module
}

function compileOnceSync() {
  if (module !== undefined) return module
  let bytes
  try {
    bytes = readFileSync(WASM)
  } catch (error) {
    missing(error)
  }
  module = new WebAssembly.Module(/** @type {BufferSource} */ (bytes))
  return module
}

let lastBreak = 0

/**
 * Ticks run once the current callback is done, and, when scheduled from a microtask, once the queue of microtasks is
 * empty: a tick from a microtask is the end of the turn. Ticks starve the event loop, so every so often setImmediate
 * is used.
 * @param {() => void} run
 */
function afterTurn(run) {
  const now = performance.now()
  if (now - lastBreak < BREAK_AFTER_MS) return queueMicrotask(() => process.nextTick(run))
  lastBreak = now
  setImmediate(run)
}

/** @type {import('./platform.js').Platform} */
export const nodePlatform = {
  host: () => new NodeHost(),
  module: () => (compiling ??= compileOnce()),
  moduleSync: compileOnceSync,
  fetchModule: async (url) =>
    url.protocol === 'file:' ? compileBytes(await readFile(url), url.href) : compileResponse(await fetch(url)),
  afterTurn,
  whenIdle: (run) => void setImmediate(run).unref(),
  timer: (run, ms) => setTimeout(run, ms).unref(),
  clearTimer: (timer) => clearTimeout(timer),
  warn: (warning) => process.emitWarning(warning),
  pause: () => new Promise((resolve) => setImmediate(resolve)),
}

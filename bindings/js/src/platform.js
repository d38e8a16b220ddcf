// platform.js: what differs between Node and a page, set once by the entry point (index.js, browser.js) before
// anything is opened.

/**
 * @typedef {object} Platform
 * @property {() => import('./host/host.js').Host} host where databases live unless the caller says otherwise
 * @property {() => Promise<WebAssembly.Module>} module the engine, compiled once
 * @property {() => WebAssembly.Module} moduleSync
 * @property {(url: URL) => Promise<WebAssembly.Module>} fetchModule the engine from another place
 * @property {(run: () => void) => void} afterTurn runs `run` once the callbacks and promise reactions now due have run:
 *   before timers and I/O as a rule, but after them every so often, so that a loop of awaited writes starves nobody
 * @property {(run: () => void) => void} whenIdle runs `run` soon; never keeps the process alive
 * @property {(run: () => void, ms: number) => unknown} timer as setTimeout; never keeps the process alive
 * @property {(timer: any) => void} clearTimer
 * @property {(warning: Error) => void} warn
 * @property {() => Promise<void>} pause lets timers and I/O run
 */

/** @type {Platform | undefined} */
let current

/** @param {Platform} its */
export function usePlatform(its) {
  current = its
}

/** @returns {Platform} */
export function platform() {
  if (current === undefined) throw new Error("Import 'varve', not one of its inner files")
  return current
}

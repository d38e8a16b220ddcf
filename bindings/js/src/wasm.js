// wasm.js: the compiled engine, from the package or from what the caller passes, compiled once for each source.

import { describe } from './errors.js'
import { platform } from './platform.js'

const WHAT = "wasm must be a URL, a Response, the file's bytes or a WebAssembly.Module"

/** @param {Uint8Array} bytes @param {string} source */
function checkMagic(bytes, source) {
  if (bytes[0] === 0 && bytes[1] === 0x61 && bytes[2] === 0x73 && bytes[3] === 0x6d) return
  const html = bytes[0] === 0x3c ? ' It is an HTML page: the server does not know the file.' : ''
  throw new TypeError(`${source} is no WebAssembly file.${html} Serve or copy dist/varve.wasm of the package as it is`)
}

/** @param {any} source @returns {Uint8Array | null} */
function bytesOf(source) {
  if (source instanceof Uint8Array) return source
  if (source instanceof ArrayBuffer) return new Uint8Array(source)
  if (ArrayBuffer.isView(source)) return new Uint8Array(source.buffer, source.byteOffset, source.byteLength)
  return null
}

/** @type {Map<string, Promise<WebAssembly.Module>>} */
const byUrl = new Map()

/** @param {any} source @returns {Promise<WebAssembly.Module>} */
export async function compiled(source) {
  if (source === undefined) return platform().module()
  if (source instanceof WebAssembly.Module) return source
  const bytes = bytesOf(source)
  if (bytes !== null) return compileBytes(bytes, 'The option wasm')
  if (typeof Response !== 'undefined' && source instanceof Response) return compileResponse(source)
  if (source instanceof URL) {
    let module = byUrl.get(source.href)
    if (module === undefined) {
      module = platform().fetchModule(source)
      module.catch(() => byUrl.delete(source.href))
      byUrl.set(source.href, module)
    }
    return module
  }
  throw new TypeError(`${WHAT}; got ${describe(source)}`)
}

/** @param {any} source @returns {WebAssembly.Module} */
export function compiledSync(source) {
  if (source === undefined) return platform().moduleSync()
  if (source instanceof WebAssembly.Module) return source
  const bytes = bytesOf(source)
  if (bytes === null)
    throw new TypeError(`openSync() takes bytes or a WebAssembly.Module as wasm; got ${describe(source)}`)
  checkMagic(bytes, 'The option wasm')
  return new WebAssembly.Module(/** @type {BufferSource} */ (bytes))
}

/** @param {Uint8Array} bytes @param {string} source */
export function compileBytes(bytes, source) {
  checkMagic(bytes, source)
  return WebAssembly.compile(/** @type {BufferSource} */ (bytes))
}

/** @param {Response} response */
export async function compileResponse(response) {
  if (!response.ok)
    throw new TypeError(`${response.url} answered ${response.status}: serve dist/varve.wasm of the package`)
  return compileBytes(new Uint8Array(await response.arrayBuffer()), response.url || 'The response')
}

// care.js: databases made of backups and of damaged ones. Loaded when it is first used.

import { describe } from './errors.js'
import { Engine } from './engine.js'
import { camelCase, pathOf, progressOf, temporaryOf } from './options.js'
import { platform } from './platform.js'
import { receiveFile, removeFile } from './streams.js'
import { compiled } from './wasm.js'

/** The keys of a loss are hex on their way here. @param {any} loss */
function lossOf(loss) {
  const bytes = (/** @type {string | undefined} */ hex) =>
    hex === undefined ? undefined : Uint8Array.from(hex.match(/../g) ?? [], (byte) => parseInt(byte, 16))
  return { ...loss, harmless: loss.harmless === 1, after: bytes(loss.after), before: bytes(loss.before) }
}

/** Makes a new database at `target` of a backup. @param {any} backup @param {any} target @param {any} [options] */
export async function restore(backup, target, options = {}) {
  const { wasm, host = platform().host(), ...rest } = options
  const progress = progressOf(rest, 'restore()')
  const to = pathOf(target, 'restore()')
  const streamed = typeof backup?.getReader === 'function'
  const from = streamed ? temporaryOf(host) : pathOf(backup, 'restore()')
  const engine = new Engine(await compiled(wasm), host)
  try {
    if (streamed) await receiveFile(host, backup, from, rest.signal)
    engine.restore(from, to, progress)
  } finally {
    engine.abandon()
    if (streamed) removeFile(host, from)
  }
}

/** Makes a new database at `target` of what is whole at `path`. @param {any} path @param {any} target
 * @param {any} [options] */
export async function repair(path, target, options = {}) {
  const { wasm, host, onLoss, ...rest } = options
  if (onLoss !== undefined && typeof onLoss !== 'function') {
    throw new TypeError(`onLoss must be a function of a loss; got ${describe(onLoss)}`)
  }
  const progress = progressOf(rest, 'repair()')
  const engine = new Engine(await compiled(wasm), host ?? platform().host())
  let text
  try {
    text = engine.repair(pathOf(path, 'repair()'), pathOf(target, 'repair()'), progress)
  } finally {
    engine.abandon()
  }
  const { told, ...report } = camelCase(text)
  for (const loss of told) onLoss?.(lossOf(loss))
  return { ...report, listLost: report.listLost === 1 }
}

// index_care.js: checking an index, and building it anew. Loaded when it is first used.

import { camelCase, progressOf } from './options.js'

/** @import { Context } from './store.js' */

/** @param {Context} context @param {number} index @param {any} options */
export function verifyIndex({ engine, queue }, index, options) {
  const progress = progressOf(options, 'verify()')
  queue.flush()
  const status = engine.long(progress, (call, on) => call.index_verify(index, on))
  const { report, error } = engine.reported(status)
  if (error !== null) throw Object.assign(error, { report: camelCase(report) })
  return camelCase(report)
}

/** @param {Context} context @param {number} index @param {any} options */
export function rebuildIndex({ engine, queue }, index, options) {
  const progress = progressOf(options, 'rebuild()')
  queue.flush()
  engine.module.check(engine.long(progress, (call, on) => call.index_rebuild(index, on)))
}

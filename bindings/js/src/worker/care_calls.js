// care_calls.js: what a leader does for a client with the database as a whole.

import { STATUS } from '../abi.js'
import { statusError } from '../errors.js'

/** @param {import('../engine.js').Engine} engine @param {string} what @param {any} options
 * @param {((done: number, total: number) => void) | undefined} progress */
export function careFor(engine, what, options, progress) {
  switch (what) {
    case 'stats':
      return engine.stats()
    case 'keyspaces':
      return engine.keyspaces()
    case 'dropKeyspace':
      return drop(engine, options.name)
    case 'sync':
      return engine.sync()
    case 'flush':
      return engine.flush()
    case 'compact':
      return engine.compact(progress)
    case 'verify': {
      const { report, error } = engine.verify(progress)
      if (error !== null) throw Object.assign(error, { report })
      return report
    }
    default:
      throw statusError(STATUS.UNSUPPORTED, `this leader does not know ${what}(): reload all tabs of the page`)
  }
}

/** Nested ones too. @param {import('../engine.js').Engine} engine @param {string} name */
function drop(engine, name) {
  for (const nested of engine.keyspaces()) if (nested.startsWith(`${name}/`)) engine.dropKeyspace(nested)
  return engine.dropKeyspace(name)
}

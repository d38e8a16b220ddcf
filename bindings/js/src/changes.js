// changes.js: changes as the stage takes them, made of what an application passes. Encoding runs code of the
// application (toJSON, encoders, getters), which may read and write the database; so all of it happens before the
// first byte is staged.

import * as abi from './abi.js'
import { DatabaseError, checkOptions, describe, suggestion } from './errors.js'
import { boundsOf } from './range.js'

/** @typedef {import('./store.js').Context} Context */
/** @typedef {{ kind: number, keyspace: number, key: string | Uint8Array, value: string | Uint8Array }} Change */

const OP_FIELDS = ['type', 'key', 'value', 'keyspace', 'keyEncoding', 'valueEncoding']
const OP_TYPES = ['put', 'del']

/** @param {Context} context @param {any} key @param {any} value @returns {Change} */
export function putOf({ keyspace, keyEncoding, valueEncoding }, key, value) {
  const keyBytes = keyEncoding.encode(key, 'key')
  return { kind: abi.ABI_OP_PUT, keyspace, key: keyBytes, value: valueEncoding.encode(value, 'value', key) }
}

/** @param {Context} context @param {any} key @returns {Change} */
export function delOf({ keyspace, keyEncoding }, key) {
  return { kind: abi.ABI_OP_DEL, keyspace, key: keyEncoding.encode(key, 'key'), value: '' }
}

/** The change that clears a span without a limit; none for one that is empty.
 * @param {number} keyspace @param {import('./range.js').Span} span @returns {Change[]} */
export function clearOf(keyspace, span) {
  const bounds = boundsOf(span)
  return bounds === null ? [] : [{ kind: abi.ABI_OP_CLEAR, keyspace, key: bounds.begin, value: bounds.end }]
}

/** The same failure, saying which change of a batch it is about. @param {unknown} error @param {number} index */
export function atChange(error, index) {
  const options = error instanceof Error && error.cause !== undefined ? { cause: error.cause } : {}
  if (error instanceof TypeError) return new TypeError(`Change ${index} of batch(): ${error.message}`, options)
  if (!(error instanceof DatabaseError)) return error
  const { code, message, retryable } = error
  return new DatabaseError(code, `change ${index} of batch(): ${message}`, { ...options, retryable })
}

/** @param {any} op @param {(op: any) => Context} contextOf @returns {Change} */
function changeOf(op, contextOf) {
  if (op === null || typeof op !== 'object') {
    throw new TypeError(`it must be { type: 'put', key, value } or { type: 'del', key }; got ${describe(op)}`)
  }
  const { type, keyspace } = op
  if (type !== 'put' && type !== 'del') throw wrongType(op)
  // A misspelt keyspace would write to the wrong place: count first, which is cheap.
  const fields = (type === 'put' ? 3 : 2) + (keyspace === undefined ? 0 : 1)
  if (Object.keys(op).length !== fields || (type === 'put' && !('value' in op)))
    checkOptions(op, OP_FIELDS, 'it', 'field')
  const context = contextOf(op)
  return type === 'put' ? putOf(context, op.key, op.value) : delOf(context, op.key)
}

/** @param {any} op */
function wrongType(op) {
  const { type } = op
  if (type === undefined) checkOptions(op, OP_FIELDS, 'it', 'field')
  const fix =
    typeof type !== 'string'
      ? ''
      : /^(delete|remove)$/i.test(type)
        ? " Did you mean 'del'?"
        : suggestion(type, OP_TYPES)
  return new TypeError(`its type must be 'put' or 'del'; got ${describe(type)}.${fix}`)
}

/** @param {any} ops @param {(op: any) => Context} contextOf @returns {Change[]} */
export function batchOf(ops, contextOf) {
  if (!Array.isArray(ops)) throw new TypeError(`batch() takes an array of changes; got ${describe(ops)}`)
  const changes = []
  for (let i = 0; i < ops.length; i++) {
    try {
      changes.push(changeOf(ops[i], contextOf))
    } catch (error) {
      throw atChange(error, i)
    }
  }
  return changes
}

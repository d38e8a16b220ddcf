// process_value.mjs: values that say what they are. process_value.h makes the same bytes and describes them.

export const VALUE_MIN = 48
const HEAD_MAX = 48
const ALPHABET = Buffer.from('abcdefghijklmnopqrstuvwxyz')

/** @param {string} id @param {number} size */
export function makeValue(id, size) {
  let hash = 2166136261
  for (let i = 0; i < id.length; i++) hash = Math.imul(hash ^ id.charCodeAt(i), 16777619) >>> 0
  hash >>>= 8
  const value = Buffer.alloc(size)
  const step = hash & 15
  for (let at = value.write(`${id} ${size} `, 'latin1'); at < size; at++) {
    value[at] = ALPHABET[(hash + at * 7 + (at >> 5) * step) % 26] ?? 0
  }
  return value
}

/** The id of a value, or BAD. @param {Uint8Array} bytes */
export function idOfValue(bytes) {
  const head = Buffer.from(bytes.subarray(0, HEAD_MAX)).toString('latin1')
  const id = head.slice(0, Math.max(0, head.indexOf(' ')))
  if (id === '' || bytes.length < VALUE_MIN) return 'BAD'
  return makeValue(id, bytes.length).equals(bytes) ? id : 'BAD'
}

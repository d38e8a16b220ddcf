// encodings.js: how keys and values become bytes and come back. An encoding makes a string (stored as UTF-8) or bytes
// of what an application passes, and gets back one of the three forms that module.js can read: text, Buffer or
// Uint8Array.

import { describe, suggestion } from './errors.js'

export const FORM_TEXT = 0
export const FORM_BUFFER = 1
export const FORM_VIEW = 2

/**
 * @typedef {object} Encoding
 * @property {string} name
 * @property {number} form one of FORM_*: what decode is given
 * @property {(value: any, what: string) => string | Uint8Array} encode `what` is 'key' or 'value', for messages
 * @property {((raw: any) => any) | null} decode null = the form is the value
 */

/** @param {unknown} value @param {string} what */
function encodeText(value, what) {
  if (typeof value === 'string') return value
  if (value === undefined) throw missing(what)
  const fix =
    what === 'key'
      ? "pass String(key), or open the keyspace with { keyEncoding: 'buffer' } for bytes"
      : "pass a string, or open the database or keyspace with { valueEncoding: 'json' } (or 'buffer' for bytes)"
  throw new TypeError(`A ${what} must be a string with the encoding 'utf8'; got ${describe(value)}: ${fix}`)
}

/** @param {string} what */
function missing(what) {
  if (what === 'key') return new TypeError('A key must not be undefined: pass the key to look for')
  return new TypeError('A value must not be undefined: call del(key) to remove a key, or store null as JSON')
}

/** @param {unknown} value @param {string} what */
function encodeJson(value, what) {
  if (value === undefined) throw missing(what)
  const text = JSON.stringify(value)
  if (text === undefined) throw new TypeError(`A ${what} must be something that JSON can hold; got ${describe(value)}`)
  return text
}

/** @param {unknown} value @param {string} what */
function encodeBytes(value, what) {
  if (value instanceof Uint8Array) return value
  if (typeof value === 'string') return value
  if (value === undefined) throw missing(what)
  if (ArrayBuffer.isView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength)
  if (value instanceof ArrayBuffer) return new Uint8Array(value)
  throw new TypeError(
    `A ${what} must be a Uint8Array (or a string, taken as UTF-8) with a bytes encoding; got ${describe(value)}`,
  )
}

/** @type {Readonly<Record<string, Encoding>>} */
const ENCODINGS = Object.freeze({
  utf8: { name: 'utf8', form: FORM_TEXT, encode: encodeText, decode: null },
  json: { name: 'json', form: FORM_TEXT, encode: encodeJson, decode: JSON.parse },
  buffer: { name: 'buffer', form: FORM_BUFFER, encode: encodeBytes, decode: null },
  view: { name: 'view', form: FORM_VIEW, encode: encodeBytes, decode: null },
})

/**
 * The encoding for an option: a name, or { name, encode, decode, format } where format says what decode gets ('utf8'
 * = a string, 'view' or 'buffer' = bytes) and encode returns a string or a Uint8Array.
 * @param {unknown} option
 * @param {string} where 'keyEncoding' or 'valueEncoding'
 * @returns {Encoding}
 */
export function encodingOf(option, where) {
  if (option === undefined) return /** @type {Encoding} */ (ENCODINGS['utf8'])
  if (typeof option === 'string') {
    const known = ENCODINGS[option]
    if (known !== undefined && Object.hasOwn(ENCODINGS, option)) return known
    throw new TypeError(`There is no ${where} '${option}'.${suggestion(option, Object.keys(ENCODINGS))}`)
  }
  const custom = /** @type {any} */ (option)
  if (typeof custom?.encode !== 'function' || typeof custom?.decode !== 'function') {
    throw new TypeError(
      `${where} must be 'utf8', 'json', 'buffer', 'view' or { name, format, encode, decode }; got ${describe(option)}`,
    )
  }
  const format = custom.format ?? 'view'
  if (!['utf8', 'view', 'buffer'].includes(format)) {
    throw new TypeError(`The format of ${where} must be 'utf8', 'view' or 'buffer'; got ${describe(format)}`)
  }
  const form = format === 'utf8' ? FORM_TEXT : format === 'buffer' ? FORM_BUFFER : FORM_VIEW
  return {
    name: String(custom.name ?? 'custom'),
    form,
    encode: (value, what) => {
      if (value === undefined) throw missing(what)
      return encodeBytes(custom.encode(value), what)
    },
    decode: (raw) => custom.decode(raw),
  }
}

/** UTF-8 has no form for half a pair; writing one would silently store something else. @param {string} text */
export function refuseLoneSurrogates(text) {
  if (text.isWellFormed ? text.isWellFormed() : !/\p{Surrogate}/u.test(text)) return
  throw new TypeError(
    "A string with half of a surrogate pair cannot be stored as UTF-8: use the encoding 'json', or 'buffer' for bytes",
  )
}

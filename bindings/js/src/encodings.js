// encodings.js: how keys and values become bytes and come back. An encoding makes a string (stored as UTF-8) or bytes
// of what an application passes, and gets back one of the three forms that module.js can read: text, Buffer or
// Uint8Array.

import { DatabaseError, describe, suggestion } from './errors.js'
import { decodeTuple, encodeTuple } from './tuple.js'

export const FORM_TEXT = 0
export const FORM_BUFFER = 1
export const FORM_VIEW = 2

/**
 * @typedef {object} Encoding
 * @property {string} name
 * @property {number} form one of FORM_*: what decode is given
 * @property {(value: any, what: string, key?: any) => string | Uint8Array} encode `what` is 'key' or 'value', and
 *   `key` the one of the value, for messages
 * @property {((raw: any, what: string, key?: any) => any) | null} decode null = the form is the value
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
  if (what === 'key') return new TypeError('A key must not be undefined: pass a string, or what the keyEncoding takes')
  return new TypeError('A value must not be undefined: call del(key) to remove a key, or store null as JSON')
}

/** A failure of an encoding, which is mostly code of the application. What the database said itself stays as it is.
 * @param {unknown} error @param {string} name of the encoding @param {string} what @param {any} key
 * @param {'encode' | 'decode'} task */
function failed(error, name, what, key, task) {
  if (error instanceof DatabaseError) return error
  const whose = what === 'value' && key !== undefined ? `The value of the key ${keyText(key)}` : `A ${what}`
  const reason = error instanceof Error ? error.message : String(error)
  const text =
    task === 'encode'
      ? `${whose} cannot be stored with the encoding '${name}': ${reason}`
      : `${whose} is not what the encoding '${name}' reads: ${reason}. Use the encoding that it was written with`
  return new TypeError(text, { cause: error })
}

/** @param {any} key */
function keyText(key) {
  if (typeof key === 'string') return `'${key.length > 40 ? key.slice(0, 40) + '…' : key}'`
  if (!(key instanceof Uint8Array)) return `(${describe(key)})`
  const bytes = Array.from(key.subarray(0, 20), (byte) => byte.toString(16).padStart(2, '0'))
  return `0x${bytes.join('')}${key.length > 20 ? '…' : ''}`
}

/** @param {unknown} value @param {string} what @param {any} [key] */
function encodeJson(value, what, key) {
  if (value === undefined) throw missing(what)
  let text
  try {
    text = JSON.stringify(value)
  } catch (error) {
    throw failed(error, 'json', what, key, 'encode')
  }
  if (text === undefined) throw new TypeError(`A ${what} must be something that JSON can hold; got ${describe(value)}`)
  return text
}

/** @param {string} raw @param {string} what @param {any} [key] */
function decodeJson(raw, what, key) {
  try {
    return JSON.parse(raw)
  } catch (error) {
    throw failed(error, 'json', what, key, 'decode')
  }
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

/** @type {Encoding} */
const TUPLE = {
  name: 'tuple',
  form: FORM_VIEW,
  encode: (value, what, key) => {
    if (value === undefined) throw missing(what)
    try {
      return encodeTuple(value)
    } catch (error) {
      throw failed(error, 'tuple', what, key, 'encode')
    }
  },
  decode: (raw, what, key) => {
    try {
      return decodeTuple(raw)
    } catch (error) {
      throw failed(error, 'tuple', what, key, 'decode')
    }
  },
}

/** @type {Readonly<Record<string, Encoding>>} */
const ENCODINGS = Object.freeze({
  utf8: { name: 'utf8', form: FORM_TEXT, encode: encodeText, decode: null },
  json: { name: 'json', form: FORM_TEXT, encode: encodeJson, decode: decodeJson },
  buffer: { name: 'buffer', form: FORM_BUFFER, encode: encodeBytes, decode: null },
  view: { name: 'view', form: FORM_VIEW, encode: encodeBytes, decode: null },
  tuple: TUPLE,
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
      `${where} must be 'utf8', 'json', 'buffer', 'view', 'tuple' or { name, format, encode, decode }; ` +
        `got ${describe(option)}`,
    )
  }
  const format = custom.format ?? 'view'
  if (!['utf8', 'view', 'buffer'].includes(format)) {
    throw new TypeError(`The format of ${where} must be 'utf8', 'view' or 'buffer'; got ${describe(format)}`)
  }
  const form = format === 'utf8' ? FORM_TEXT : format === 'buffer' ? FORM_BUFFER : FORM_VIEW
  const name = String(custom.name ?? 'custom')
  return {
    name,
    form,
    encode: (value, what, key) => {
      if (value === undefined) throw missing(what)
      let made
      try {
        made = custom.encode(value)
      } catch (error) {
        throw failed(error, name, what, key, 'encode')
      }
      const bytes = encodeBytes(made, what)
      // An encoder may use one array again and again, and a batch encodes all of its changes before it stages any.
      return typeof bytes === 'string' ? bytes : bytes.slice()
    },
    decode: (raw, what, key) => {
      try {
        return custom.decode(raw)
      } catch (error) {
        throw failed(error, name, what, key, 'decode')
      }
    },
  }
}

/** UTF-8 has no form for half a pair; writing one would silently store something else. @param {string} text */
export function isWellFormed(text) {
  return text.isWellFormed ? text.isWellFormed() : !/\p{Surrogate}/u.test(text)
}

/** @param {string} text */
export function refuseLoneSurrogates(text) {
  if (isWellFormed(text)) return
  throw new TypeError(
    "A string with half of a surrogate pair cannot be stored as UTF-8: use the encoding 'json', or 'buffer' for bytes",
  )
}

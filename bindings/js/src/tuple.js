// tuple.js: the encoding 'tuple': arrays as keys whose bytes have the order of the arrays. docs/FORMAT.md, "Tuples",
// says what the bytes are.
//
// Every element ends by itself, so the bytes of [a] begin those of [a, b]; no tag is 00, which ends a nested array, or
// FF, which follows a zero byte inside of text and bytes.

import { isWellFormed } from './encodings.js'
import { describe } from './errors.js'

const END = 0x00
const NULL = 0x10
const FALSE = 0x20
const TRUE = 0x21
const NUMBER = 0x30
const DATE = 0x38
const TEXT = 0x40
const BLOB = 0x50
const ARRAY = 0x60
const ESCAPE = 0xff
const DEPTH_MAX = 32
const SHORT = 32
const KEEP = 4096 // of the room below, between tuples
const WIDE = 2 ** 53 // from here on a double may stand for several integers, and a correction follows
const CORRECTION = 0x8000
const LEAST = -(2n ** 63n)
const GREATEST = 2n ** 64n - 1n

const utf8 = new TextEncoder()
const fromUtf8 = new TextDecoder('utf-8', { ignoreBOM: true, fatal: true })

const eight = new DataView(new ArrayBuffer(8))
const eightBytes = new Uint8Array(eight.buffer)

/** Where a tuple is made, before it is copied to its size. */
let room = new Uint8Array(KEEP)
let view = new DataView(room.buffer)
let used = 0

/** @param {number} size of what comes */
function reserve(size) {
  if (used + size <= room.length) return
  const wider = new Uint8Array(Math.max(2 * room.length, used + size))
  wider.set(room.subarray(0, used))
  room = wider
  view = new DataView(room.buffer)
}

/** A double as eight bytes in its order: all bits of a negative one are turned, of others the first one.
 * @param {number} number */
function putDouble(number) {
  view.setFloat64(used, number + 0) // -0 becomes 0
  const high = view.getUint32(used)
  const negative = high >>> 31 === 1
  view.setUint32(used, (negative ? ~high : high ^ 0x80000000) >>> 0)
  if (negative) view.setUint32(used + 4, ~view.getUint32(used + 4) >>> 0)
  used += 8
}

/** @param {number | bigint} value */
function putNumber(value) {
  if (Number.isNaN(value)) throw new TypeError('NaN has no order')
  if (typeof value === 'bigint' && (value < LEAST || value > GREATEST)) {
    throw new TypeError(`a bigint must be from -2^63 to 2^64 - 1; got ${value}`)
  }
  const double = Number(value)
  room[used++] = NUMBER
  putDouble(double)
  if (Math.abs(double) < WIDE) return
  const more = typeof value === 'bigint' ? Number(value - BigInt(double)) : 0
  view.setUint16(used, CORRECTION + more)
  used += 2
}

/** @param {Uint8Array} bytes with a zero byte behind, and each inside marked */
function putEscaped(bytes) {
  reserve(2 * bytes.length + 32)
  for (let i = 0; i < bytes.length; i++) {
    const byte = /** @type {number} */ (bytes[i])
    room[used++] = byte
    if (byte === 0) room[used++] = ESCAPE
  }
  room[used++] = 0
}

/** @param {string} text */
function putText(text) {
  room[used++] = TEXT
  const start = used
  const size = text.length
  reserve(size + 32)
  for (let i = 0; i < size; i++) {
    const c = text.charCodeAt(i)
    if (c === 0 || c > 127) {
      used = start
      if (!isWellFormed(text)) throw new TypeError('it has half of a surrogate pair')
      return putEscaped(utf8.encode(text))
    }
    room[used++] = c
  }
  room[used++] = 0
}

/** @param {any} value @param {number} depth */
function putElement(value, depth) {
  reserve(32)
  if (typeof value === 'string') return putText(value)
  if (typeof value === 'number' || typeof value === 'bigint') return putNumber(value)
  if (value === null) room[used++] = NULL
  else if (typeof value === 'boolean') room[used++] = value ? TRUE : FALSE
  else if (value instanceof Uint8Array) {
    room[used++] = BLOB
    putEscaped(value)
  } else if (value instanceof Date) {
    if (Number.isNaN(value.getTime())) throw new TypeError('an invalid Date has no order')
    room[used++] = DATE
    putDouble(value.getTime())
  } else if (Array.isArray(value)) {
    if (depth === DEPTH_MAX) throw new TypeError(`its arrays may be nested ${DEPTH_MAX} deep`)
    room[used++] = ARRAY
    for (const element of value) putElement(element, depth + 1)
    reserve(1)
    room[used++] = END
  } else {
    throw new TypeError(`a tuple cannot hold ${describe(value)}`)
  }
}

/** Getters of an application's arrays may encode tuples of their own, so a tuple begins where the last one stands.
 * @param {any} tuple */
export function encodeTuple(tuple) {
  if (!Array.isArray(tuple)) throw new TypeError(`it must be an array; got ${describe(tuple)}`)
  const start = used
  try {
    for (const element of tuple) putElement(element, 0)
    return room.slice(start, used)
  } finally {
    used = start
    if (start === 0 && room.length > KEEP) {
      room = new Uint8Array(KEEP)
      view = new DataView(room.buffer)
    }
  }
}

/** A walk over the bytes of a tuple. */
class TupleReader {
  #bytes
  #at = 0

  /** @param {Uint8Array} bytes */
  constructor(bytes) {
    this.#bytes = bytes
  }

  get done() {
    return this.#at === this.#bytes.length
  }

  /** @param {string} reason @returns {never} */
  #fail(reason) {
    throw new TypeError(`its byte ${this.#at} ${reason}`)
  }

  /** @param {number} size @returns {number} where they begin */
  #take(size) {
    const at = this.#at
    if (size > this.#bytes.length - at) this.#fail('is behind its end')
    this.#at += size
    return at
  }

  #double() {
    const at = this.#take(8)
    const bytes = this.#bytes
    const turned = /** @type {number} */ (bytes[at]) < 128 ? 0xff : 0
    eightBytes[0] = /** @type {number} */ (bytes[at]) ^ (turned | 0x80)
    for (let i = 1; i < 8; i++) eightBytes[i] = /** @type {number} */ (bytes[at + i]) ^ turned
    return eight.getFloat64(0)
  }

  /** An integer that a double may not hold comes back as a bigint, others as numbers. */
  #number() {
    const double = this.#double()
    if (Math.abs(double) < WIDE) return double
    const at = this.#take(2)
    const more =
      256 * /** @type {number} */ (this.#bytes[at]) + /** @type {number} */ (this.#bytes[at + 1]) - CORRECTION
    if (!Number.isFinite(double)) return double
    const whole = BigInt(double) + BigInt(more)
    return whole < LEAST || whole > GREATEST ? double : whole
  }

  /** Short plain text is read faster by hand. */
  #text() {
    const bytes = this.#bytes
    let text = ''
    for (let at = this.#at; at < this.#at + SHORT; at++) {
      const byte = /** @type {number} */ (bytes[at])
      if (byte > 0 && byte < 128) text += String.fromCharCode(byte)
      else if (byte !== 0 || bytes[at + 1] === ESCAPE) break
      else {
        this.#at = at + 1
        return text
      }
    }
    return fromUtf8.decode(this.#escaped())
  }

  #escaped() {
    const start = this.#at
    let zeros = 0
    for (;;) {
      const at = this.#take(1)
      if (this.#bytes[at] !== 0) continue
      if (this.#bytes[at + 1] !== ESCAPE) break
      this.#at++
      zeros++
    }
    const raw = this.#bytes.subarray(start, this.#at - 1)
    if (zeros === 0) return raw
    return raw.filter((_, i) => i === 0 || raw[i - 1] !== 0)
  }

  /** @param {number} [depth] @returns {any} */
  element(depth = 0) {
    const tag = this.#bytes[this.#take(1)]
    if (tag === TEXT) return this.#text()
    if (tag === NUMBER) return this.#number()
    if (tag === NULL) return null
    if (tag === FALSE || tag === TRUE) return tag === TRUE
    if (tag === BLOB) return this.#escaped().slice()
    if (tag === DATE) return new Date(this.#double())
    if (tag !== ARRAY || depth === DEPTH_MAX) this.#fail(`is ${tag}, which begins no element`)
    const elements = []
    while (this.#bytes[this.#at] !== END) elements.push(this.element(depth + 1))
    this.#at++
    return elements
  }
}

/** @param {Uint8Array} bytes */
export function decodeTuple(bytes) {
  const reader = new TupleReader(bytes)
  const tuple = []
  while (!reader.done) tuple.push(reader.element())
  return tuple
}

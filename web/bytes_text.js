// bytes_text.js: keys and values are bytes; the page shows them as text where they are text, else as hexadecimal, and
// JSON laid out. Laying out works on the text itself: numbers that JavaScript cannot hold stay as they are.

const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const encoder = new TextEncoder()

/** Control characters, which no text field shows; a value may have tabs and line ends. */
// eslint-disable-next-line no-control-regex
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/
// A text field would turn \r\n into \n, so such a value is edited as bytes.
// eslint-disable-next-line no-control-regex
const CONTROL_IN_VALUE = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/

const ALL_CONTROL = new RegExp(CONTROL, 'g')

/** @typedef {'text' | 'json' | 'hex'} Format */

/** @param {Uint8Array} a @param {Uint8Array} b */
export function compareBytes(a, b) {
  const length = Math.min(a.length, b.length)
  for (let i = 0; i < length; i++) {
    const difference = /** @type {number} */ (a[i]) - /** @type {number} */ (b[i])
    if (difference !== 0) return difference
  }
  return a.length - b.length
}

/** @param {Uint8Array} bytes @param {Uint8Array} prefix */
export const hasPrefix = (bytes, prefix) =>
  bytes.length >= prefix.length && compareBytes(bytes.subarray(0, prefix.length), prefix) === 0

/** @param {string} text */
export const toBytes = (text) => encoder.encode(text)

/** The text that these bytes are, or null. @param {Uint8Array} bytes */
export function textOf(bytes) {
  try {
    return strict.decode(bytes)
  } catch {
    return null
  }
}

/** @param {Uint8Array} bytes @param {number} [perLine] */
export function hexOf(bytes, perLine = Infinity) {
  let text = ''
  for (let i = 0; i < bytes.length; i++) {
    const gap = i === 0 ? '' : i % perLine === 0 ? '\n' : ' '
    text += gap + /** @type {number} */ (bytes[i]).toString(16).padStart(2, '0')
  }
  return text
}

/** @param {string} text digits in pairs; white space and 0x do not matter @returns {Uint8Array} */
export function bytesOfHex(text) {
  const digits = text.replace(/0x|[\s,:]/gi, '')
  const wrong = /[^0-9a-f]/i.exec(digits)
  if (wrong !== null) throw new SyntaxError(`“${wrong[0]}” is not a hexadecimal digit (0–9, a–f)`)
  if (digits.length % 2 === 1) throw new SyntaxError('A byte takes two digits, and the last one has only one')
  return Uint8Array.from({ length: digits.length / 2 }, (_, i) => parseInt(digits.slice(2 * i, 2 * i + 2), 16))
}

/** How a key is shown. @param {Uint8Array} key */
export function showKey(key) {
  const text = textOf(key)
  if (text === '') return { text: '(empty key)', binary: true }
  if (text !== null && !CONTROL.test(text)) return { text, binary: false }
  return { text: `0x ${hexOf(key)}`, binary: true }
}

/** The format in which a value is best looked at. @param {Uint8Array} value @returns {Format} */
export function formatOf(value) {
  const text = textOf(value)
  if (text === null || CONTROL_IN_VALUE.test(text)) return 'hex'
  return /^\s*[[{]/.test(text) && problemOfJson(text) === null ? 'json' : 'text'
}

/** A line of a value, for lists. @param {string} text @param {number} [length] */
export function preview(text, length = 120) {
  const line = text.slice(0, length + 1).replace(ALL_CONTROL, ' ')
  return text.length > length ? `${line.slice(0, length)}…` : line
}

/** What is wrong with it, or null. @param {string} text */
export function problemOfJson(text) {
  try {
    JSON.parse(text)
    return null
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

const TOKEN = /"(?:[^"\\]|\\.)*"|[[\]{},:]|[^\s[\]{},:"]+/g

/** Valid JSON without the white space between its tokens. @param {string} text */
export const compactJson = (text) => (text.match(TOKEN) ?? []).join('')

/** Valid JSON laid out, two spaces a level. @param {string} text */
export function prettyJson(text) {
  const tokens = text.match(TOKEN) ?? []
  let out = ''
  let depth = 0
  tokens.forEach((token, i) => {
    const opens = token === '{' || token === '['
    const closes = token === '}' || token === ']'
    const before = tokens[i - 1]
    if (closes) depth--
    if (before !== undefined) {
      const hollow = closes && (before === '{' || before === '[')
      if (!hollow && (closes || before === ',' || before === '{' || before === '[')) out += `\n${'  '.repeat(depth)}`
      else if (before === ':') out += ' '
    }
    out += token
    if (opens) depth++
  })
  return out
}

/** The bytes as text of a format. @param {Uint8Array} value @param {Format} format */
export function showValue(value, format) {
  if (format === 'hex') return hexOf(value, 16)
  const text = textOf(value) ?? new TextDecoder().decode(value)
  return format === 'json' && problemOfJson(text) === null ? prettyJson(text) : text
}

/** Text of a format as bytes; throws a SyntaxError that says what is wrong. @param {string} text
 * @param {Format} format */
export function readValue(text, format) {
  if (format === 'hex') return bytesOfHex(text)
  if (format === 'text') return toBytes(text)
  const problem = problemOfJson(text)
  if (problem !== null) throw new SyntaxError(problem)
  return toBytes(compactJson(text))
}

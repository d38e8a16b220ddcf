// node_parts.js: what the shared tests import of Node. Some of it is easily had in a browser; a test that calls
// anything else ends there, and is counted as one that needs Node.

export class NeedsNode extends Error {
  name = 'NeedsNode'
}

function needed(name) {
  const refuse = () => {
    throw new NeedsNode(`it needs ${name} of Node`)
  }
  return new Proxy(refuse, { get: refuse, construct: refuse })
}

export const existsSync = () => false
export const mkdtempSync = needed('mkdtempSync')
export const tmpdir = needed('tmpdir')
export const [mkdirSync, readFileSync, readdirSync, writeFileSync, statSync, rmSync] = [
  ...['mkdirSync', 'readFileSync', 'readdirSync', 'writeFileSync', 'statSync', 'rmSync'].map(needed),
]
export const [createReadStream, createWriteStream, linkSync, symlinkSync, renameSync, utimesSync] = [
  ...['createReadStream', 'createWriteStream', 'linkSync', 'symlinkSync', 'renameSync', 'utimesSync'].map(needed),
]
export const [execFile, execFileSync, spawn, spawnSync, createHash, Readable, Writable, Worker] = [
  ...['execFile', 'execFileSync', 'spawn', 'spawnSync', 'createHash', 'Readable', 'Writable', 'Worker'].map(needed),
]
export const inspect = needed('inspect')
export const join = (...parts) => parts.join('/')
export const fileURLToPath = (url) => new URL(url).pathname

export const setTimeout = (ms) => new Promise((resolve) => globalThis.setTimeout(resolve, ms))
const channel = new MessageChannel()
const due = []
channel.port1.onmessage = () => due.shift()?.()
export function setImmediate(run) {
  due.push(run)
  channel.port2.postMessage(null)
}

/** `env` has what the harness was started with. */
export const process = new Proxy(
  { env: globalThis.varveEnvironment ?? {}, pid: 1, platform: 'browser' },
  { get: (object, name) => (name in object ? object[name] : needed(`process.${String(name)}`)()) },
)

const encoder = new TextEncoder()

/** Bytes that print as text, without which nothing is a Buffer. */
export class Buffer extends Uint8Array {
  static from(data, encoding) {
    const bytes = typeof data === 'string' ? this.#ofText(data, encoding) : new Uint8Array(data)
    return new Buffer(bytes)
  }
  static #ofText(text, encoding) {
    if (encoding === 'hex') return Uint8Array.from(text.match(/../g) ?? [], (digits) => parseInt(digits, 16))
    if (encoding === 'latin1') return Uint8Array.from(text, (c) => c.charCodeAt(0))
    return encoder.encode(text)
  }
  static alloc(size, fill = 0) {
    return new Buffer(size).fill(typeof fill === 'string' ? fill.charCodeAt(0) : fill)
  }
  static concat(list) {
    return Buffer.from(list.flatMap((bytes) => [...bytes]))
  }
  static compare(a, b) {
    for (let i = 0; i < Math.min(a.length, b.length); i++) if (a[i] !== b[i]) return a[i] < b[i] ? -1 : 1
    return Math.sign(a.length - b.length)
  }
  static isBuffer(value) {
    return value instanceof Uint8Array
  }
  static byteLength(text) {
    return encoder.encode(text).length
  }
  fill(value, ...where) {
    return super.fill(typeof value === 'string' ? value.charCodeAt(0) : value, ...where)
  }
  toString(encoding) {
    if (encoding === 'hex') return Array.from(this, (byte) => byte.toString(16).padStart(2, '0')).join('')
    return new TextDecoder().decode(this)
  }
}

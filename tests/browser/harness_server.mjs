// harness_server.mjs: serves the tree to the browsers under test, on the loopback and with no header that a plain file
// server would not send, and talks with their pages over WebSockets: a call goes to a page, its result comes back.
//
// Test files that Node runs as well are served with what they import of Node replaced; see NODE_MODULES.

import { randomUUID } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { extname, join, normalize } from 'node:path'
import { WebSocketServer } from 'ws'

import { root } from '../../tools/setup.mjs'

const SERVED = /^\/(bindings|dist|tests|web|docs|node_modules)\//
const TYPES = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.mjs': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.json': 'application/json',
  '.wasm': 'application/wasm',
  '.png': 'image/png',
  '.svg': 'image/svg+xml',
}
const CALL_MS = 60_000
const READY_MS = 30_000

/** What stands in for the modules of Node, and for the files of tests/js that need it. */
const SHARED = /^\/tests\/js\/\w+\.test\.js$/
const NODE_MODULES = [
  [/'node:assert\/strict'/, "'../browser/assert.js'"],
  [/'node:test'/, "'../browser/test.js'"],
  [/'node:\w[\w/]*'/g, "'../browser/node_parts.js'"],
  [/'\.\/support\.js'/, "'../browser/browser_support.js'"],
  [/'(\.\.\/\.\.\/bindings\/js\/index\.js|varve)'/, "'../../bindings/js/browser.js'"],
]
const NODE_GLOBALS = "import { Buffer, process, setImmediate } from '../browser/node_parts.js';"

function withoutNode(text) {
  let served = text
  for (const [what, instead] of NODE_MODULES) served = served.replace(what, instead)
  return `${NODE_GLOBALS}${served}`
}

/** One page under test, across its reloads. */
class Session {
  id = randomUUID()
  /** What landed in the console as an error or a warning. @type {string[]} */
  errors = []
  agent = ''
  #socket = null
  #calls = new Map()
  #next = 1
  #ready = withResolvers()

  /** The address that its page is to be opened at. */
  constructor(origin, page = 'tests/browser/harness_page.html') {
    this.url = `${origin}/${page.replace(/^\//, '')}?session=${this.id}`
  }

  attach(socket) {
    this.#socket = socket
    socket.on('message', (data) => this.#receive(JSON.parse(String(data))))
    socket.on('close', () => {
      if (this.#socket !== socket) return
      this.#socket = null
      this.#ready = withResolvers()
      this.#failAll('the page has gone')
    })
  }

  #failAll(reason) {
    for (const call of this.#calls.values()) call.reject(new Error(`${call.what}: ${reason}`))
    this.#calls.clear()
  }

  #receive(message) {
    if (message.event === 'ready') {
      this.agent = message.data.agent
      return this.#ready.resolve()
    }
    if (message.event === 'console') return void this.errors.push(message.data)
    const call = this.#calls.get(message.id)
    if (call === undefined) return
    if (message.event !== undefined) return call.on?.(message.event, message.data)
    this.#calls.delete(message.id)
    if (message.error === undefined) call.resolve(message.result)
    else call.reject(Object.assign(new Error(message.error.text), { remote: message.error, code: message.error.code }))
  }

  /** Resolves when the page listens. A page that is about to reload listens until it has gone: see expectReload. */
  ready() {
    return deadline(this.#ready.promise, READY_MS, 'the page does not come up')
  }

  expectReload() {
    this.#socket?.close()
    this.#socket = null
    this.#ready = withResolvers()
    this.#failAll('the page was reloaded')
  }

  /** Runs an exported function of a module in the page, or in its worker of a name. @param {string} module
   * @param {string} name @param {any} [args] @param {{ worker?: string, timeout?: number, on?: Function }} [options] */
  async call(module, name, args = {}, { worker, timeout = CALL_MS, on } = {}) {
    await this.ready()
    return this.#send({ module, name, args, worker }, `${name}() of ${module}`, timeout, on)
  }

  /** Ends a worker of the page without asking it. */
  async endWorker(name) {
    await this.ready()
    return this.#send({ endWorker: name }, `end of ${name}`, CALL_MS)
  }

  #send(message, what, timeout, on) {
    const id = this.#next++
    const promise = new Promise((resolve, reject) => this.#calls.set(id, { resolve, reject, on, what }))
    this.#socket.send(JSON.stringify({ id, ...message }))
    return deadline(promise, timeout, what)
  }
}

function withResolvers() {
  const all = {}
  all.promise = new Promise((resolve, reject) => Object.assign(all, { resolve, reject }))
  all.promise.catch(() => {})
  return all
}

/** @template T @param {Promise<T>} promise @param {number} ms @param {string} what @returns {Promise<T>} */
export function deadline(promise, ms, what) {
  let timer
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: no answer within ${ms} ms`)), ms)
  })
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}

/** What pages sent, and what they may fetch, by name. @type {Map<string, Buffer>} */
const kept = new Map()

/** Files that pages hand over to the tests, or the other way round. */
async function exchange(name, request, response) {
  if (request.method === 'POST') {
    const pieces = []
    for await (const piece of request) pieces.push(piece)
    kept.set(name, Buffer.concat(pieces))
  }
  response.writeHead(kept.has(name) ? 200 : 404, { 'content-type': 'application/octet-stream' })
  response.end(request.method === 'POST' ? '' : kept.get(name))
}

async function answer(request, response) {
  const { pathname } = new URL(request.url, 'http://localhost')
  const path = normalize(decodeURIComponent(pathname))
  const [, first, name] = path.split('/')
  if (first === 'exchange') return exchange(name, request, response)
  try {
    if (!SERVED.test(path)) throw new Error('not served')
    let body = await readFile(join(root, path))
    if (SHARED.test(path)) body = Buffer.from(withoutNode(String(body)))
    response.writeHead(200, {
      'content-type': TYPES[extname(path)] ?? 'application/octet-stream',
      'cache-control': 'no-store',
    })
    response.end(body)
  } catch {
    response.writeHead(404, { 'content-type': 'text/plain' })
    response.end(`There is no ${path}`)
  }
}

/** Starts the server. @returns {Promise<{ origin: string, session: (page?: string) => Session, close: () => void }>} */
export async function startServer(port = 0) {
  const sessions = new Map()
  const server = createServer(answer)
  const sockets = new WebSocketServer({ server, path: '/remote', maxPayload: 1 << 30 })
  sockets.on('connection', (socket, request) => {
    const id = new URL(request.url, 'http://localhost').searchParams.get('session')
    const session = sessions.get(id)
    if (session === undefined) socket.close()
    else session.attach(socket)
  })
  await new Promise((resolve) => server.listen(port, '127.0.0.1', resolve))
  const origin = `http://127.0.0.1:${server.address().port}`
  return {
    origin,
    port: server.address().port,
    /** What pages find at, and send to, exchange/NAME. */
    kept,
    session: (page) => {
      const session = new Session(origin, page)
      sessions.set(session.id, session)
      return session
    },
    close: () => {
      for (const client of sockets.clients) client.terminate()
      server.close()
      server.closeAllConnections()
    },
  }
}

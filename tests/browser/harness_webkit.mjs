// harness_webkit.mjs: WebKitGTK's own small browser, under Xvfb, driven by WebDriver over HTTP. Under automation it
// forgets what it stored when it ends; `plain` starts it without, at one page, and it keeps its profile.

import { spawn } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'

import { miniBrowserPath } from '../../tools/browsers.mjs'
import { deadline } from './harness_server.mjs'

const START_MS = 20_000

let screen = null

/** One X server for all, which ends with this process. @returns {Promise<string>} its name */
function display() {
  screen ??= new Promise((resolve, reject) => {
    const xvfb = spawn('Xvfb', ['-displayfd', '3', '-screen', '0', '1280x1024x24', '-nolisten', 'tcp'], {
      stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
    })
    xvfb.on('error', reject)
    xvfb.on('exit', (code) => reject(new Error(`Xvfb ended with ${code}`)))
    process.on('exit', () => xvfb.kill())
    xvfb.unref()
    xvfb.stdio[3].unref()
    xvfb.stdio[3].once('data', (data) => resolve(`:${String(data).trim()}`))
  })
  return screen
}

/** @returns {Promise<number>} */
function freePort() {
  return new Promise((resolve) => {
    const server = createServer()
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address()
      server.close(() => resolve(port))
    })
  })
}

async function environment(profile) {
  const place = (name) => {
    const path = join(profile, name)
    mkdirSync(path, { recursive: true })
    return path
  }
  return {
    ...process.env,
    DISPLAY: await display(),
    GDK_BACKEND: 'x11',
    HOME: profile,
    XDG_DATA_HOME: place('data'),
    XDG_CACHE_HOME: place('cache'),
    XDG_CONFIG_HOME: place('config'),
    XDG_RUNTIME_DIR: place('run'),
    LIBGL_ALWAYS_SOFTWARE: '1',
    NO_AT_BRIDGE: '1',
    GSETTINGS_BACKEND: 'memory',
  }
}

/** The commands of WebDriver that are used here. */
class Driver {
  #base
  constructor(port) {
    this.#base = `http://127.0.0.1:${port}`
  }

  async request(method, path, body) {
    const response = await fetch(`${this.#base}${path === '' ? '' : `/${path}`}`, {
      method,
      body: body === undefined ? undefined : JSON.stringify(body),
      headers: { 'content-type': 'application/json' },
    })
    const { value } = await response.json()
    if (!response.ok) throw new Error(`${method} ${path}: ${value?.error}: ${value?.message}`)
    return value
  }

  async start(capabilities) {
    const until = Date.now() + START_MS
    for (;;) {
      try {
        await this.request('GET', 'status')
        break
      } catch (error) {
        if (Date.now() > until) throw error
        await new Promise((resolve) => setTimeout(resolve, 50))
      }
    }
    const value = await this.request('POST', 'session', { capabilities: { alwaysMatch: capabilities } })
    this.#base += `/session/${value.sessionId}`
    return value.capabilities
  }
}

class WebKitTab {
  #driver
  #handle
  #first
  /** @param {string} first the window that is always there */
  constructor(driver, handle, session, first) {
    this.#driver = driver
    this.#handle = handle
    this.#first = first
    this.session = session
  }

  async reload() {
    this.session.expectReload()
    await this.#driver.request('POST', 'window', { handle: this.#handle })
    await this.#driver.request('POST', 'url', { url: this.session.url })
    await this.session.ready()
  }

  async close() {
    await this.#driver.request('POST', 'window', { handle: this.#handle })
    await this.#driver.request('DELETE', 'window')
    await this.#driver.request('POST', 'window', { handle: this.#first })
  }
}

export async function launchWebKit({ server, profile, plain = false }) {
  if (plain) return launchPlain({ server, profile })
  const port = await freePort()
  const child = spawn('WebKitWebDriver', [`--port=${port}`], { stdio: 'ignore', env: await environment(profile) })
  const gone = new Promise((resolve) => child.on('exit', resolve))
  const driver = new Driver(port)
  const options = { binary: miniBrowserPath(), args: ['--automation'] }
  const { browserVersion } = await deadline(
    driver.start({ 'webkitgtk:browserOptions': options }),
    START_MS,
    'WebKitWebDriver does not start',
  )
  const first = await driver.request('GET', 'window')
  return {
    errors: [], // what the pages tell of is all there is
    version: browserVersion,
    async open(page) {
      const session = server.session(page)
      const { handle } = await driver.request('POST', 'window/new', { type: 'window' })
      await driver.request('POST', 'window', { handle })
      await driver.request('POST', 'url', { url: session.url })
      await session.ready()
      return new WebKitTab(driver, handle, session, first)
    },
    async close() {
      await driver.request('DELETE', '').catch(() => {})
      child.kill()
      await gone
    },
    ended: () => gone,
  }
}

/** The browser without automation, at one page. */
async function launchPlain({ server, profile }) {
  const env = await environment(profile)
  let child = null
  let gone = Promise.resolve()
  const start = (url) => {
    child = spawn(miniBrowserPath(), [url], { stdio: 'ignore', env })
    gone = new Promise((resolve) => child.on('exit', resolve))
  }
  return {
    errors: [],
    version: '',
    async open(page) {
      const session = server.session(page)
      start(session.url)
      await session.ready()
      return { session, close: async () => {} }
    },
    async close() {
      child?.kill()
      await gone
    },
    ended: () => gone,
  }
}

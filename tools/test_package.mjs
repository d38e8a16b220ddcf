#!/usr/bin/env node
// test_package.mjs: npm run test:package: the archive that npm would publish, installed into empty projects and used
// there: by Node (import, require, a worker thread), Bun and Deno, and by pages that Vite, webpack, esbuild and Rollup
// bundle, in Chromium. Then publint, are-the-types-wrong and Keyv's own tests.
//
//   npm run test:package                 all cells
//   npm run test:package -- vite bun     some of them

import { spawn, spawnSync } from 'node:child_process'
import { copyFileSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { extname, join } from 'node:path'

import { root, setUp } from './setup.mjs'

const HERE = join(root, 'tests/package')
const PROGRAMS = join(HERE, 'programs')
const CHROMIUM = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find((p) => existsSync(p))
const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.wasm': 'application/wasm' }

/** @typedef {{ work: string, project: string, archive: string }} Place */
/** @typedef {{ name: string, what: () => string, run: (place: Place) => Promise<string> }} Cell */

/** @param {string} command @param {string[]} args @param {string} cwd @param {NodeJS.ProcessEnv} [env]
 * @returns {Promise<string>} */
function output(command, args, cwd, env) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
    let text = ''
    child.stdout.on('data', (data) => (text += data))
    child.stderr.on('data', (data) => (text += data))
    child.on('error', reject)
    child.on('close', (code) =>
      code === 0 ? resolve(text) : reject(new Error(`${command} ${args.join(' ')}\n${text}`)),
    )
  })
}

/** @param {string} name of a package in tests/package */
function version(name) {
  return JSON.parse(readFileSync(join(HERE, 'node_modules', name, 'package.json'), 'utf8')).version
}

/** @param {string} name */
const bin = (name) => join(HERE, 'node_modules/.bin', name)

function install() {
  const lock = join(HERE, 'node_modules/.package-lock.json')
  if (!existsSync(lock)) {
    console.log('installing the packages of tests/package')
    const { status } = spawnSync('npm', ['ci', '--ignore-scripts'], { cwd: HERE, stdio: 'inherit' })
    if (status !== 0) process.exit(1)
    // Bun's own step that puts the binary of its platform package in place; it downloads nothing.
    spawnSync(process.execPath, ['install.js'], { cwd: join(HERE, 'node_modules/bun'), stdio: 'inherit' })
  }
}

/** An empty project with the archive in it. @param {string} work @returns {Promise<Place>} */
async function prepare(work) {
  const packed = await output('npm', ['pack', '--json', '--loglevel=silent', '--pack-destination', work], root)
  const archive = join(work, JSON.parse(packed.slice(packed.indexOf('[')))[0].filename)
  const project = join(work, 'project')
  mkdirSync(project)
  writeFileSync(join(project, 'package.json'), '{ "name": "empty", "private": true }\n')
  await output('npm', ['install', '--no-audit', '--no-fund', archive], project)
  cpSync(PROGRAMS, project, { recursive: true })
  return { work, project, archive }
}

/** @param {string} command @param {string[]} args @returns {Cell['run']} */
function program(command, args) {
  return async ({ project }) => {
    const path = mkdtempSync(join(project, 'db-'))
    const text = await output(command, [...args, path], project)
    if (!text.includes('round trip done')) throw new Error(`It did not finish:\n${text}`)
    return 'round trip'
  }
}

// ---- Pages

/** @param {string} directory */
function serve(directory) {
  const server = createServer((request, response) => {
    const path = new URL(request.url ?? '/', 'http://localhost').pathname
    const file = join(directory, path === '/' ? 'index.html' : path)
    if (!existsSync(file)) return response.writeHead(404).end('not here')
    const type = TYPES[/** @type {keyof typeof TYPES} */ (extname(file))] ?? 'application/octet-stream'
    response.writeHead(200, { 'content-type': type }).end(readFileSync(file))
  })
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)))
}

/** What the page's title says in the end. @param {string} directory @param {string} query */
async function title(directory, query) {
  const { chromium } = createRequire(join(HERE, 'package.json'))('playwright-core')
  const server = /** @type {import('node:http').Server} */ (await serve(directory))
  const profile = mkdtempSync(join(tmpdir(), 'varve-page-'))
  const args = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking']
  const context = await chromium.launchPersistentContext(profile, { executablePath: CHROMIUM, headless: true, args })
  try {
    const tab = await context.newPage()
    const { port } = /** @type {import('node:net').AddressInfo} */ (server.address())
    await tab.goto(`http://127.0.0.1:${port}/${query}`)
    await tab.waitForFunction('document.title !== ""', null, { timeout: 20_000 })
    return await tab.title()
  } finally {
    await context.close()
    server.close()
    rmSync(profile, { recursive: true, force: true })
  }
}

/** @param {(place: Place, out: string) => Promise<unknown>} bundle @param {boolean} copies whether it finds the wasm
 * @returns {Cell['run']} */
function page(bundle, copies) {
  return async (place) => {
    if (CHROMIUM === undefined) throw new Error('Chromium is not installed (Debian: apt-get install chromium)')
    const out = mkdtempSync(join(place.work, 'page-'))
    writeFileSync(join(out, 'index.html'), '<!doctype html><script type="module" src="./page.js"></script>\n')
    await bundle(place, out)
    const found = await title(out, '')
    if (copies) {
      if (!found.startsWith('ok: hello')) throw new Error(found)
      return 'the wasm is found'
    }
    // Such a bundler leaves files behind: the error must name the cause and the way out, which must work.
    if (!/worker of the database did not start.*worker: new URL/.test(found)) throw new Error(`A poor error: ${found}`)
    const half = await title(out, '?worker=engine_worker.js')
    if (!/not found at .*varve\.wasm.*wasm: new URL/.test(half)) throw new Error(`A poor error: ${half}`)
    copyFileSync(join(place.project, 'node_modules/varve/dist/varve.wasm'), join(out, 'engine.wasm'))
    const told = await title(out, '?worker=engine_worker.js&wasm=engine.wasm')
    if (!told.startsWith('ok: hello')) throw new Error(told)
    return 'the errors name the options; with them, found'
  }
}

/** @param {Place} place @param {string} out */
async function vite({ project }, out) {
  writeFileSync(join(project, 'index.html'), '<!doctype html><script type="module" src="./page.js"></script>\n')
  await output(bin('vite'), ['build', '--outDir', out, '--emptyOutDir', '--base', './', '--logLevel', 'warn'], project)
}

/** @param {Place} place @param {string} out */
async function webpack({ project }, out) {
  const { webpack: build } = createRequire(join(HERE, 'package.json'))('webpack')
  const options = { mode: 'production', context: project, entry: './page.js', target: 'web' }
  const stats = await new Promise((resolve, reject) => {
    const done = (/** @type {Error | null} */ error, /** @type {any} */ s) => (error ? reject(error) : resolve(s))
    build({ ...options, output: { path: out, filename: 'page.js', publicPath: 'auto' } }, done)
  })
  if (stats.hasErrors()) throw new Error(stats.toString({ colors: false }))
}

/** @param {Place} place @param {string} out */
async function esbuild({ project }, out) {
  const flags = ['--bundle', '--format=esm', '--log-level=error']
  await output(bin('esbuild'), ['page.js', ...flags, `--outfile=${join(out, 'page.js')}`], project)
  writeFileSync(join(project, 'engine_worker.js'), "import 'varve/worker'\n")
  await output(bin('esbuild'), ['engine_worker.js', ...flags, `--outfile=${join(out, 'engine_worker.js')}`], project)
}

/** @param {Place} place @param {string} out */
async function rollup({ project }, out) {
  const plugin = join(HERE, 'node_modules/@rollup/plugin-node-resolve/dist/es/index.js')
  writeFileSync(join(project, 'engine_worker.js'), "import 'varve/worker'\n")
  const target = JSON.stringify({ dir: out })
  const config = `import resolve from ${JSON.stringify(plugin)}
export default { input: ['page.js', 'engine_worker.js'], plugins: [resolve({ browser: true })], output: ${target} }\n`
  writeFileSync(join(project, 'rollup.config.mjs'), config)
  await output(bin('rollup'), ['-c', 'rollup.config.mjs', '--silent'], project)
}

// ---- What others say of the package

/** @type {Cell['run']} */
async function publint({ archive }) {
  const text = await output(bin('publint'), ['run', archive, '--strict'], HERE)
  if (!/All good/.test(text)) throw new Error(text)
  return 'all good'
}

/** @type {Cell['run']} */
async function typesWrong({ archive }) {
  const wasm = ['--exclude-entrypoints', './varve.wasm']
  await output(bin('attw'), [archive, '--profile', 'esm-only', '--no-color', ...wasm], HERE)
  return 'no problems found'
}

/** @type {Cell['run']} */
async function keyv({ project }) {
  const args = ['run', '--root', HERE, '--reporter=json', join(HERE, 'keyv.test.mjs')]
  const text = await output(bin('vitest'), args, HERE, { VARVE_PROJECT: project })
  const { numPassedTests, numTotalTests } = JSON.parse(text.slice(text.indexOf('{"')))
  if (numPassedTests !== numTotalTests || numTotalTests < 37) throw new Error(text)
  return `${numPassedTests} of ${numTotalTests} tests`
}

/** @type {Cell[]} */
const cells = [
  {
    name: 'import',
    what: () => `Node ${process.versions.node}, import`,
    run: program(process.execPath, ['roundtrip.mjs']),
  },
  {
    name: 'require',
    what: () => `Node ${process.versions.node}, require()`,
    run: program(process.execPath, ['roundtrip.cjs']),
  },
  {
    name: 'worker',
    what: () => `Node ${process.versions.node}, worker thread`,
    run: program(process.execPath, ['in_worker.mjs']),
  },
  { name: 'bun', what: () => `Bun ${version('bun')}`, run: program(bin('bun'), ['run', 'roundtrip.mjs']) },
  {
    name: 'deno',
    what: () => `Deno ${version('deno')}`,
    run: program(bin('deno'), ['run', '-A', '--node-modules-dir=manual', 'roundtrip.mjs']),
  },
  { name: 'vite', what: () => `Vite ${version('vite')}, Chromium`, run: page(vite, true) },
  { name: 'webpack', what: () => `webpack ${version('webpack')}, Chromium`, run: page(webpack, true) },
  { name: 'esbuild', what: () => `esbuild ${version('esbuild')}, Chromium`, run: page(esbuild, false) },
  { name: 'rollup', what: () => `Rollup ${version('rollup')}, Chromium`, run: page(rollup, false) },
  { name: 'publint', what: () => `publint ${version('publint')}`, run: publint },
  { name: 'types', what: () => `are-the-types-wrong ${version('@arethetypeswrong/cli')}`, run: typesWrong },
  { name: 'keyv', what: () => `@keyv/test-suite ${version('@keyv/test-suite')}`, run: keyv },
]

async function main() {
  const wanted = process.argv.slice(2)
  const chosen = wanted.length === 0 ? cells : cells.filter(({ name }) => wanted.includes(name))
  if (chosen.length === 0)
    throw new Error(`There is no such cell; there are ${cells.map(({ name }) => name).join(', ')}`)
  setUp('test')
  install()
  const work = mkdtempSync(join(tmpdir(), 'varve-package-'))
  let failed = 0
  try {
    const place = await prepare(work)
    for (const { what, run } of chosen) {
      try {
        console.log(`ok    ${what().padEnd(34)} ${await run(place)}`)
      } catch (error) {
        failed++
        console.log(`FAIL  ${what()}\n${error instanceof Error ? error.message : error}\n`)
      }
    }
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
  console.log(`${chosen.length - failed} passed, ${failed} failed`)
  process.exitCode = failed === 0 ? 0 : 1
}

await main()

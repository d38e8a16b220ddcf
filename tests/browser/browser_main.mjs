// browser_main.mjs: runs the suites in the browsers, and prints the matrix. See tools/test_browser.mjs.

import { BROWSERS, launch, missing, temporaryProfile } from './harness_browsers.mjs'
import { startServer } from './harness_server.mjs'
import { scenarios } from './hosts_scenarios.mjs'
import { tabScenarios } from './tabs/tabs_scenarios.mjs'

const IN_PAGE = ['nesting', 'reentry', 'turns', 'watch']
const IN_WORKER = ['database', 'events', 'misuse', 'nesting', 'reentry', 'turns', 'watch', 'model']
const ALL = [...IN_WORKER, 'encodings', 'tuple']

/** What one browser is tested with: its suites share a server, and a browser that is launched when it is needed. */
class Bench {
  /** @type {any} */
  #browser = null
  #kind = ''
  #profile = null
  #tabErrors = []
  /** @type {any[]} */
  #sessions = []
  version = ''
  passed = 0
  left = 0
  failed = []
  errors = []

  constructor(name, server, verbose) {
    this.name = name
    this.server = server
    this.verbose = verbose
  }

  get profile() {
    this.#profile ??= temporaryProfile(this.name)
    return this.#profile.path
  }

  say(text) {
    if (this.verbose) console.log(`      ${this.name}: ${text}`)
  }

  /** The browser, launched when none of this kind runs. @param {{ plain?: boolean, private?: boolean }} [options] */
  async browser(options = {}) {
    const kind = JSON.stringify(options)
    if (this.#browser !== null && !this.#browser.isGone && this.#kind === kind) return this.#browser
    await this.end()
    const browser = await launch(this.name, { server: this.server, profile: this.profile, ...options })
    this.version ||= browser.version
    this.#browser = browser
    this.#kind = kind
    const { open } = browser
    browser.open = async (page) => {
      const tab = await open(page)
      this.#sessions.push(tab.session)
      return tab
    }
    return browser
  }

  /** Takes the errors that landed in a console since the last time. */
  takeErrors() {
    const all = [...(this.#browser?.errors.splice(0) ?? []), ...this.#tabErrors.splice(0)]
    for (const session of this.#sessions) all.push(...session.errors.splice(0))
    return all
  }

  async end() {
    if (this.#browser === null) return
    this.#tabErrors.push(...this.takeErrors())
    if (!this.#browser.isGone) await this.#browser.close()
    this.#browser = null
  }

  /** The next browser begins with an empty profile. */
  async afresh() {
    await this.end()
    this.#profile?.remove()
    this.#profile = null
  }
}

/** The suites of a browser: what they are called, and what they came to.
 * @returns {{ name: string, long?: boolean, fresh?: boolean, run: (bench: Bench) => Promise<any> }[]} */
function suites(browser) {
  const cases = (kind) => (bench) => casesOf(bench, kind)
  return [
    { name: 'JavaScript interface in a page', run: (bench) => shared(bench, IN_PAGE, undefined) },
    { name: 'JavaScript interface in a page, whole', long: true, run: (bench) => shared(bench, ALL, undefined) },
    { name: 'JavaScript interface in a worker', run: (bench) => shared(bench, IN_WORKER, 'w') },
    { name: 'JavaScript interface in a worker, whole', long: true, run: (bench) => shared(bench, ALL, 'w') },
    ...(browser === 'webkit' ? [] : [{ name: 'opfs: the host', run: cases('opfs') }]),
    { name: 'idb: the host', run: cases('idb') },
    ...scenarios(browser),
    ...tabScenarios(browser),
  ]
}

async function shared(bench, names, worker) {
  const tab = await (await bench.browser()).open()
  const files = names.map((name) => `${name}.test.js`)
  const on = (_, { file, passed, ms }) => bench.say(`${file} ${passed} passed, ${ms} ms`)
  const environment = { VARVE_STEPS: '250', VARVE_SEEDS: '1' }
  const args = { files, environment }
  const result = await tab.session.call('./shared_tests.js', 'runFiles', args, {
    worker,
    timeout: 180_000,
    on,
  })
  await noLeaks(tab)
  await tab.close()
  return result
}

async function casesOf(bench, kind) {
  const tab = await (await bench.browser()).open()
  const seed = Number(process.env.VARVE_SEED ?? Date.now() >>> 0)
  const call = ['./hosts_cases.js', 'runCases', { kind, seed }]
  const result = await tab.session.call(...call, { worker: 'w', timeout: 120_000 })
  if (result.failed.length > 0) bench.say(`VARVE_SEED=${seed}`)
  await noLeaks(tab)
  await tab.close()
  return result
}

/** Every handle, connection and lock was given back. */
async function noLeaks(tab) {
  const left = await tab.session.call('./hosts_remote.js', 'leaks', {}, { worker: 'leaks' })
  if (left.length > 0) throw new Error(`something was not given back: ${left.join(', ')}`)
}

/** @param {Bench} bench @param {any} suite */
async function runSuite(bench, suite) {
  const since = performance.now()
  const failed = []
  let [passed, left] = [0, 0]
  try {
    if (suite.fresh) await bench.afresh()
    const result = await suite.run(bench)
    passed = result?.passed ?? 1
    left = result?.left?.length ?? 0
    for (const { name, error } of result?.failed ?? []) failed.push(`${name}\n${error}`)
  } catch (error) {
    failed.push(`${suite.name}\n${error?.stack ?? error}`)
    await bench.afresh().catch(() => {})
  }
  const errors = bench.takeErrors()
  const seconds = `${((performance.now() - since) / 1000).toFixed(1)} s`.padStart(8)
  const word = failed.length > 0 || errors.length > 0 ? 'FAIL' : 'ok  '
  console.log(
    `${word}  ${bench.name.padEnd(8)}  ${suite.name.padEnd(62)} ${String(passed).padStart(4)} passed ${seconds}`,
  )
  for (const text of failed) console.log(`\n${text}\n`)
  for (const text of errors) console.log(`      ${bench.name}: console: ${text}`)
  bench.passed += passed
  bench.left += left
  bench.failed.push(...failed)
  bench.errors.push(...errors)
}

/** @param {Bench[]} benches */
function printMatrix(benches) {
  const rows = benches.map(({ name, version, passed, failed, left, errors }) => [
    ...[name, version, passed + failed.length, failed.length, left, errors.length].map(String),
  ])
  const head = ['browser', 'version', 'tests run', 'failed', 'need Node', 'console errors']
  const widths = head.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i].length)))
  const line = (row) => row.map((cell, i) => (i < 2 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))).join('  ')
  console.log(`\n${line(head)}`)
  for (const row of rows) console.log(line(row))
}

/** @param {string} browser @param {string[]} filters @param {boolean} all */
function suitesOf(browser, filters, all) {
  if (filters.length > 0) return suites(browser).filter(({ name }) => filters.some((word) => name.includes(word)))
  return suites(browser).filter(({ long }) => all || !long)
}

/** @param {Bench} bench @param {any[]} wanted */
async function runBench(bench, wanted) {
  for (const suite of wanted) await runSuite(bench, suite)
  await bench.afresh()
  const late = bench.takeErrors()
  for (const text of late) console.log(`      ${bench.name}: console: ${text}`)
  bench.errors.push(...late)
}

/** @template T @param {T[]} list @param {number} width @param {(one: T) => Promise<void>} run */
async function inParallel(list, width, run) {
  const waiting = [...list]
  const lane = async () => {
    for (let one = waiting.shift(); one !== undefined; one = waiting.shift()) await run(one)
  }
  await Promise.all(Array.from({ length: Math.max(1, width) }, lane))
}

/** @param {string[]} args @returns {Promise<number>} the exit code */
export async function main(args) {
  const options = new Set(args.filter((arg) => arg.startsWith('--')))
  const words = args.filter((arg) => !arg.startsWith('--'))
  const chosen = BROWSERS.filter((name) => words.includes(name))
  const filters = words.filter((word) => !BROWSERS.includes(word))
  const server = await startServer()
  const names = chosen.length > 0 ? chosen : BROWSERS
  const lacking = names.filter((name) => missing(name) !== null)
  for (const name of lacking) {
    console.log(`${options.has('--need') ? 'FAIL' : 'none'}  ${name.padEnd(8)}  ${missing(name)}`)
  }
  const benches = names
    .filter((name) => !lacking.includes(name))
    .map((name) => new Bench(name, server, options.has('--verbose')))
  const wanted = (bench) => suitesOf(bench.name, filters, options.has('--all'))
  // Side by side: most of the time goes into waiting for one of them.
  const width = options.has('--one-by-one') ? 1 : benches.length
  await inParallel(benches, width, (bench) => runBench(bench, wanted(bench)))
  server.close()
  printMatrix(benches)
  const failed = benches.some((bench) => bench.failed.length > 0 || bench.errors.length > 0)
  return failed || (options.has('--need') && lacking.length > 0) ? 1 : 0
}

// chaos.mjs: tabs that write while tabs are killed at random, every commit counted. What is done to them comes from a
// seed, which is printed.
//
//   node tests/browser/tabs/chaos.mjs [--seed N] [--seconds N] [--tabs N] [--storage idb] [--strict]

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { fileURLToPath } from 'node:url'

import { launchChromium } from '../harness_chromium.mjs'
import { startServer } from '../harness_server.mjs'

const TOKENS = 3000
const PAGE = '/tests/browser/tabs/tabs.html'
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

/** A small generator: the same seed, the same run of choices. */
function randomOf(seed) {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

class Chaos {
  /** @type {Map<string, any>} what each tab has said, and for how long it lived */
  tabs = new Map()
  done = {}
  failures = []
  consoleErrors = []
  longest = 0
  next = 0

  constructor({ context, origin, name, storage, strict, random }) {
    Object.assign(this, { context, origin, name, storage, strict, random })
  }

  async open() {
    const tab = `tab${this.next++}`
    const page = await this.context.newPage()
    const state = { tab, page, issued: 0, acked: 0, alive: true, busy: false }
    this.tabs.set(tab, state)
    page.on('crash', () => (state.alive = false))
    page.on('close', () => (state.alive = false))
    page.on('console', (message) => {
      if (['error', 'warning'].includes(message.type())) this.consoleErrors.push(`${tab}: ${message.text()}`)
    })
    page.on('pageerror', (error) => this.consoleErrors.push(`${tab}: ${error.stack ?? error}`))
    await page.exposeFunction('report', (said) => this.said(state, said))
    await this.begin(state)
    return state
  }

  async begin(state) {
    const { name, storage, strict } = this
    await state.page.goto(this.origin + PAGE)
    await state.page.waitForFunction(() => globalThis.ready)
    const options = { name, storage, strict, tab: state.tab, tokens: TOKENS }
    state.page.evaluate((given) => void globalThis.write(given), options).catch(() => {})
  }

  said(state, message) {
    if (message.tab !== state.tab) return
    if (message.begun) state.begun = true
    if (message.issued > state.issued) state.issued = message.issued
    if (message.acked > state.acked) state.acked = message.acked
    if (message.leads !== undefined) state.leads = message.leads
    if (message.waited > this.longest) this.longest = message.waited
    if (message.failed !== undefined) this.failures.push(`${state.tab}: ${message.failed}`)
  }

  get living() {
    return [...this.tabs.values()].filter(({ alive, busy, begun }) => alive && begun && !busy)
  }

  async strike() {
    const { living } = this
    if (living.length === 0) return
    const any = living[Math.floor(this.random() * living.length)]
    const state = (this.random() < 0.6 && living.find(({ leads }) => leads)) || any
    const kinds = ['close', 'terminate', 'crash', 'freeze', 'reload', 'hang', 'stall', 'swallow', 'swallow']
    const only = process.env.VARVE_KINDS?.split(',') ?? kinds
    const kind = only[Math.floor(this.random() * only.length)]
    this.done[kind] = (this.done[kind] ?? 0) + 1
    const began = Date.now()
    await this[kind](state).catch((error) => {
      if (state.alive) this.failures.push(`${kind} of ${state.tab}: ${error}`)
    })
    if (process.env.VARVE_SAY) console.log(kind, state.tab, Date.now() - began)
  }

  async close(state) {
    state.alive = false
    await state.page.close({ runBeforeUnload: false })
  }

  async terminate(state) {
    await state.page.evaluate(() => globalThis.workers.at(-1)?.terminate())
  }

  /** It dies between a commit and the answer to it. */
  async swallow(state) {
    await state.page.evaluate(() => globalThis.swallow())
  }

  async crash(state) {
    state.alive = false
    const cdp = await this.context.newCDPSession(state.page)
    await Promise.race([cdp.send('Page.crash').catch(() => {}), wait(1000)])
    await Promise.race([state.page.close().catch(() => {}), wait(1000)])
  }

  async freeze(state) {
    state.busy = true
    const cdp = await this.context.newCDPSession(state.page)
    await cdp.send('Page.setWebLifecycleState', { state: 'frozen' })
    const ms = 500 + this.random() * 3000
    setTimeout(async () => {
      await cdp.send('Page.setWebLifecycleState', { state: 'active' }).catch(() => {})
      state.busy = false
    }, ms)
  }

  /** A tab that is reloaded goes on as another one. */
  async reload(state) {
    state.alive = false
    const { page } = state
    await page.reload().catch(() => {})
    await page.close()
  }

  /** The worker stands still, and says nothing of it. */
  async hang(state) {
    const worker = state.page.workers().at(-1)
    const ms = 1000 + this.random() * 4000
    worker
      ?.evaluate((until) => {
        const end = performance.now() + until
        while (performance.now() < end);
      }, ms)
      .catch(() => {})
  }

  /** The worker and the page stand still: nobody there can end it, and others have to take the lock. */
  async stall(state) {
    state.busy = true
    const ms = 3000 + this.random() * 3000
    const still = (until) => {
      const end = performance.now() + until
      while (performance.now() < end);
    }
    for (const worker of state.page.workers()) worker.evaluate(still, ms).catch(() => {})
    state.page
      .evaluate(still, ms)
      .catch(() => {})
      .then(() => (state.busy = false))
  }

  /** Compares what is there with what was said. */
  judge(found) {
    let [issued, acked, made, lost, doubled] = [0, 0, 0, 0, 0]
    for (const { tab, issued: i, acked: a, begun } of this.tabs.values()) {
      const { numbers, highest, tokens } = found[tab] ?? { numbers: 0, highest: -1, tokens: 0 }
      issued += i
      acked += a
      made += numbers
      if (!begun) continue
      if (numbers < a) lost += a - numbers
      if (highest + 1 !== numbers) this.failures.push(`${tab}: ${numbers} numbers, the highest is ${highest}`)
      if (numbers > i) this.failures.push(`${tab}: ${numbers} commits, ${i} issued`)
      const taken = TOKENS - tokens
      if (taken > numbers) doubled += taken - numbers
      if (taken < numbers) lost += numbers - taken
    }
    return { issued, acked, made, lost, doubled }
  }
}

export async function chaos({ seed, seconds = 20, tabs = 5, storage, strict, server, context, say = console.log }) {
  const random = randomOf(seed)
  const run = new Chaos({ context, origin: server.origin, name: `chaos${seed}`, storage, strict, random })
  const page = await context.newPage()
  await page.goto(server.origin + PAGE)
  await page.waitForFunction(() => globalThis.ready)
  await page.evaluate((name) => globalThis.listen(name), run.name)
  for (let i = 0; i < tabs; i++) await run.open()
  const end = Date.now() + 1000 * seconds
  while (Date.now() < end) {
    await wait(200 + random() * 700)
    await run.strike()
    while ([...run.tabs.values()].filter(({ alive }) => alive).length < tabs) await run.open()
  }
  await wait(4500)
  const watching = { missed: 0, disorder: 0 }
  for (const { page: one } of run.living) {
    await one.evaluate(() => globalThis.stop()).catch(() => {})
    const seen = await one.evaluate(() => globalThis.watch()).catch(() => null)
    watching.missed += seen?.missed ?? 0
    watching.disorder += seen?.disorder ?? 0
  }
  await wait(500)
  const leaders = await page.evaluate(() => globalThis.leaders())
  const { found } = await page.evaluate((given) => globalThis.census(given), { name: run.name, storage })
  const result = {
    seed,
    tabs: run.tabs.size,
    ...run.judge(found),
    failovers: leaders - 1,
    longestWaitMs: Math.round(run.longest),
    ...watching,
    done: run.done,
    failures: run.failures,
    consoleErrors: run.consoleErrors,
  }
  for (const one of [page, ...[...run.tabs.values()].map((state) => state.page)]) await one.close().catch(() => {})
  say(JSON.stringify(result))
  return result
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({
    options: {
      seed: { type: 'string' },
      seconds: { type: 'string', default: '20' },
      tabs: { type: 'string', default: '5' },
      storage: { type: 'string' },
      strict: { type: 'boolean', default: false },
    },
  })
  const seed = Number(values.seed ?? Math.floor(Math.random() * 1e9))
  console.log(`seed ${seed}`)
  const profile = mkdtempSync(join(tmpdir(), 'varve-tabs-'))
  const server = await startServer()
  const browser = await launchChromium({ server, profile })
  try {
    const { seconds, tabs, storage, strict } = values
    const given = { seed, seconds: Number(seconds), tabs: Number(tabs), storage, strict, server }
    const { lost, doubled, failures } = await chaos({ ...given, context: browser.context })
    if (lost + doubled + failures.length > 0) process.exitCode = 1
  } finally {
    await browser.close()
    server.close()
    rmSync(profile, { recursive: true, force: true, maxRetries: 5 })
  }
}

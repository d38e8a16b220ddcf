// tabs_scenarios.mjs: tests of tabs that share a database: chaos, reloads, a leader that is frozen, one that stands
// still. Each is { name, long, run(bench) }, as those of hosts_scenarios.mjs.

import assert from 'node:assert/strict'

import { chaos } from './chaos.mjs'

const PAGE = '/tests/browser/tabs/tabs.html'
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

let used = 0

const seedOf = () => Number(process.env.VARVE_SEED ?? Date.now() >>> 0)

async function cases(bench, storage) {
  const tab = await (await bench.browser()).open()
  const seed = seedOf()
  const call = ['/tests/browser/tabs/tabs_cases.js', 'runCases', { storage, seed }]
  const result = await tab.session.call(...call, { timeout: 180_000 })
  if (result.failed.length > 0) bench.say(`VARVE_SEED=${seed}`)
  await tab.close()
  return result
}

async function survivesChaos(bench, options) {
  const { context } = await bench.browser()
  const seed = seedOf()
  const result = await chaos({ seed, server: bench.server, context, say: (text) => bench.say(text), ...options })
  const { lost, doubled, disorder, failures, consoleErrors } = result
  assert.deepEqual({ lost, doubled, disorder, failures, consoleErrors }, CLEAN, `VARVE_SEED=${seed}`)
  assert.ok(result.acked > 0)
}
const CLEAN = { lost: 0, doubled: 0, disorder: 0, failures: [], consoleErrors: [] }

/** Tabs with the database open, the first of which leads. */
async function tabsOf(bench, count, name) {
  const { context } = await bench.browser()
  const pages = []
  for (let i = 0; i < count; i++) {
    const page = await context.newPage()
    await page.goto(bench.server.origin + PAGE)
    await page.waitForFunction(() => globalThis.ready)
    await page.evaluate(async (given) => {
      globalThis.db = await globalThis.varve.Database.open(given)
    }, name)
    pages.push(page)
  }
  return { context, pages }
}

/** Milliseconds that a put of the page takes. */
const putTakes = (page, key) =>
  page.evaluate(async (given) => {
    const began = performance.now()
    await globalThis.db.put(given, 'v')
    return performance.now() - began
  }, key)

/** Loads the page again and again, in the middle of writing. */
async function survivesReloads(bench) {
  const name = `reloads ${used++}`
  const { pages } = await tabsOf(bench, 2, name)
  const [storm, steady] = pages
  let longest = 0
  let acked = 0
  for (let round = 0; round < 15; round++) {
    const writing = steady.evaluate(async (from) => {
      let worst = 0
      for (let i = 0; i < 30; i++) {
        const began = performance.now()
        await globalThis.db.put(`k${from + i}`, 'v')
        worst = Math.max(worst, performance.now() - began)
        await new Promise((resolve) => setTimeout(resolve, 5))
      }
      return worst
    }, acked)
    void storm.evaluate(() => globalThis.db.put('half', 'v')).catch(() => {})
    await storm.reload()
    await storm.waitForFunction(() => globalThis.ready)
    if (round % 3 !== 2) {
      await storm.evaluate(async (given) => {
        globalThis.db = await globalThis.varve.Database.open(given)
      }, name)
    }
    longest = Math.max(longest, await writing)
    acked += 30
  }
  assert.equal(await steady.evaluate(() => globalThis.db.count({ prefix: 'k' })), acked)
  assert.equal((await steady.evaluate(() => globalThis.db.verify())).errors, 0)
  bench.say(`${acked} commits, longest wait ${Math.round(longest)} ms`)
  for (const page of pages) await page.close()
}

/** The browser freezes the leader's tab: another one leads within a second; later the first one goes on. */
async function survivesFreeze(bench) {
  const { context, pages } = await tabsOf(bench, 3, `frozen ${used++}`)
  const [first, second, third] = pages
  assert.equal(await first.evaluate(() => globalThis.db.leads), true)
  await putTakes(first, 'a')
  const cdp = await context.newCDPSession(first)
  await cdp.send('Page.setWebLifecycleState', { state: 'frozen' })
  const took = [await putTakes(second, 'b'), await putTakes(third, 'c')]
  bench.say(`waited ${took.map(Math.round).join(' and ')} ms`)
  assert.ok(took.every((ms) => ms < 1000))
  await cdp.send('Page.setWebLifecycleState', { state: 'active' })
  await putTakes(first, 'd')
  assert.equal(await first.evaluate(() => globalThis.db.count()), 4)
  for (const page of pages) await page.close()
}

/** The leader's worker and its page stand still, without a word: the lock is taken from them, and when they go on they
 * write nothing any more. */
async function takesOver(bench) {
  const { pages } = await tabsOf(bench, 2, `still ${used++}`)
  const [first, second] = pages
  await putTakes(first, 'a')
  const still = (ms) => {
    const end = performance.now() + ms
    while (performance.now() < end);
  }
  const gone = [...first.workers().map((worker) => worker.evaluate(still, 7000)), first.evaluate(still, 7000)]
  await wait(100)
  const took = await putTakes(second, 'b')
  bench.say(`waited ${Math.round(took)} ms`)
  assert.ok(took < 6000)
  assert.equal(await second.evaluate(() => globalThis.db.leads), true)
  for (let i = 0; i < 50; i++) await putTakes(second, `c${i}`)
  await Promise.all(gone)
  await putTakes(first, 'd')
  assert.equal(await first.evaluate(() => globalThis.db.count()), 53)
  assert.equal((await second.evaluate(() => globalThis.db.verify())).errors, 0)
  assert.equal(await first.evaluate(() => globalThis.db.leads), false)
  for (const page of pages) await page.close()
}

/** @param {string} browser @returns {{ name: string, long?: boolean, fresh?: boolean, run: (bench: any) => any }[]} */
export function tabScenarios(browser) {
  const all = [
    ...(browser === 'webkit' ? [] : [{ name: 'tabs: the interface, opfs', run: (bench) => cases(bench, 'opfs') }]),
    { name: 'tabs: the interface, idb', run: (bench) => cases(bench, 'idb') },
  ]
  if (browser !== 'chromium') return all
  return [
    ...all,
    { name: 'tabs: the leader is frozen', run: survivesFreeze },
    { name: 'tabs: the leader stands still', run: takesOver },
    { name: 'tabs: reloads', run: survivesReloads },
    { name: 'tabs: five of them, killed at random', run: (bench) => survivesChaos(bench, { seconds: 15 }) },
    {
      name: 'tabs: five of them, killed at random, strict',
      long: true,
      run: (bench) => survivesChaos(bench, { seconds: 30, strict: true }),
    },
    {
      name: 'tabs: five of them, killed at random, idb',
      long: true,
      run: (bench) => survivesChaos(bench, { seconds: 30, storage: 'idb' }),
    },
  ]
}

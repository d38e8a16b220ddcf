// hosts_scenarios.mjs: tests of the hosts that need more than one worker: reloads, browsers that end or are killed, a
// quota, a private window, the native program. Each is { name, only, long, run(bench) }; bench.browser() launches the
// browser, with the profile as it was left.

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { root } from '../../tools/setup.mjs'

const REMOTE = './hosts_remote.js'
const program = process.env.VARVE_PROGRAM ?? join(root, 'build/release/varve')

/** Runs a function of hosts_remote.js in the worker 'w' of a tab. */
const inWorker = (tab, name, args, options) => tab.session.call(REMOTE, name, args, { worker: 'w', ...options })

const ROWS = Array.from({ length: 50 }, (_, i) => [`k${String(i).padStart(3, '0')}`, `value ${i}`])

async function keepsOverReload(bench, kind) {
  const browser = await bench.browser()
  const tab = await browser.open()
  const name = `reload ${kind}`
  await inWorker(tab, 'open', { kind, name })
  await inWorker(tab, 'put', { name, entries: ROWS })
  for (let round = 0; round < 3; round++) {
    await tab.reload() // nothing was closed
    await inWorker(tab, 'open', { kind, name })
    assert.deepEqual(await inWorker(tab, 'rows', { name }), ROWS)
    assert.equal((await inWorker(tab, 'verify', { name })).errors, 0)
  }
  await inWorker(tab, 'close', { name })
  assert.equal(await inWorker(tab, 'remove', { name }), true)
  await tab.close()
}

async function keepsOverRestart(bench, kind) {
  const name = `restart ${kind}`
  let browser = await bench.browser({ plain: true })
  let tab = await browser.open()
  await inWorker(tab, 'open', { kind, name })
  await inWorker(tab, 'put', { name, entries: ROWS })
  await browser.close()
  browser = await bench.browser({ plain: true })
  tab = await browser.open()
  await inWorker(tab, 'open', { kind, name })
  assert.deepEqual(await inWorker(tab, 'rows', { name }), ROWS)
  await inWorker(tab, 'close', { name })
  assert.deepEqual(
    (await inWorker(tab, 'list')).map((one) => [one.name, one.storage]),
    [[name, kind]],
  )
  assert.equal(await inWorker(tab, 'remove', { name }), true)
  await browser.close()
}

/** What Chromium's IndexedDB wrote of itself: whether it was the one to drop the rows. @param {string} profile */
function logsOf(profile) {
  const place = join(profile, 'Default', 'IndexedDB')
  if (!existsSync(place)) return ''
  const files = readdirSync(place, { recursive: true }).map(String)
  const logs = files.filter((name) => /(^|\/)LOG(\.old)?$/.test(name))
  return [files.join('\n'), ...logs.map((name) => readFileSync(join(place, name), 'utf8'))].join('\n')
}

/** Kills the browser while it writes: all that it told of is there when it starts again. */
async function survivesKill(bench, kind, durability, rounds) {
  const name = `kill ${kind} ${durability}`
  let browser = await bench.browser({ plain: true })
  let stored = -1
  for (let round = 0; round < rounds; round++) {
    let tab = await browser.open()
    await inWorker(tab, 'open', { kind, name, options: { memtable: 65536, memory: 1 << 20 } })
    let told = () => {}
    const enough = new Promise((resolve) => (told = resolve))
    const atLeast = stored + 30
    const on = (_, turn) => {
      stored = turn
      if (turn >= atLeast) told()
    }
    const writing = inWorker(tab, 'putForEver', { name, durability, size: 500 }, { on, timeout: 30_000 })
    await Promise.race([enough, writing])
    writing.catch(() => {})
    await new Promise((resolve) => setTimeout(resolve, 20 * round))
    await browser.kill()
    browser = await bench.browser({ plain: true })
    tab = await browser.open()
    await inWorker(tab, 'open', { kind, name })
    const rows = await inWorker(tab, 'rows', { name })
    bench.say(`killed after turn ${stored} was told of: ${rows.length / 3 - 1 - stored} turns more are there`)
    const enoughRows = rows.length >= 3 * (stored + 1)
    const said = enoughRows ? '' : logsOf(bench.profile)
    assert.ok(enoughRows, `${rows.length} rows, ${stored + 1} turns of three were told of\n${said}`)
    assert.equal(rows.length % 3, 0, 'the writes of one turn are there together or not at all')
    assert.equal((await inWorker(tab, 'verify', { name })).errors, 0)
    await inWorker(tab, 'close', { name })
    if (round + 1 < rounds && bench.name === 'webkit') {
      await browser.close() // it has one page, and a round begins with one
      browser = await bench.browser({ plain: true })
    }
  }
  await browser.close()
}

/** Ends the worker while it writes, and opens the database again at once. */
async function survivesEndOfWorker(bench, kind) {
  const browser = await bench.browser()
  const tab = await browser.open()
  const name = `worker ${kind}`
  let stored = -1
  for (let round = 0; round < 3; round++) {
    await inWorker(tab, 'open', { kind, name })
    const on = (_, turn) => void (stored = turn)
    const writing = inWorker(tab, 'putForEver', { name, durability: 'relaxed', size: 300 }, { on })
    writing.catch(() => {})
    await new Promise((resolve) => setTimeout(resolve, 150))
    await tab.session.endWorker('w')
    await inWorker(tab, 'open', { kind, name })
    const rows = await inWorker(tab, 'rows', { name })
    assert.ok(rows.length >= 3 * (stored + 1) && rows.length % 3 === 0, `${rows.length} rows, ${stored + 1} turns`)
    await inWorker(tab, 'close', { name })
  }
  assert.ok(stored > 3, `${stored} turns`)
  await inWorker(tab, 'remove', { name })
  await tab.close()
}

/** A site that may store no more: writing fails, reading goes on; with more room writing does, too. IndexedDB tells
 * when it is too late, so what was not acknowledged is gone, and the database has to be opened again. */
async function survivesQuota(bench, kind) {
  const browser = await bench.browser()
  const tab = await browser.open()
  const name = `quota ${kind}`
  const open = () => inWorker(tab, 'open', { kind, name, options: { memtable: 65536, memory: 1 << 20 } })
  const cdp = await browser.setQuota(tab, 6 << 20)
  await open()
  await inWorker(tab, 'put', { name, entries: ROWS })
  const full = await inWorker(tab, 'putUntilFull', { name, size: 100_000, most: 200 })
  bench.say(`${full.count} values of 100 kB, then ${full.code}: ${full.message}`)
  assert.equal(full.code, 'ERR_DB_FULL')
  const rows = await inWorker(tab, 'rows', { name })
  const small = rows.filter(([key]) => key.startsWith('k'))
  assert.deepEqual(small, ROWS, 'reading goes on')
  assert.ok(rows.length >= ROWS.length + full.count, 'with all that was acknowledged')
  await cdp.detach()
  if (kind === 'idb') {
    await inWorker(tab, 'close', { name }).catch(() => {})
    await open()
  }
  const more = await inWorker(tab, 'putUntilFull', { name, size: 1000, most: 3 })
  assert.deepEqual(more, { count: 3, code: '', message: '' }, 'with room again, writing goes on')
  await inWorker(tab, 'close', { name })
  await open()
  const kept = await inWorker(tab, 'rows', { name })
  assert.ok(
    kept.length >= ROWS.length + full.count && kept.length <= rows.length,
    `${kept.length} of ${rows.length} rows`,
  )
  assert.equal((await inWorker(tab, 'verify', { name })).errors, 0)
  await inWorker(tab, 'close', { name })
  await inWorker(tab, 'remove', { name })
  await tab.close()
}

/** A private window of Firefox has no private file system, and says so. */
async function refusesPrivateWindow(bench) {
  const browser = await bench.browser({ private: true })
  const tab = await browser.open()
  await assert.rejects(inWorker(tab, 'open', { kind: 'opfs', name: 'private' }), /this window may store nothing/)
  assert.deepEqual(await inWorker(tab, 'list'), [])
  await tab.close()
  await bench.afresh() // the profile is one of private windows from now on
}

const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex')
const native = (...args) => execFileSync(program, args, { maxBuffer: 1 << 28 })

/** What leaves the browser opens natively, and the reverse. */
async function exchangesWithNative(bench, kind) {
  if (!existsSync(program)) return bench.say('left out: the native program was not built')
  const browser = await bench.browser()
  const tab = await browser.open()
  const [name, back] = [`native ${kind}`, `native ${kind} back`]
  const url = `${bench.server.origin}/exchange/${kind}.varve`
  await inWorker(tab, 'open', { kind, name, options: { memtable: 65536, memory: 1 << 20 } })
  await inWorker(tab, 'fill', { name, count: 20_000, seed: 7 })
  const hash = await inWorker(tab, 'hashOfDump', { name })
  await inWorker(tab, 'close', { name })
  const sent = await inWorker(tab, 'exportTo', { name, url })
  const bytes = bench.server.kept.get(`${kind}.varve`)
  assert.deepEqual([sent.sha256, sent.size, sent.last], [sha256(bytes), bytes.length, [bytes.length, bytes.length]])
  const path = join(bench.profile, `${kind}.varve`)
  writeFileSync(path, bytes)
  native(path, 'verify')
  assert.equal(sha256(native(path, 'dump')), hash.sha256, 'the dump of the native program')
  native(path, 'put', 'from the native program', 'yes')
  const changed = readFileSync(path)
  bench.server.kept.set('back.varve', changed)
  const { last } = await inWorker(tab, 'importFrom', {
    name: back,
    url: `${bench.server.origin}/exchange/back.varve`,
    kind,
  })
  assert.equal(last, changed.length)
  await inWorker(tab, 'open', { kind, name: back })
  assert.equal((await inWorker(tab, 'hashOfDump', { name: back })).sha256, sha256(native(path, 'dump')))
  await inWorker(tab, 'put', { name: back, entries: [['more', '1']] })
  await inWorker(tab, 'close', { name: back })
  bench.say(`${hash.rows} rows, ${bytes.length} bytes, dump ${hash.sha256.slice(0, 16)}… here and there`)
  for (const one of [name, back]) await inWorker(tab, 'remove', { name: one })
  await tab.close()
}

/** A page has no handles of the private file system, and takes and gives files all the same. */
async function exchangesInPage(bench, kind) {
  const browser = await bench.browser()
  const tab = await browser.open()
  const [name, copy] = [`page ${kind}`, `page ${kind} copy`]
  const url = (file) => `${bench.server.origin}/exchange/${file}`
  await inWorker(tab, 'open', { kind, name })
  await inWorker(tab, 'put', { name, entries: ROWS })
  await inWorker(tab, 'close', { name })
  const sent = await tab.session.call(REMOTE, 'exportTo', { name, url: url('page.varve') })
  await tab.session.call(REMOTE, 'importFrom', { name: copy, url: url('page.varve'), kind })
  await assert.rejects(
    tab.session.call(REMOTE, 'importFrom', { name, url: url('page.varve'), kind }),
    /there is a database/,
  )
  await inWorker(tab, 'open', { kind, name: copy })
  assert.deepEqual(await inWorker(tab, 'rows', { name: copy }), ROWS)
  await inWorker(tab, 'close', { name: copy })
  const listed = await tab.session.call(REMOTE, 'list')
  assert.deepEqual(
    listed.map((one) => [one.name, one.storage]),
    [name, copy].map((one) => [one, kind]),
  )
  assert.equal(listed[0].size, sent.size)
  for (const one of [name, copy]) assert.equal(await tab.session.call(REMOTE, 'remove', { name: one }), true)
  assert.deepEqual(await tab.session.call(REMOTE, 'list'), [])
  await tab.close()
}

/** @param {string} browser @returns {{ name: string, long?: boolean, run: (bench: any) => Promise<void> }[]} */
export function scenarios(browser) {
  const kinds = browser === 'webkit' ? ['idb'] : ['opfs', 'idb']
  const all = kinds.flatMap((kind) => [
    { name: `${kind}: a reload keeps what was stored`, run: (bench) => keepsOverReload(bench, kind) },
    { name: `${kind}: a page imports and exports`, run: (bench) => exchangesInPage(bench, kind) },
    { name: `${kind}: a worker that ends loses nothing`, run: (bench) => survivesEndOfWorker(bench, kind) },
    { name: `${kind}: the native program reads it, and the reverse`, run: (bench) => exchangesWithNative(bench, kind) },
    {
      name: `${kind}: a restart keeps what was stored`,
      long: kind !== kinds[0],
      fresh: true,
      run: (bench) => keepsOverRestart(bench, kind),
    },
    ...['relaxed', 'strict'].map((durability) => ({
      name: `${kind}: a killed browser loses nothing that was acknowledged, ${durability}`,
      long: durability === 'relaxed' || browser !== 'chromium' || kind === 'idb',
      fresh: true,
      run: (bench) => survivesKill(bench, kind, durability, durability === 'strict' ? 2 : 4),
    })),
    ...(browser === 'chromium'
      ? [{ name: `${kind}: a full quota`, fresh: true, run: (bench) => survivesQuota(bench, kind) }]
      : []),
  ])
  if (browser === 'firefox') {
    all.push({ name: 'a private window is refused', fresh: true, run: refusesPrivateWindow })
  }
  return all
}

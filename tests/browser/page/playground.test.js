// The playground page, driven in Chromium as its users would: one profile, one test after the other.

import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'

import { chromium } from 'playwright-core'

import { serve } from '../../../tools/web.mjs'
import { namesMissing, overflowing, weakContrasts } from './accessible.js'

const PLACES_OF_CHROMIUM = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome']
const CHROMIUM = process.env['VARVE_CHROMIUM'] ?? PLACES_OF_CHROMIUM.find((place) => existsSync(place))
const ARGS = [
  ...['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run'],
  ...['--disable-background-networking', '--disable-component-update', '--disable-sync'],
]
const PLACES = 171_075
const VIEWS = ['data', 'live', 'engine', 'bench']

const directory = mkdtempSync(join(tmpdir(), 'varve-page-'))
/** What the pages said that they should not have. @type {string[]} */
const complaints = []
/** @type {Awaited<ReturnType<typeof serve>>} */
let server
/** @type {import('playwright-core').BrowserContext} */
let context
/** @type {import('playwright-core').Page} */
let page

/** @param {import('playwright-core').Page} opened */
function listen(opened) {
  opened.setDefaultTimeout(20_000)
  opened.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text())
  })
  opened.on('pageerror', (error) => complaints.push(String(error.stack ?? error)))
}

before(async () => {
  server = await serve(0)
  context = await chromium.launchPersistentContext(directory, {
    executablePath: CHROMIUM,
    args: ARGS,
    viewport: { width: 1200, height: 760 },
    acceptDownloads: true,
  })
  context.on('page', listen)
  page = context.pages()[0] ?? (await context.newPage())
  listen(page)
  await page.goto(process.env['VARVE_PAGE'] ?? server.address) // served by somebody else
})

after(async () => {
  await context?.close()
  await server?.close()
  rmSync(directory, { recursive: true, force: true, maxRetries: 5 })
})

/** Waits until the line under the list says so. @param {string} text @param {import('playwright-core').Page} [where] */
async function counts(text, where = page) {
  await where.waitForFunction((wanted) => document.querySelector('#key-count')?.textContent === wanted, text)
}

/** @param {string} text @param {'prefix' | 'contains'} [mode] */
async function search(text, mode = 'prefix') {
  await page.locator(`input[name=mode][value=${mode}]`).check({ force: true })
  await page.fill('#search', text)
}

/** The keys of the rows that are elements. */
const rows = () => page.locator('.key').allTextContents()

/** Waits for the end of a job. */
const idle = () => page.waitForFunction(() => /** @type {any} */ (document.querySelector('#job')).hidden)

/** Waits for the title of the entry. @param {string} key */
async function shows(key) {
  await page.waitForFunction((wanted) => document.querySelector('#entry-title')?.textContent === wanted, key)
}

test('begins empty, and loads the sample', async () => {
  await page.getByRole('heading', { name: 'Nothing is stored here yet' }).waitFor()
  assert.deepEqual(await namesMissing(page), [])
  await page.getByRole('button', { name: 'Load 171,075 places' }).click()
  await counts('171,075 entries')
  await idle()
  const elements = await page.locator('.key').count()
  assert.ok(elements > 10 && elements < 80, `${elements} elements for ${PLACES} rows`)
})

test('moves in the list by the keyboard', async () => {
  await page.locator('.key').first().click()
  await page.keyboard.press('End')
  await page.waitForFunction(() => document.querySelector('#entry-title')?.textContent?.startsWith('ZW/'))
  const active = page.locator('.key[tabindex="0"]')
  assert.equal(await active.count(), 1)
  assert.equal(await active.getAttribute('aria-posinset'), String(PLACES))
  assert.equal(await active.getAttribute('aria-setsize'), String(PLACES))
  await page.keyboard.press('PageUp')
  await page.keyboard.press('ArrowUp')
  assert.equal(await page.evaluate(() => document.activeElement?.getAttribute('aria-selected')), 'true')
  await page.evaluate(() => document.querySelector('#key-scroll')?.scrollTo(0, 0))
  await page.waitForFunction(() => document.querySelector('#key-0')?.textContent?.startsWith('AD/'))
  assert.equal(await active.count(), 1, 'the active row is still there, out of sight')
})

test('searches by the beginning and by a part of a key', async () => {
  await page.keyboard.press('/')
  assert.equal(await page.evaluate(() => document.activeElement?.id), 'search')
  await search('PT/A')
  await counts('134 matches')
  assert.ok((await rows()).every((key) => key.startsWith('PT/A')))
  await search('springfield', 'contains')
  await page.waitForFunction(() => {
    const keys = [...document.querySelectorAll('.key')].map((row) => row.textContent?.toLowerCase() ?? '')
    return keys.length > 3 && keys.every((key) => key.includes('springfield'))
  })
  await search('no such key')
  await page.getByText('No key begins with “no such key”.').waitFor()
  await page.getByRole('button', { name: 'Clear the search' }).click()
  await counts('171,075 entries')
})

test('edits a value as JSON, text and hexadecimal', async () => {
  await search('PT/Lisbon/')
  await counts('1 match')
  await page.keyboard.press('ArrowDown')
  await page.keyboard.press('ArrowDown')
  await page.waitForFunction(() => document.querySelector('#entry-title')?.textContent?.startsWith('PT/Lisbon/'))
  const value = page.locator('#entry-value')
  assert.match(await value.inputValue(), /^\{\n {2}"name": "Lisbon",\n/)
  await value.fill('{"name": }')
  await page.getByText(/^Not valid JSON: /).waitFor()
  assert.equal(await page.getByRole('button', { name: 'Save', exact: true }).isDisabled(), true)
  await value.fill('{ "name": "Lisboa", "big": 12345678901234567890 }')
  await page.keyboard.press('Control+s')
  await page.getByText(/^Saved · /).waitFor()
  await page.locator('input[name=entry-format][value=text]').check({ force: true })
  assert.equal(await value.inputValue(), '{"name":"Lisboa","big":12345678901234567890}')
  await page.locator('input[name=entry-format][value=hex]').check({ force: true })
  await value.fill('48 69 00 ff')
  await page.getByRole('button', { name: 'Save', exact: true }).click()
  await page.getByText(/^Saved · 4 bytes/).waitFor()
  await page.locator('input[name=entry-format][value=text]').dispatchEvent('click')
  await page.getByText(/not text in UTF-8/).waitFor()
})

test('adds, deletes and takes a deletion back', async () => {
  await search('')
  await counts('171,075 entries')
  await page.getByRole('button', { name: 'New entry' }).click()
  await page.getByLabel('Key', { exact: true }).fill('AA/first')
  await page.locator('#entry-value').fill('hello')
  await page.getByRole('button', { name: 'Save', exact: true }).click()
  await counts('171,076 entries')
  await page.waitForFunction(() => document.querySelector('#key-0')?.textContent === 'AA/first')
  await page.locator('#key-0').focus()
  await page.keyboard.press('Delete')
  await counts('171,075 entries')
  await page.getByRole('button', { name: 'Undo' }).click()
  await counts('171,076 entries')
  await shows('AA/first')
  assert.equal(await page.locator('#entry-value').inputValue(), 'hello')
  await page.getByRole('button', { name: 'Delete', exact: true }).click()
  await counts('171,075 entries')
})

test('exports a file, and opens it as another database', async () => {
  const [download] = await Promise.all([
    page.waitForEvent('download'),
    page.getByRole('button', { name: 'Export' }).click(),
  ])
  assert.equal(download.suggestedFilename(), 'playground.varve')
  const file = join(directory, 'places.varve')
  await download.saveAs(file)
  assert.equal(readFileSync(file).subarray(0, 8).toString(), 'VARVEONE')
  await page.setInputFiles('#file', file)
  await page.waitForFunction(() => document.querySelector('#database-name')?.textContent === 'places')
  await counts('171,075 entries')
  await page.setInputFiles('#file', {
    name: 'not.varve',
    mimeType: 'application/octet-stream',
    buffer: Buffer.alloc(9),
  })
  await page.getByText(/This is not a Varve database/).waitFor()
  assert.equal(await page.locator('#database-name').textContent(), 'places')
})

test('keeps what is stored over a reload', async () => {
  await page.reload()
  await counts('171,075 entries')
  assert.equal(await page.locator('#database-name').textContent(), 'places')
  await page.getByRole('button', { name: 'Database:' }).click()
  await page.getByRole('button', { name: 'playground', exact: true }).click()
  await page.waitForFunction(() => document.querySelector('#database-name')?.textContent === 'playground')
  await counts('171,075 entries')
  await search('PT/Lisbon/')
  await counts('1 match')
  await page.locator('.key').first().click()
  await page.waitForFunction(() => /** @type {any} */ (document.querySelector('#entry-value')).value === '48 69 00 ff')
})

test('shows in one tab what another one changes', async () => {
  const other = await context.newPage()
  await other.goto(page.url())
  await counts('171,075 entries', other)
  await other.getByRole('tab', { name: 'Live' }).click()
  await page.getByRole('button', { name: 'New entry' }).click()
  await page.getByLabel('Key', { exact: true }).fill('AA/live')
  await page.locator('#entry-value').fill('seen?')
  await page.getByRole('button', { name: 'Save', exact: true }).click()
  await other.getByRole('log').getByText('AA/live').waitFor()
  await other.getByRole('button', { name: 'Write an entry' }).click()
  await other.getByRole('tab', { name: 'Data' }).click()
  await counts('171,077 entries', other)
  await search('live/')
  await counts('1 match')
  await other.close()
})

test('shows figures, and checks the database', async () => {
  await page.getByRole('tab', { name: 'Engine' }).click()
  await page.getByRole('img', { name: /^Storage: Tables .*B, Log / }).waitFor()
  await page.getByRole('img', { name: /^Level 0: / }).waitFor()
  await page.getByRole('button', { name: 'Verify' }).click()
  await page.getByText(/^Checked [\d,]+ entries and .* all whole/).waitFor()
})

test('races against IndexedDB', async () => {
  await page.getByRole('tab', { name: 'Benchmark' }).click()
  await page.locator('input[name=bench-size][value="2000"]').check({ force: true })
  await page.getByRole('button', { name: 'Run' }).click()
  await page.getByText(/^Geometric mean of the 7 rows: × /).waitFor({ timeout: 20_000 })
  assert.equal(await page.locator('.factor').count(), 7)
})

for (const [name, width, scheme] of /** @type {const} */ ([
  ['on a desk', 1200, 'light'],
  ['in the dark', 1200, 'dark'],
  ['on a phone', 375, 'light'],
])) {
  test(`can be read and operated ${name}`, async () => {
    await page.setViewportSize({ width, height: 720 })
    await page.keyboard.press('Escape')
    await page.emulateMedia({ colorScheme: scheme })
    for (const view of VIEWS) {
      await page.locator(`#tab-${view}`).click()
      assert.deepEqual(await overflowing(page), [], view)
      assert.deepEqual(await namesMissing(page), [], view)
      assert.deepEqual(await weakContrasts(page), [], view)
    }
    await page.locator('#tab-data').click()
    await page.locator('.key').first().click()
    await page.locator('#entry-title').waitFor()
    assert.deepEqual(await overflowing(page), [])
    assert.deepEqual(await weakContrasts(page), [])
    await page.keyboard.press('Escape')
    if (width < 720) await page.locator('.key').first().waitFor()
  })
}

test('has nothing to complain about', () => {
  assert.deepEqual(complaints, [])
})

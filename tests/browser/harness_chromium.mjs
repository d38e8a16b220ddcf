// harness_chromium.mjs: Chromium, driven by Playwright over a persistent profile: the private file system of a
// temporary one is in memory and much slower.

import { chromium } from 'playwright-core'

import { chromiumPath } from '../../tools/browsers.mjs'
import { PageTab } from './harness_tab.mjs'

const ARGS = [
  ...['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-sync'],
  ...['--disable-background-networking', '--disable-component-update', '--disable-dev-shm-usage'],
]

export async function launchChromium({ server, profile, private: isPrivate = false }) {
  const options = { executablePath: chromiumPath(), args: ARGS, headless: true, chromiumSandbox: false }
  const browser = isPrivate ? await chromium.launch(options) : null
  const context = await (browser?.newContext() ?? chromium.launchPersistentContext(profile, options))
  const errors = []
  context.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) errors.push(`${message.text()} (${message.location().url})`)
  })
  context.on('weberror', (error) => errors.push(String(error.error())))
  return {
    errors,
    version: (browser ?? context.browser())?.version() ?? '',
    context,
    async open(page) {
      const session = server.session(page)
      const tab = new PageTab(await context.newPage(), session)
      await tab.page.goto(session.url)
      await session.ready()
      return tab
    },
    /** Lets the origin store so many bytes from now on; 0 = as many as ever. */
    async setQuota(tab, bytes) {
      const cdp = await context.newCDPSession(tab.page)
      const { origin } = server
      await cdp.send('Storage.overrideQuotaForOrigin', bytes === 0 ? { origin } : { origin, quotaSize: bytes })
      return cdp // the quota is as it was when this session ends
    },
    async close() {
      await context.close()
      await browser?.close()
    },
    ended: () => context.close().catch(() => {}),
  }
}

// harness_firefox.mjs: Firefox, driven by Puppeteer over WebDriver BiDi.

import puppeteer from 'puppeteer-core'

import { firefoxPath } from '../../tools/browsers.mjs'
import { PageTab } from './harness_tab.mjs'

const PREFERENCES = {
  'browser.shell.checkDefaultBrowser': false,
  'datareporting.policy.dataSubmissionEnabled': false,
  'app.update.disabledForTesting': true,
  'dom.ipc.processPrelaunch.enabled': false,
}

/** After a kill, Puppeteer puts the profile's preferences back while the next launch already wants them. */
async function launchPuppeteer(options) {
  for (let attempt = 0; ; attempt++) {
    try {
      return await puppeteer.launch(options)
    } catch (error) {
      if (attempt === 5 || error?.code !== 'ENOENT') throw error
    }
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
}

export async function launchFirefox({ server, profile, private: isPrivate = false }) {
  const browser = await launchPuppeteer({
    browser: 'firefox',
    executablePath: firefoxPath(),
    headless: true,
    userDataDir: profile,
    extraPrefsFirefox: { ...PREFERENCES, ...(isPrivate ? { 'browser.privatebrowsing.autostart': true } : {}) },
  })
  const errors = []
  return {
    errors,
    version: (await browser.version()).replace(/^firefox\//i, ''),
    async open(path) {
      const session = server.session(path)
      const page = await browser.newPage()
      page.on('console', (message) => {
        if (['error', 'warn', 'warning'].includes(message.type())) errors.push(message.text())
      })
      page.on('pageerror', (error) => errors.push(String(error)))
      const tab = new PageTab(page, session)
      await page.goto(session.url)
      await session.ready()
      return tab
    },
    close: () => browser.close(),
    ended: () => browser.close().catch(() => {}),
  }
}

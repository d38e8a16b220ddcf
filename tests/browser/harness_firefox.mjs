// harness_firefox.mjs: Firefox, driven by Puppeteer over WebDriver BiDi.

import { existsSync } from 'node:fs'
import puppeteer from 'puppeteer-core'

/** Where it is: VARVE_FIREFOX, or one of the usual places. */
export function firefoxPath() {
  const places = [process.env.VARVE_FIREFOX, '/usr/bin/firefox-esr', '/usr/bin/firefox']
  return places.find((place) => place !== undefined && existsSync(place))
}

const PREFERENCES = {
  'browser.shell.checkDefaultBrowser': false,
  'datareporting.policy.dataSubmissionEnabled': false,
  'app.update.disabledForTesting': true,
  'dom.ipc.processPrelaunch.enabled': false,
}

class FirefoxTab {
  constructor(page, session) {
    this.page = page
    this.session = session
  }

  async reload() {
    this.session.expectReload()
    await this.page.goto(this.session.url)
    await this.session.ready()
  }

  async close() {
    await this.page.close()
  }
}

export async function launchFirefox({ server, profile, private: isPrivate = false }) {
  const browser = await puppeteer.launch({
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
      const tab = new FirefoxTab(page, session)
      await page.goto(session.url)
      await session.ready()
      return tab
    },
    close: () => browser.close(),
    ended: () => browser.close().catch(() => {}),
  }
}

// harness_browsers.mjs: the browsers of the tests behind one interface.
//
//   const browser = await launch('chromium', { server, profile })
//   const tab = await browser.open()          a tab at the harness's page; tab.session.call() runs something in it
//   await tab.reload(); await tab.close(); await browser.close(); await browser.kill()
//
// A browser that was killed or closed is launched again with the same profile, and finds what it stored.

import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { chromiumPath, firefoxPath, miniBrowserPath } from '../../tools/browsers.mjs'
import { launchChromium } from './harness_chromium.mjs'
import { launchFirefox } from './harness_firefox.mjs'
import { launchWebKit } from './harness_webkit.mjs'

const LAUNCH = { chromium: launchChromium, firefox: launchFirefox, webkit: launchWebKit }

const PATH = { chromium: chromiumPath, firefox: firefoxPath, webkit: miniBrowserPath }

export const BROWSERS = Object.keys(LAUNCH)

/** Why a browser cannot be tested here; null when it can. @param {string} name */
export function missing(name) {
  return PATH[name]() === undefined ? 'it is not installed' : null
}

/** A directory for a profile, and how to remove it. */
export function temporaryProfile(name) {
  const path = mkdtempSync(join(tmpdir(), `varve-browser-${name}-`))
  return { path, remove: () => rmSync(path, { recursive: true, force: true, maxRetries: 10, retryDelay: 200 }) }
}

/** The processes that descend from ours and name the profile on their command line, or descend from such a one. */
function processesOf(profile) {
  const parents = new Map()
  const named = new Set()
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue
    try {
      const stat = readFileSync(`/proc/${entry}/stat`, 'utf8')
      parents.set(Number(entry), Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]))
      const environ = `${readFileSync(`/proc/${entry}/cmdline`)}\0${readFileSync(`/proc/${entry}/environ`)}`
      if (environ.includes(profile)) named.add(Number(entry))
    } catch {
      // It ended meanwhile, or is not ours.
    }
  }
  named.delete(process.pid)
  return [...named]
}

/** Kills every process of a profile at once, as when the machine's memory is out. @param {string} profile */
export function killProfile(profile) {
  for (let round = 0; round < 3; round++) {
    for (const pid of processesOf(profile)) {
      try {
        process.kill(pid, 'SIGKILL')
      } catch {
        // It ended meanwhile.
      }
    }
  }
}

/** @param {string} name @param {{ server: any, profile: string, private?: boolean, plain?: boolean }} options */
export async function launch(name, options) {
  const browser = await LAUNCH[name](options)
  const { close } = browser
  return Object.assign(browser, {
    name,
    isGone: false,
    async kill() {
      browser.isGone = true
      killProfile(options.profile)
      await browser.ended?.()
    },
    async close() {
      browser.isGone = true
      await close()
    },
  })
}

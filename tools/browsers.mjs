// browsers.mjs: where the browsers are that the tests run in. Imports nothing of npm: setup.mjs uses it.

import { existsSync } from 'node:fs'

/** Where it is: VARVE_CHROMIUM, or one of the usual places. */
export function chromiumPath() {
  const places = [
    process.env.VARVE_CHROMIUM,
    '/usr/bin/chromium',
    '/usr/bin/chromium-browser',
    '/usr/bin/google-chrome',
  ]
  return places.find((place) => place !== undefined && existsSync(place))
}

/** Where it is: VARVE_FIREFOX, or one of the usual places. */
export function firefoxPath() {
  const places = [process.env.VARVE_FIREFOX, '/usr/bin/firefox-esr', '/usr/bin/firefox']
  return places.find((place) => place !== undefined && existsSync(place))
}

/** Where it is: VARVE_MINIBROWSER, or one of the usual places. */
export function miniBrowserPath() {
  const machine = process.arch === 'arm64' ? 'aarch64' : 'x86_64'
  const places = [
    process.env.VARVE_MINIBROWSER,
    `/usr/lib/${machine}-linux-gnu/webkit2gtk-4.1/MiniBrowser`,
    '/usr/libexec/webkit2gtk-4.1/MiniBrowser',
    '/usr/lib/webkit2gtk-4.1/MiniBrowser',
  ]
  return places.find((place) => place !== undefined && existsSync(place))
}

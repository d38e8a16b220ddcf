// tab.js: one tab under test: the package, for functions that the harness evaluates in the page.

import * as varve from '/bindings/js/browser.js'

Object.assign(globalThis, { varve, ready: true })

#!/usr/bin/env node
// test_browser.mjs: npm run test:browser: the tests that run in real browsers, and what came of them, a line for each
// browser.
//
//   npm run test:browser                      what npm test runs, in every browser that is there, side by side
//   npm run test:browser -- --all             with those that take longer
//   npm run test:browser -- firefox quota     one browser, and only what has "quota" in its name
//   npm run test:browser -- --verbose         and what they say of themselves
//   npm run test:browser -- --need            a browser that is missing is a failure
//   npm run test:browser -- --one-by-one      one browser after the other
//
// VARVE_CHROMIUM, VARVE_FIREFOX and VARVE_MINIBROWSER say where browsers are that are not in the usual places,
// VARVE_PROGRAM where the native program is (build/release/varve), VARVE_SEED what random tests begin with.

import { setUp } from './setup.mjs'

setUp('test')
const { main } = await import(new URL('../tests/browser/browser_main.mjs', import.meta.url).href)
process.exitCode = await main(process.argv.slice(2))

#!/usr/bin/env node
// test_browser.mjs: npm run test:browser: the tests that run in real browsers, and what came of them, a line for each
// browser.
//
//   npm run test:browser                      what npm test runs, in every browser that is there
//   npm run test:browser -- --all             with those that take longer
//   npm run test:browser -- firefox quota     one browser, and only what has "quota" in its name
//   npm run test:browser -- --need            a browser that is missing is a failure
//
// VARVE_CHROMIUM, VARVE_FIREFOX and VARVE_MINIBROWSER say where browsers are that are not in the usual places.

import { main } from '../tests/browser/browser_main.mjs'

process.exitCode = await main(process.argv.slice(2))

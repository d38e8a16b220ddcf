#!/usr/bin/env node
// test.mjs: npm test: every check and every test, step by step, each with its time; it stops at the first step that
// fails.
//
//   npm test                all steps but those that are run when asked for (asan, browser)
//   npm test -- js cli      only the steps whose names begin so
//   npm test -- --list      the names of the steps

import { spawn } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'

import { root, setUp } from './setup.mjs'

const JOBS = String(availableParallelism())
const LAST_LINES = 200
/** What ctest says of every test, which hides the few that failed. */
const PASSING = /^ *Start +\d+: |^ *\d+\/\d+ Test .* Passed +[\d.]+ sec *$/
/** A warning of this machine's compilers fails the tests; in other builds a newer compiler's does not. */
const STRICT = ['-DVARVE_WERROR=ON']

/** @typedef {{ passed: number, output: string }} Outcome */
/** @typedef {{ name: string, what: string, run: () => Promise<Outcome>, asked?: boolean }} Step */

/** @param {string} command @param {string[]} args @param {NodeJS.ProcessEnv} [env] @returns {Promise<string>} */
function output(command, args, env) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: root,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let text = ''
    child.stdout.on('data', (data) => (text += data))
    child.stderr.on('data', (data) => (text += data))
    child.on('error', (error) => reject(new Error(`${command} could not be started: ${error.message}`)))
    child.on('close', (code, signal) => {
      if (code === 0) return resolve(text)
      const failing = text.lastIndexOf('failing tests:')
      const lines = (failing < 0 ? text : text.slice(failing)).trimEnd().split('\n')
      const tail = lines
        .filter((line) => !PASSING.test(line))
        .slice(-LAST_LINES)
        .join('\n')
      reject(new Error(`${tail}\n\n${command} ${args.join(' ')}: ${signal ?? `exit code ${code}`}`))
    })
  })
}

/** Configures, builds and runs the native tests of a preset. @param {string} preset @param {string[]} [filter] */
function nativeStep(preset, filter = []) {
  return async () => {
    await output('cmake', ['--preset', preset, ...STRICT])
    await output('cmake', ['--build', '--preset', preset, '--', '--quiet'])
    const text = await output('ctest', ['--preset', preset, '-j', JOBS, ...filter])
    const match = /tests passed, \d+ tests? failed out of (\d+)/.exec(text)
    return { passed: Number(match?.[1] ?? 0), output: text }
  }
}

/** @param {string[]} files @param {NodeJS.ProcessEnv} [env] @param {string[]} [flags] */
async function nodeTests(files, env, flags = []) {
  const text = await output(process.execPath, [...flags, '--test', '--test-reporter=spec', ...files], env)
  return { passed: Number(/^\S+ pass (\d+)/m.exec(text)?.[1] ?? 0), output: text }
}

/** @param {string} directory */
function testFiles(directory) {
  if (!existsSync(join(root, directory))) return []
  return readdirSync(join(root, directory))
    .filter((name) => name.endsWith('.test.js'))
    .sort()
    .map((name) => join(directory, name))
}

/** @param {string} preset */
async function build(preset) {
  await output('cmake', ['--preset', preset, ...STRICT])
  return { passed: 0, output: await output('cmake', ['--build', '--preset', preset, '--', '--quiet']) }
}

/** The model test once more, where a few hundred entries reach every level. */
async function tinyModel() {
  await output('cmake', [
    '--preset',
    'wasm',
    '-B',
    'build/wasm-tiny',
    '-DVARVE_TINY=ON',
    '-DVARVE_DEBUG=ON',
    '-DVARVE_DIST=',
    ...STRICT,
  ])
  await output('cmake', ['--build', 'build/wasm-tiny', '--', '--quiet'])
  return nodeTests(['tests/js/model.test.js'], {
    VARVE_WASM: join(root, 'build/wasm-tiny/varve.wasm'),
    VARVE_SEEDS: '8',
  })
}

/** The crash simulator: so many seeds, every seed that once failed, and the sanitised build. */
async function torture() {
  const text = await output(process.execPath, ['tools/torture.mjs', '--seeds', '5000', '--plain'])
  const seeds = [...text.matchAll(/: (\d+) seeds/g)].map((match) => Number(match[1]))
  return { passed: seeds.reduce((sum, count) => sum + count, 0), output: text }
}

/** The same seeds natively and in WebAssembly. */
async function traces() {
  const text = await output(process.execPath, ['tools/torture.mjs', '--trace-seeds', '200'])
  return { passed: Number(/traces of (\d+) runs/.exec(text)?.[1] ?? 0), output: text }
}

/** What runs in real browsers. */
async function browsers() {
  const text = await output(process.execPath, ['tools/test_browser.mjs', '--need'])
  const passed = [...text.matchAll(/^ok .* (\d+) passed/gm)].reduce((sum, match) => sum + Number(match[1]), 0)
  return { passed, output: text }
}

/** @returns {Step[]} */
function steps() {
  return [
    {
      name: 'check',
      what: 'tools/check',
      run: async () => ({ passed: 1, output: await output(process.execPath, ['tools/check']) }),
    },
    { name: 'release', what: 'native tests, release', run: nativeStep('release') },
    // 'tiny' is sanitised too, and comes to more places: this one runs when it is asked for.
    {
      name: 'asan',
      what: 'native tests, address and undefined-behaviour sanitizers',
      run: nativeStep('asan', ['-LE', 'crash|corruption|model']),
      asked: true,
    },
    { name: 'tiny', what: 'native tests, shrunken constants', run: nativeStep('tiny') },
    { name: 'torture', what: 'crash simulator, both layouts, release and sanitised', run: torture },
    { name: 'trace', what: 'crash simulator, native and WebAssembly do the same', run: traces },
    { name: 'tsan', what: 'thread tests, thread sanitizer', run: nativeStep('tsan', ['-R', 'thread|sync']) },
    {
      name: 'wasm',
      what: 'build of varve.wasm',
      run: async () => ({ passed: 0, output: await output(process.execPath, ['tools/build_wasm.mjs']) }),
    },
    { name: 'model', what: 'random histories in varve.wasm, shrunken constants', run: tinyModel },
    { name: 'wasi', what: 'build of the WASI program', run: () => build('wasi') },
    { name: 'cli', what: 'the command-line program, native and WASI', run: () => nodeTests(testFiles('tests/cli')) },
    {
      name: 'process',
      what: 'processes killed, racing, forking, on a full disk',
      run: () => nodeTests(testFiles('tests/process')),
    },
    { name: 'js', what: 'the JavaScript package', run: () => nodeTests(testFiles('tests/js'), {}, ['--expose-gc']) },
    // Runs when it is asked for, until its chaos of tabs loses nothing any more: docs/TESTING.md, "What is open".
    { name: 'browser', what: 'Chromium, Firefox and WebKitGTK', run: browsers, asked: true },
    { name: 'page', what: 'the playground page in Chromium', run: () => nodeTests(testFiles('tests/browser/page')) },
  ]
}

async function main() {
  const wanted = process.argv.slice(2)
  const all = steps()
  if (wanted.includes('--list')) return console.log(all.map(({ name, what }) => `${name.padEnd(8)} ${what}`).join('\n'))
  const chosen = all.filter(({ name, asked }) =>
    wanted.length === 0 ? !asked : wanted.some((prefix) => name.startsWith(prefix)),
  )
  if (chosen.length === 0) throw new Error(`There is no step ${wanted.join(', ')}: npm test -- --list names them`)
  setUp('test')
  const since = performance.now()
  let passed = 0
  for (const { name, what, run } of chosen) {
    const start = performance.now()
    try {
      const outcome = await run()
      passed += outcome.passed
      const count = outcome.passed > 0 ? `${outcome.passed} passed` : 'done'
      console.log(`ok    ${name.padEnd(8)} ${what.padEnd(58)} ${count.padStart(12)}  ${seconds(start)}`)
    } catch (error) {
      console.log(`FAIL  ${name.padEnd(8)} ${what.padEnd(58)} ${''.padStart(12)}  ${seconds(start)}\n`)
      console.log(error instanceof Error ? error.message : error)
      console.log(`\nThe step '${name}' failed; run it alone with: npm test -- ${name}`)
      console.log(`${passed} passed, 1 failed, in ${seconds(since).trim()}`)
      process.exitCode = 1
      return
    }
  }
  console.log(`${passed} passed, 0 failed, in ${seconds(since).trim()}`)
}

/** @param {number} since */
function seconds(since) {
  return `${((performance.now() - since) / 1000).toFixed(1)} s`.padStart(8)
}

try {
  await main()
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 1
}

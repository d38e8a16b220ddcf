#!/usr/bin/env node
// build.mjs: npm run build: the native library and command-line program in release mode, and the engine for JavaScript.

import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

import { root, setUp } from './setup.mjs'

/** What a release consists of; not the tests. */
export const RELEASE = ['varve', 'varve_static', 'varve_cli']

/** Runs a program; what it prints is shown only when it fails. @param {string} command @param {string[]} args */
export function runQuietly(command, args) {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  })
  if (error !== undefined) throw new Error(`${command} could not be started: ${error.message}`)
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} failed (exit code ${status}):\n${stdout}${stderr}`)
}

/** Configures and builds a preset. @param {string} preset @param {string[]} [targets] */
export function cmakeBuild(preset, targets = []) {
  if (!existsSync(join(root, 'build', preset, 'build.ninja'))) runQuietly('cmake', ['--preset', preset])
  const chosen = targets.flatMap((target) => ['--target', target])
  runQuietly('cmake', ['--build', '--preset', preset, ...chosen, '--', '--quiet'])
}

async function main() {
  setUp('start')
  const { buildWasm } = await import('./build_wasm.mjs')
  cmakeBuild('release', RELEASE)
  console.log('build/release: the library and the program varve')
  buildWasm()
}

/* Not awaited: build_wasm.mjs imports this module and would wait for it to end. */
if (process.argv[1] === fileURLToPath(import.meta.url)) {
  main().catch((error) => {
    console.error(error instanceof Error ? error.message : error)
    process.exit(1)
  })
}

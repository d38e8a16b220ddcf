#!/usr/bin/env node
// build_wasm.mjs: builds the engine for JavaScript by the CMake preset `wasm` and puts it where the package looks for
// it, dist/varve.wasm.

import { copyFileSync, mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'

import { cmakeBuild } from './build.mjs'
import { root } from './setup.mjs'

/** @param {{ quiet?: boolean }} [options] */
export function buildWasm({ quiet = false } = {}) {
  cmakeBuild('wasm')
  const from = join(root, 'build/wasm/varve.wasm')
  const to = join(root, 'dist/varve.wasm')
  const bytes = readFileSync(from)
  const imports = WebAssembly.Module.imports(new WebAssembly.Module(bytes))
  const unknown = imports.filter(({ module }) => module !== 'host' && module !== 'wasi_snapshot_preview1')
  const strange = unknown.filter(({ name }) => name !== 'emscripten_notify_memory_growth')
  if (strange.length > 0) {
    throw new Error(`varve.wasm asks its host for what no host has: ${strange.map(({ name }) => name).join(', ')}`)
  }
  mkdirSync(join(root, 'dist'), { recursive: true })
  copyFileSync(from, to)
  if (!quiet) {
    const kib = (/** @type {number} */ size) => `${(size / 1024).toFixed(1)} KiB`
    const size = `${kib(bytes.length)}, ${kib(gzipSync(bytes, { level: 9 }).length)} gzipped`
    console.log(`dist/varve.wasm: ${size}`)
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    buildWasm()
  } catch (error) {
    console.error(error instanceof Error ? error.message : error)
    console.error(
      '\ndist/varve.wasm could not be built; the package is nothing without it. npm run build sets up what it needs.',
    )
    process.exitCode = 1
  }
}

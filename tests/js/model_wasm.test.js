/**
 * The random histories of tests/support/model.h in WebAssembly: the program of tests/model/model_main.c, built with
 * wasi-libc, runs seeds under node:wasi and must agree with its sorted array at every step, and do what the native
 * program does for the same seeds.
 *
 * VARVE_MODEL and VARVE_MODEL_WASM name the programs; else they are looked for where the CMake presets put them.
 * VARVE_TEST_SCALE is a percentage of the seeds.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'

const root = resolve(fileURLToPath(import.meta.url), '../../..')
const launcher = join(root, 'tests/support/run_wasi.mjs')
const scale = Number(process.env['VARVE_TEST_SCALE'] ?? '100') / 100

/** Counts that do not depend on where the seeds run. */
const SAME = ['seeds', 'operations', 'reopens', 'snapshots_read', 'iterated', 'range_deletes', 'batches']

/**
 * @param {string | undefined} named
 * @param {string[]} places
 */
function find(named, places) {
  if (named !== undefined && named !== '') return resolve(named)
  return places.map((place) => join(root, place)).find((place) => existsSync(place))
}

const native = find(process.env['VARVE_MODEL'], ['build/dev/model_main', 'build/release/model_main'])
const wasm = find(process.env['VARVE_MODEL_WASM'], ['build/wasi/model_main.wasm'])
const tiny = find(process.env['VARVE_MODEL_TINY_WASM'], ['build/wasi/model_main_tiny.wasm'])

/**
 * The counts that a run of the program prints.
 * @param {string[]} command
 * @param {number} seeds
 * @param {string} place
 * @returns {Record<string, number>}
 */
function run(command, seeds, place) {
  const [program = '', ...before] = command
  const count = String(Math.max(1, Math.round(seeds * scale)))
  const result = spawnSync(program, [...before, count, '1', place], { encoding: 'utf8' })
  assert.equal(result.status, 0, result.stderr)
  return JSON.parse(result.stdout)
}

/**
 * A run in a directory that is removed afterwards.
 * @param {string[]} command
 * @param {number} seeds
 */
function runOnDisk(command, seeds) {
  const place = mkdtempSync(join(tmpdir(), 'varve-model-'))
  try {
    return run(command, seeds, place)
  } finally {
    rmSync(place, { recursive: true, force: true })
  }
}

/** @param {Record<string, number>} counts */
const comparable = (counts) => SAME.map((name) => [name, counts[name]])

/** @param {string} program */
const wasi = (program) => [process.execPath, launcher, program]

const missing = 'build the preset wasi first: cmake --preset wasi && cmake --build --preset wasi'

describe(
  'random histories in WebAssembly',
  { skip: wasm === undefined || tiny === undefined ? missing : false },
  () => {
    test('in memory', () => {
      const counts = run(wasi(wasm ?? ''), 200, ':memory:')
      assert.ok((counts['flushes'] ?? 0) > 0 && (counts['snapshots_read'] ?? 0) > 0)
      if (native !== undefined) assert.deepEqual(comparable(counts), comparable(run([native], 200, ':memory:')))
    })

    test('in a directory, reopened', () => {
      const counts = runOnDisk(wasi(wasm ?? ''), 20)
      assert.ok((counts['reopens'] ?? 0) > 0)
      if (native !== undefined) assert.deepEqual(comparable(counts), comparable(runOnDisk([native], 20)))
    })

    test('with shrunken constants', () => {
      const counts = run(wasi(tiny ?? ''), 60, ':memory:')
      assert.ok((counts['compactions'] ?? 0) > 0 && (counts['moves'] ?? 0) > 0)
      const reopened = runOnDisk(wasi(tiny ?? ''), 10)
      assert.ok((reopened['reopens'] ?? 0) > 0)
    })
  },
)

/**
 * Runs a WASI program: `node run_wasi.mjs PROGRAM.wasm [ARGUMENT...]`.
 *
 * The program sees the directories of the root, and the working directory as `.`; its standard streams are those of
 * this process, and its exit status becomes ours. (The root itself is not shown: wasi-libc cannot tell it from `.`.)
 */
import { accessSync, constants, readdirSync, statSync } from 'node:fs'
import { readFile } from 'node:fs/promises'

// node:wasi warns once that it is experimental; on standard error that would look like words of the program.
process.removeAllListeners('warning')
const { WASI } = await import('node:wasi')

const [program, ...rest] = process.argv.slice(2)
if (program === undefined) {
  process.stderr.write('run_wasi.mjs: the form is `node run_wasi.mjs PROGRAM.wasm [ARGUMENT...]`\n')
  process.exit(2)
}

/** Each directory of the root that we may look into. */
function directoriesOfRoot() {
  /** @type {Record<string, string>} */
  const found = {}
  for (const name of readdirSync('/')) {
    try {
      accessSync(`/${name}`, constants.R_OK | constants.X_OK)
      if (statSync(`/${name}`).isDirectory()) found[`/${name}`] = `/${name}`
    } catch {
      // Not ours to read: the program finds no such directory.
    }
  }
  return found
}

const wasi = new WASI({
  version: 'preview1',
  args: ['varve', ...rest],
  env: { ...process.env },
  preopens: { '.': process.cwd(), ...directoriesOfRoot() },
})

// When WebAssembly calls node:wasi directly, V8 hands it the memory as it was at the start, which is gone after the
// first memory.grow: the process then crashes at random (https://github.com/nodejs/node/issues/53087). A function
// in between makes it an ordinary call.
/** @type {Record<string, (...values: any[]) => number>} */
const calls = {}
for (const [name, call] of Object.entries(wasi.wasiImport))
  calls[name] = (...values) => Reflect.apply(call, undefined, values)

const { instance } = await WebAssembly.instantiate(await readFile(program), { wasi_snapshot_preview1: calls })
process.exitCode = wasi.start(instance)

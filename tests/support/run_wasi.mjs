/**
 * Runs a WASI program: `node run_wasi.mjs PROGRAM.wasm [ARGUMENT...]`.
 *
 * The program sees the whole file system as `/` and the working directory as `.`, its standard streams are those of
 * this process, and its exit status becomes ours.
 */
import { readFile } from 'node:fs/promises'

// node:wasi warns once that it is experimental; on standard error that would look like words of the program.
process.removeAllListeners('warning')
const { WASI } = await import('node:wasi')

const [program, ...rest] = process.argv.slice(2)
if (program === undefined) {
  process.stderr.write('run_wasi.mjs: the form is `node run_wasi.mjs PROGRAM.wasm [ARGUMENT...]`\n')
  process.exit(2)
}
const wasi = new WASI({
  version: 'preview1',
  args: ['varve', ...rest],
  env: { ...process.env },
  // In this order: wasi-libc asks the last one first, and its '.' would take absolute paths too.
  preopens: { '.': process.cwd(), '/': '/' },
})
const { instance } = await WebAssembly.instantiate(
  await readFile(program),
  /** @type {WebAssembly.Imports} */ (wasi.getImportObject()),
)
process.exitCode = wasi.start(instance)

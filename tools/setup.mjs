// setup.mjs: makes the machine ready for a task: system packages (installed when we are root on a Debian, otherwise
// named) and the packages of npm. What is there already costs a fraction of a second.

import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs'
import { delimiter, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

import { chromiumPath, firefoxPath, miniBrowserPath } from './browsers.mjs'

export const root = resolve(fileURLToPath(new URL('..', import.meta.url)))

const NODE_MIN = [20, 19]

/** What is needed, by the package of Debian that has it, and how to see that it is there: another installation (of
 * emsdk, a package manager, a compiler of one's own) is as good. @type {Record<string, () => boolean>} */
const BUILD = {
  cmake: () => onPath('cmake'),
  'ninja-build': () => onPath('ninja'),
  gcc: () => onPath('cc'),
  'libc6-dev': () => header('stdio.h'),
  emscripten: () => onPath('emcc'),
  'libedit-dev': () => header('editline/readline.h'),
}

/** @type {Record<string, () => boolean>} */
const TEST = {
  clang: () => onPath('clang'),
  'clang-format-14': () => onPath('clang-format-14') || onPath('clang-format'),
  lld: () => onPath('wasm-ld'),
  'wasi-libc': () => existsSync('/usr/include/wasm32-wasi'),
  'libclang-rt-14-dev-wasm32': () => clangLibrary(/builtins.*wasm32|wasm32.*builtins/),
  'libclang-rt-14-dev': () => clangLibrary(/clang_rt\.asan/),
  'pkg-config': () => onPath('pkg-config') || onPath('pkgconf'),
  'libcmocka-dev': () => header('cmocka.h'),
  'liblz4-dev': () => header('lz4.h'),
  'libxxhash-dev': () => header('xxhash.h'),
  chromium: () => chromiumPath() !== undefined,
  'firefox-esr': () => firefoxPath() !== undefined,
  'webkit2gtk-driver': () => miniBrowserPath() !== undefined && onPath('WebKitWebDriver'),
  xvfb: () => onPath('Xvfb'),
}

/** @type {Record<'start' | 'test', Record<string, () => boolean>>} */
const NEEDS = { start: BUILD, test: { ...BUILD, ...TEST } }

/** @param {string} text @returns {never} */
function stop(text) {
  console.error(text)
  process.exit(1)
}

/** @param {string} program */
function onPath(program) {
  return (process.env['PATH'] ?? '').split(delimiter).some((dir) => existsSync(join(dir, program)))
}

/** @param {string} name a header of C */
function header(name) {
  const { CPATH = '', C_INCLUDE_PATH = '', CMAKE_PREFIX_PATH = '' } = process.env
  const named = [CPATH, C_INCLUDE_PATH].flatMap((list) => list.split(delimiter))
  const prefixes = ['/usr', '/usr/local', ...CMAKE_PREFIX_PATH.split(delimiter)]
  const places = [...named, ...prefixes.map((prefix) => (prefix === '' ? '' : join(prefix, 'include')))]
  return places.some((place) => place !== '' && existsSync(join(place, name)))
}

/** Whether clang has a library of its own whose path matches. @param {RegExp} pattern */
function clangLibrary(pattern) {
  const { stdout } = spawnSync('clang', ['-print-resource-dir'], { encoding: 'utf8' })
  const place = join((stdout ?? '').trim(), 'lib')
  if (place === 'lib' || !existsSync(place)) return false
  return readdirSync(place).some((target) => {
    const names = statSync(join(place, target)).isDirectory() ? readdirSync(join(place, target)) : []
    return names.some((name) => pattern.test(`${target}/${name}`))
  })
}

/** @param {string} command @param {string[]} args @param {NodeJS.ProcessEnv} [env] */
function run(command, args, env) {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: 'inherit', env: { ...process.env, ...env } })
  if (error !== undefined) stop(`${command} could not be started: ${error.message}`)
  if (status !== 0) stop(`${command} ${args.join(' ')} failed (exit code ${status}); its output is above`)
}

/** @param {'start' | 'test'} task */
function setUpSystem(task) {
  const missing = Object.entries(NEEDS[task]).flatMap(([name, isThere]) => (isThere() ? [] : [name]))
  if (missing.length === 0) return
  if (!onPath('apt-get')) {
    stop(`Something is missing. Debian has it in these packages; install them, or their like, and try again:

  ${missing.join(' ')}
`)
  }
  if (process.getuid?.() !== 0) {
    stop(`These packages are missing. Install them and try again:\n\n  sudo apt-get install ${missing.join(' ')}\n`)
  }
  console.log(`Installing ${missing.length} system packages: ${missing.join(' ')}`)
  run('apt-get', ['update', '-qq'])
  run('apt-get', ['install', '-y', '-qq', '--no-install-recommends', ...missing], { DEBIAN_FRONTEND: 'noninteractive' })
}

/** node_modules is as package-lock.json says when npm's own copy of it is not older. */
function setUpNpm() {
  const lock = join(root, 'package-lock.json')
  const installed = join(root, 'node_modules', '.package-lock.json')
  if (existsSync(installed) && statSync(installed).mtimeMs >= statSync(lock).mtimeMs) return
  if (existsSync(installed) && samePackages(lock, installed)) return
  console.log('Installing the packages of npm')
  run('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'])
}

/** @param {string} lock @param {string} installed */
function samePackages(lock, installed) {
  /** @param {string} path */
  const versions = (path) => {
    const { packages } = JSON.parse(readFileSync(path, 'utf8'))
    const names = Object.keys(packages).filter((name) => name !== '' && !packages[name].optional)
    return names.sort().map((name) => `${name} ${packages[name].version}`)
  }
  return versions(lock).join() === versions(installed).join()
}

/** @param {'start' | 'test'} task */
export function setUp(task) {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
  const [majorMin = 0, minorMin = 0] = NODE_MIN
  if (major < majorMin || (major === majorMin && minor < minorMin)) {
    stop(
      `Varve needs Node ${NODE_MIN.join('.')} or later; this is ${process.version}. See https://nodejs.org/en/download`,
    )
  }
  setUpSystem(task)
  setUpNpm()
}

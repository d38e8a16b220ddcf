// setup.mjs: makes the machine ready for a task: system packages (installed when we are root on a Debian, otherwise
// named) and the packages of npm. What is there already costs a fraction of a second.

import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { delimiter, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = resolve(fileURLToPath(new URL('..', import.meta.url)))

const NODE_MIN = [20, 19]

const BUILD = ['cmake', 'ninja-build', 'gcc', 'libc6-dev', 'emscripten', 'libedit-dev']
const TEST = [
  ...['clang', 'clang-format-14', 'lld', 'wasi-libc', 'libclang-rt-14-dev-wasm32', 'libclang-rt-14-dev', 'pkg-config'],
  ...['libcmocka-dev', 'liblz4-dev', 'libxxhash-dev'],
]

/** The Debian packages that each task needs. @type {Record<'start' | 'test', string[]>} */
const PACKAGES = { start: BUILD, test: [...BUILD, ...TEST] }

/** Programs to look for where there is no dpkg, and what they are for. @type {[string, string][]} */
const PROGRAMS = [
  ['cmake', 'CMake 3.25 or later'],
  ['ninja', 'Ninja'],
  ['cc', 'a C compiler'],
  ['emcc', 'Emscripten'],
]

/** @param {string} text @returns {never} */
function stop(text) {
  console.error(text)
  process.exit(1)
}

/** @param {string} program */
function onPath(program) {
  return (process.env['PATH'] ?? '').split(delimiter).some((dir) => existsSync(join(dir, program)))
}

/** @param {string[]} names */
function notInstalled(names) {
  const { stdout } = spawnSync('dpkg-query', ['-W', '-f', '${Package} ${db:Status-Status}\n', ...names], {
    encoding: 'utf8',
  })
  const installed = new Set(
    (stdout ?? '')
      .split('\n')
      .filter((line) => line.endsWith(' installed'))
      .map((line) => line.split(' ')[0]),
  )
  return names.filter((name) => !installed.has(name))
}

/** @param {string} command @param {string[]} args @param {NodeJS.ProcessEnv} [env] */
function run(command, args, env) {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: 'inherit', env: { ...process.env, ...env } })
  if (error !== undefined) stop(`${command} could not be started: ${error.message}`)
  if (status !== 0) stop(`${command} ${args.join(' ')} failed (exit code ${status}); its output is above`)
}

/** @param {'start' | 'test'} task */
function setUpSystem(task) {
  if (!onPath('dpkg-query')) {
    const missing = PROGRAMS.filter(([program]) => !onPath(program))
    if (missing.length === 0) return
    const names = missing.map(([program, what]) => `  ${program}  (${what})`).join('\n')
    stop(`These programs are missing:\n${names}\nInstall them and try again.`)
  }
  const missing = notInstalled(PACKAGES[task])
  if (missing.length === 0) return
  if (process.getuid?.() !== 0 || !onPath('apt-get')) {
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

// package.test.js: what is in the package: its types, its files, its sizes, and that its generated file is up to date.

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { it } from 'node:test'
import ts from 'typescript'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'

const root = fileURLToPath(new URL('../../', import.meta.url))
const run = (command, args) => execFileSync(command, args, { cwd: root, encoding: 'utf8', stdio: 'pipe' })

/** What a bundler would ship, at most. */
function withoutComments(text) {
  const compilerOptions = { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext, removeComments: true }
  return ts.transpileModule(text, { compilerOptions }).outputText
}

it('has types that a program can be written against', () => {
  const options = [
    '--ignoreConfig',
    '--noEmit',
    '--strict',
    '--target',
    'es2022',
    '--module',
    'nodenext',
    '--skipLibCheck',
  ]
  const major = Number(
    JSON.parse(readFileSync(`${root}node_modules/typescript/package.json`, 'utf8')).version.split('.')[0],
  )
  const known = major >= 6 ? options : options.slice(1)
  const libraries = ['--lib', 'es2022,esnext.disposable,dom', '--types', 'node']
  run(process.execPath, ['node_modules/typescript/bin/tsc', ...known, ...libraries, 'tests/js/types_sample.ts'])
})

it('can be imported by its name', async () => {
  const varve = await import('varve')
  assert.deepEqual(Object.keys(varve).sort(), [
    'Database',
    'DatabaseError',
    'HostError',
    'Keyspace',
    'MemoryHost',
    'Snapshot',
  ])
})

it('runs in a host that has nothing of Node’s', () => {
  const source = `
    const bytes = require('node:fs').readFileSync('dist/varve.wasm')
    delete globalThis.Buffer
    delete globalThis.setImmediate
    import('./bindings/js/browser.js').then(async ({ Database }) => {
      const db = await Database.open('a name', { wasm: bytes })
      await Promise.all(Array.from({ length: 300 }, (_, i) => db.put('key ' + i, 'ü'.repeat(i))))
      const rows = []
      for await (const [key, value] of db.entries({ prefix: 'key 29' })) rows.push(key + value.length)
      const commits = db.stats().commits
      await db.close()
      const again = await Database.open('a name', { wasm: bytes, createIfMissing: false })
      console.log(rows.join(), commits, await again.count(), (await again.get('key 299')).length)
      process.exit(0)
    })`
  const out = run(process.execPath, ['-e', source]).trim()
  assert.equal(
    out,
    'key 2929,key 290290,key 291291,key 292292,key 293293,key 294294,key 295295,key 296296,key 297297,key 298298,' +
      'key 299299 1 300 299',
  )
})

it('has numbers that are those of C', () => {
  run(process.execPath, ['tools/gen_abi.mjs', '--check'])
})

it('stays within its sizes', () => {
  const files = JSON.parse(run('npm', ['pack', '--dry-run', '--json', '--loglevel=silent']))[0].files
  const names = files.map(({ path }) => path)
  assert.ok(names.includes('dist/varve.wasm') && names.includes('bindings/js/index.d.ts'))
  const code = names
    .filter((name) => name.endsWith('.js'))
    .map((name) => withoutComments(readFileSync(root + name, 'utf8')))
  const js = gzipSync(code.join(''), { level: 9 }).length
  const wasm = gzipSync(readFileSync(`${root}dist/varve.wasm`), { level: 9 }).length
  assert.ok(wasm <= 250 * 1024, `varve.wasm is ${wasm} bytes gzipped`)
  assert.ok(js <= 25 * 1024, `the JavaScript is ${js} bytes gzipped`)
})

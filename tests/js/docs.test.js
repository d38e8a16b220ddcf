// docs.test.js: docs/API.md mentions everything public, and the examples of README.md and docs/API.md do what they say.

import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, it } from 'node:test'
import ts from 'typescript'
import { fileURLToPath } from 'node:url'
import * as varve from 'varve'
import { STATUS } from '../../bindings/js/src/abi.js'

const root = fileURLToPath(new URL('../../', import.meta.url))
const read = (path) => readFileSync(join(root, path), 'utf8')
const api = read('docs/API.md')

const home = process.cwd()
const directory = mkdtempSync(join(tmpdir(), 'varve-docs-'))
after(() => {
  process.chdir(home)
  rmSync(directory, { recursive: true, force: true })
})

/** The names of the members of a class or interface, private ones and symbols apart. */
function membersOf(type, file) {
  const source = ts.createSourceFile(file, read(file), ts.ScriptTarget.ES2022)
  const found = source.statements.filter((node) => 'members' in node && node.name?.text === type)
  const names = found.flatMap((node) => node.members.map((member) => member.name))
  return [...new Set(names.filter((name) => name !== undefined && ts.isIdentifier(name)).map((name) => name.text))]
}

/** The fenced examples of a language. @returns {{ place: string, text: string }[]} */
function examplesOf(path, language) {
  const text = read(path)
  return [...text.matchAll(new RegExp(`^\`\`\`${language}\\n([^]*?)^\`\`\`$`, 'gm'))].map((match) => ({
    place: `${path}:${text.slice(0, match.index).split('\n').length + 1}`,
    text: match[1],
  }))
}

const documented = (name) => new RegExp(`[.\`]${name}\\b`).test(api)

/** Every class and interface of a file of types. @param {string} file */
function typesOf(file) {
  const source = ts.createSourceFile(file, read(file), ts.ScriptTarget.ES2022)
  const named = source.statements.filter((node) => 'members' in node && node.name !== undefined)
  return [...new Set(named.map((node) => node.name.text))]
}

for (const file of ['index.d.ts', 'reports.d.ts', 'indexes.d.ts', 'level.d.ts', 'keyv.d.ts'].map(
  (name) => `bindings/js/${name}`,
)) {
  for (const type of typesOf(file)) {
    it(`API.md mentions all of ${type} of ${file}`, () => {
      assert.deepEqual(
        membersOf(type, file).filter((name) => !documented(name)),
        [],
      )
    })
  }
}

it('API.md mentions every function of varve.h, and no other', () => {
  const declared = [...read('include/varve.h').matchAll(/^VARVE_API [^;]*?\b(varve_\w+)\(/gm)].map((match) => match[1])
  const mentioned = new Set([...api.matchAll(/\b(varve_\w+)\(/g)].map((match) => match[1]))
  assert.ok(declared.length > 40)
  assert.deepEqual(
    declared.filter((name) => !mentioned.has(name)),
    [],
  )
  assert.deepEqual(
    [...mentioned].filter((name) => !declared.includes(name)),
    [],
  )
})

it('API.md has every status with its number and every code', () => {
  for (const [name, number] of Object.entries(STATUS)) {
    assert.ok(api.includes(`\`VARVE_${name}\` ${number}`), `VARVE_${name} ${number}`)
    if (number < 0) assert.ok(api.includes(`\`ERR_DB_${name}\``), `ERR_DB_${name}`)
  }
  const known = new Set(Object.keys(STATUS).map((name) => `ERR_DB_${name}`))
  assert.deepEqual(
    [...api.matchAll(/ERR_DB_\w+/g)].map(([code]) => code).filter((code) => !known.has(code)),
    [],
  )
})

/** An example as the body of a function: its import is given to it, `expression // → value` becomes an assertion. */
function bodyOf(text) {
  return text
    .replace(/^import (\{.*\}) from 'varve'$/gm, 'const $1 = varve')
    .replace(/^import (\{.*\}) from ('varve\/\w+')$/gm, 'const $1 = await load($2)')
    .replace(/^(.*\S)\s+\/\/ → (.*)$/gm, (_, expression, value) => {
      return `;assert.deepEqual(${expression.replace(/^;/, '')}, ${value})`
    })
}

const AsyncFunction = (async () => {}).constructor

for (const path of ['README.md', 'docs/API.md']) {
  for (const { place, text } of examplesOf(path, 'js')) {
    it(`${place} runs`, async () => {
      const here = join(directory, place.replace(/\W/g, '_'))
      mkdirSync(here)
      process.chdir(here)
      const db = text.includes('import ') ? undefined : await varve.Database.open(':memory:')
      const names = ['varve', 'assert', 'load', ...(db === undefined ? [] : ['Database', 'db'])]
      const load = (/** @type {string} */ name) => import(name)
      try {
        await new AsyncFunction(...names, bodyOf(text))(varve, assert, load, varve.Database, db)
      } finally {
        await db?.close()
      }
    })
  }
}

it('the C examples of API.md run', (t) => {
  const library = join(root, 'build/release/libvarve.a')
  if (!existsSync(library)) return t.skip('build/release/libvarve.a was not built')
  const flags = ['-std=c11', '-Wall', '-Wextra', '-Werror', `-I${root}include`]
  process.chdir(directory)
  for (const { text } of examplesOf('docs/API.md', 'c')) {
    writeFileSync('example.c', text)
    execFileSync('cc', [...flags, 'example.c', library, '-lpthread', '-o', 'example'])
    const { status, stderr } = spawnSync('./example', { encoding: 'utf8' })
    assert.equal(status, 0, stderr)
  }
})

it('examples/hello.mjs says what README.md shows', () => {
  const out = execFileSync(process.execPath, [join(root, 'examples/hello.mjs'), join(directory, 'hello')])
  assert.equal(out.toString(), 'The first user is Alice.\nuser:1 = Alice\nuser:2 = Bob\n')
  assert.ok(read('README.md').includes(out.toString().replace(/^(?=.)/gm, '    ')))
})

/** What GitHub makes of the headings of a document. @param {string} path */
function anchorsOf(path) {
  const headings = [...read(path).matchAll(/^#+ (.*)$/gm)].map((match) => match[1].toLowerCase())
  return new Set(headings.map((text) => text.replace(/[^\w\- ]/g, '').replaceAll(' ', '-')))
}

it('README.md and docs/API.md link to headings that are there', () => {
  for (const path of ['README.md', 'docs/API.md']) {
    for (const [, file, anchor] of read(path).matchAll(/\]\(([\w./]*)#([^)]*)\)/g)) {
      const target = file === '' ? path : join(path, '..', file)
      assert.ok(anchorsOf(target).has(anchor), `${path} links to ${file}#${anchor}`)
    }
  }
})

it('README.md and docs/ link to files that are there', () => {
  for (const path of ['README.md', 'docs/API.md', 'docs/ARCHITECTURE.md', 'docs/DURABILITY.md', 'docs/TESTING.md']) {
    for (const [, target] of read(path).matchAll(/\]\(([^)#:]+)(?:#[^)]*)?\)/g)) {
      assert.ok(existsSync(new URL(target, `file://${root}${path}`)), `${path} links to ${target}`)
    }
  }
})

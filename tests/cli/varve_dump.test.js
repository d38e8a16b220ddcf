/** tools/varve_dump on the files of a real database, whole and damaged. VARVE_DUMP names the program. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { eachProgram, seed, seeded } from './cli_program.js'

const root = resolve(fileURLToPath(import.meta.url), '../../..')
const places = [process.env.VARVE_DUMP, 'build/release/varve_dump', 'build/dev/varve_dump', 'build/asan/varve_dump']
const dump = places.flatMap((place) => (place ? [resolve(root, place)] : [])).find((place) => existsSync(place)) ?? ''
const skip = dump === '' ? 'varve_dump was not built' : false

/** @param {string[]} args */
function run(...args) {
  const { status, stdout, stderr } = spawnSync(dump, args, { maxBuffer: 1 << 28, timeout: 60_000 })
  return { status, out: String(stdout), err: String(stderr) }
}

eachProgram('varve_dump', (varve) => {
  const some = Array.from({ length: 500 }, (_, n) => `{"key":"k${n}","value":"value ${n}"}\n`).join('')

  /** A database with a table, a log and all kinds of operations. */
  function database() {
    const path = varve.path()
    varve.ok([path, 'load'], { input: some })
    varve.ok([path, 'compact'])
    varve.ok([path, 'put', 'new\n', 'text'])
    varve.ok([path, 'del', 'k1'])
    varve.ok([path, 'del', '--range', 'k2', 'k3'])
    return path
  }

  test('whole files: what is in them, and exit status 0', { skip }, () => {
    const path = database()
    const files = readdirSync(path).filter((name) => !name.startsWith('LOCK'))
    const { status, out, err } = run(...files.map((name) => join(path, name)))
    assert.deepEqual([status, err], [0, ''])
    assert.match(out, /slot \d {2}format 1 {2}generation \d+ {2}manifest \d+ .* checksum ok/)
    assert.match(out, /\+ level \d {2}\d+\.sst .* entries 500 .* keys 0\/k0 \.\. 0\/k99\n/)
    assert.match(out, /put {2}0\/new\\x0a = text\n/)
    assert.match(out, /delete {2}0\/k1\n/)
    assert.match(out, /delete range {2}0\/k2 \.\. 0\/k3\n/)
    assert.match(out, /footer .* checksum ok\n.*properties .* checksum ok\n/)
    assert.match(out, / put {2}0\/k42 = value 42\n/)
    assert.doesNotMatch(out, /BAD|DAMAGED/)
    const brief = run('--brief', ...files.map((name) => join(path, name)))
    assert.equal(brief.status, 0)
    assert.doesNotMatch(brief.out, /value 42/)
  })

  test(`damaged files: exit status 1, never a crash (VARVE_SEED=${seed})`, { skip }, () => {
    const path = database()
    const random = seeded(seed)
    const table = readdirSync(path).find((name) => name.endsWith('.sst')) ?? ''
    for (const name of [table, ...readdirSync(path).filter((other) => /^SUPER$|\.man$/.test(other))]) {
      const whole = readFileSync(join(path, name))
      for (let round = 0; round < (varve.isNative ? 20 : 3); round++) {
        const bytes = Buffer.from(whole)
        const at = random(bytes.length)
        bytes.writeUInt8(bytes.readUInt8(at) ^ (1 << random(8)), at)
        const file = join(varve.directory, basename(name))
        writeFileSync(file, bytes.subarray(0, random(4) === 0 ? random(bytes.length) : bytes.length))
        const { status, err } = run(file)
        // A bit in a tail's zeros, or in a slot that was never written, is no damage to speak of.
        assert.ok(status === 0 || status === 1 || (status === 2 && err !== ''), `${name} at ${at}: ${status} ${err}`)
        if (name === table && bytes.length === readFileSync(file).length) assert.notEqual(status, 0, `${name} at ${at}`)
      }
    }
  })

  test('what is no file of a database', { skip }, () => {
    const file = varve.path('.txt')
    writeFileSync(file, 'some text')
    assert.equal(run(file).status, 2)
    assert.match(run(file).err, /is no file of a Varve database/)
    assert.match(run(varve.path()).err, /cannot read .*No such file/)
    assert.match(run().err, /usage: varve_dump/)
  })
})

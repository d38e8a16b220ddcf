// lock.test.js: one owner at a time among Node processes and workers; an owner that was killed locks nobody out.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { Worker } from 'node:worker_threads'
import { Database } from '../../bindings/js/index.js'
import { atEnd, errorOf, packageUrl, runNode, temporaryDirectory } from './support.js'

const HOLD = `
  const db = await Database.open(process.argv[1])
  await db.put('holder', String(process.pid))
  console.log('open')
  process.stdin.on('data', async () => { await db.close(); console.log('closed'); process.exit(0) })`

/** A process that has the database open. */
async function holder(t, path) {
  const run = runNode(HOLD, [path])
  atEnd(t, () => run.child.kill('SIGKILL'))
  assert.equal(await run.line(), 'open')
  return run
}

const lockFiles = (path) => readdirSync(path).filter((name) => name.startsWith('LOCK.node'))

describe('lock', () => {
  it('keeps a second process out, and names the first', async (t) => {
    const path = `${temporaryDirectory(t)}/db`
    const first = await holder(t, path)
    const error = await errorOf(Database.open(path))
    assert.equal(error.code, 'ERR_DB_LOCKED')
    assert.equal(error.retryable, true)
    assert.match(error.message, new RegExp(`process ${first.child.pid}\\b`))
    assert.equal((await errorOf(Database.open(path, { readOnly: true }))).code, 'ERR_DB_LOCKED')
    assert.deepEqual(lockFiles(path), ['LOCK.node'])
    first.child.stdin.write('x')
    await first.ended
    assert.deepEqual(lockFiles(path), [])
    const db = await Database.open(path)
    assert.equal(await db.get('holder'), String(first.child.pid))
    await db.close()
  })

  it('is free after its holder was killed', async (t) => {
    const path = `${temporaryDirectory(t)}/db`
    const first = await holder(t, path)
    first.child.kill('SIGKILL')
    await first.ended
    assert.deepEqual(lockFiles(path), ['LOCK.node'], 'the dead holder left its file')
    const db = await Database.open(path)
    assert.equal(await db.get('holder'), String(first.child.pid))
    assert.match(readFileSync(`${path}/LOCK.node`, 'latin1'), new RegExp(`^${process.pid} \\d+\n`))
    await db.close()
  })

  it('is given back when a process ends without close', async (t) => {
    const path = `${temporaryDirectory(t)}/db`
    const { code, stderr } = await runNode(`await Database.open(process.argv[1])`, [path]).ended
    assert.equal(code, 0, stderr)
    assert.deepEqual(lockFiles(path), [])
  })

  it('can be waited for', async (t) => {
    const path = `${temporaryDirectory(t)}/db`
    const first = await holder(t, path)
    setTimeout(() => first.child.stdin.write('x'), 150)
    const db = await Database.open(path, { lock: { wait: 20_000 } })
    await db.close()
    const second = await holder(t, path)
    const since = Date.now()
    const error = await errorOf(() => Database.openSync(path, { lock: { wait: 100 } }))
    assert.equal(error.code, 'ERR_DB_LOCKED')
    assert.ok(Date.now() - since >= 95)
    second.child.stdin.write('x')
    Database.openSync(path, { lock: { wait: 20_000 } }).closeSync()
  })

  it('keeps the same process out, and says so', async (t) => {
    const path = `${temporaryDirectory(t)}/db`
    const db = await Database.open(path)
    atEnd(t, () => db.close())
    const error = await errorOf(Database.open(path))
    assert.equal(error.code, 'ERR_DB_LOCKED')
    assert.match(error.message, /in this process already/)
  })

  it('is not taken for another’s when a process id is used again', async (t) => {
    const path = `${temporaryDirectory(t)}/db`
    await (await Database.open(path)).close()
    writeFileSync(`${path}/LOCK.node`, `${process.ppid} 1\n`)
    await (await Database.open(path)).close()
    writeFileSync(`${path}/LOCK.node`, '1 0\n')
    assert.equal((await errorOf(Database.open(path))).code, 'ERR_DB_LOCKED', 'no start time: only the id counts')
  })

  it('holds while its file is empty and young, and not when it is old or broken', async (t) => {
    const path = `${temporaryDirectory(t)}/db`
    mkdirSync(path)
    writeFileSync(`${path}/LOCK.node`, '')
    assert.equal((await errorOf(Database.open(path))).code, 'ERR_DB_LOCKED')
    utimesSync(`${path}/LOCK.node`, new Date(Date.now() - 5000), new Date(Date.now() - 5000))
    await (await Database.open(path)).close()
    for (const text of ['garbage', '0 0\n', '99999999999 1\n', `${process.pid}`, '\0\0\0']) {
      writeFileSync(`${path}/LOCK.node`, text)
      await (await Database.open(path)).close()
    }
  })

  it(
    'keeps Node out while a native process has published its claim',
    { skip: process.platform !== 'linux' },
    async (t) => {
      const path = `${temporaryDirectory(t)}/db`
      await (await Database.open(path)).close()
      const native = spawn('sleep', ['60'])
      atEnd(t, () => native.kill())
      const stat = readFileSync(`/proc/${native.pid}/stat`, 'latin1')
      const start = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]
      writeFileSync(`${path}/LOCK`, `${native.pid} ${start}\n`)
      const error = await errorOf(Database.open(path))
      assert.equal(error.code, 'ERR_DB_LOCKED')
      assert.match(error.message, new RegExp(`process ${native.pid} \\(native\\)`))
      assert.deepEqual(lockFiles(path), [])
      native.kill('SIGKILL')
      await new Promise((resolve) => native.on('close', resolve))
      await (await Database.open(path)).close()
    },
  )
})

describe('workers', () => {
  const source = `
    const { parentPort, workerData } = require('node:worker_threads')
    import(workerData.packageUrl).then(async ({ Database }) => {
      try {
        const db = await Database.open(workerData.path)
        parentPort.postMessage('open')
        parentPort.once('message', async () => { await db.close(); parentPort.postMessage('closed') })
      } catch (error) { parentPort.postMessage(error.code) }
    })`
  const start = (path) => {
    const worker = new Worker(source, { eval: true, workerData: { path, packageUrl } })
    const messages = []
    let wake = () => {}
    worker.on('message', (message) => {
      messages.push(message)
      wake()
    })
    const next = async () => {
      while (messages.length === 0) await new Promise((resolve) => (wake = resolve))
      return messages.shift()
    }
    return { worker, next }
  }

  it('keep each other out, and leave no lock when they end or are terminated', async (t) => {
    const path = `${temporaryDirectory(t)}/db`
    const first = start(path)
    assert.equal(await first.next(), 'open')
    const second = start(path)
    assert.equal(await second.next(), 'ERR_DB_LOCKED')
    assert.equal((await errorOf(Database.open(path))).code, 'ERR_DB_LOCKED')
    first.worker.postMessage('close')
    assert.equal(await first.next(), 'closed')
    await first.worker.terminate()
    await second.worker.terminate()
    const third = start(path)
    assert.equal(await third.next(), 'open')
    await third.worker.terminate()
    if (process.platform === 'linux') assert.ok(existsSync(`${path}/LOCK.node`), 'it had no time to clean up')
    const db = await Database.open(path, { lock: { wait: 2000 } })
    await db.close()
  })
})

describe('race for a lock that a dead process left', () => {
  // Every process tries to take the lock at the same moment, again and again, with a dead owner's file put back each
  // time by the one that had it. Whoever has it makes a file that must not exist yet, and removes it: two owners at
  // once would see it.
  const RACER = `
    import { writeFileSync, rmSync } from 'node:fs'
    import { setTimeout as wait } from 'node:timers/promises'
    const { NodeLock } = await import(process.argv[3])
    const [, path] = process.argv
    const end = Date.now() + Number(process.argv[2])
    let taken = 0
    while (Date.now() < end) {
      const lock = new NodeLock(path)
      try {
        lock.take(0)
      } catch (error) {
        if (!/ is open in /.test(error.message)) throw error
        await wait(Math.random() * 3)
        continue
      }
      taken++
      writeFileSync(path + '/OWNER', String(process.pid), { flag: 'wx' })
      await wait(Math.random() * 2)
      rmSync(path + '/OWNER')
      // Die without cleaning up, as far as the file can tell: a process that cannot exist owns it now.
      if (Math.random() < 0.7) writeFileSync(path + '/LOCK.node', '4194304999 1\\n')
      else lock.give()
      await wait(Math.random() * 3)
    }
    console.log(taken)`

  it('has one winner at a time', async (t) => {
    const path = temporaryDirectory(t)
    const lockUrl = new URL('../../bindings/js/src/host/node_lock.js', import.meta.url).href
    const racers = Array.from({ length: 8 }, () => runNode(RACER, [path, '3000', lockUrl]))
    const results = await Promise.all(racers.map(({ ended }) => ended))
    for (const { code, stderr } of results) assert.equal(code, 0, stderr)
    const taken = results.map(({ stdout }) => Number(stdout.trim()))
    assert.ok(taken.reduce((a, b) => a + b, 0) >= 10, `taken ${taken}: the lock must go on being taken`)
  })
})

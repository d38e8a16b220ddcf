// exit.test.js: processes and workers that end with a database, iterators and snapshots open: they end by themselves,
// nothing that was acknowledged is lost, and whoever comes next gets the lock.

import assert from 'node:assert/strict'
import { existsSync, readdirSync } from 'node:fs'
import { describe, it } from 'node:test'
import { Worker } from 'node:worker_threads'
import { Database } from '../../bindings/js/index.js'
import { packageUrl, runNode, temporaryDirectory } from './support.js'

/** Leaves everything open: an iterator in the middle, a snapshot, a watcher, a timer for a sync, and `path`. */
const LEAVE_OPEN = `
  const db = await Database.open(path)
  for (let i = 0; i < 500; i++) void db.put('k' + i, 'x'.repeat(i))
  await db.put('last', 'acknowledged')
  globalThis.kept = [db, db.snapshot(), db.keysSync(), db.entries(), db.watch({}, () => {})]
  kept[2].next()
  await kept[3].next()`

const PLACES = ['db', 'db.varve']

async function checkLeft(path) {
  const db = await Database.open(path, { lock: { wait: 5000 }, createIfMissing: false })
  assert.equal(db.getSync('last'), 'acknowledged')
  assert.equal(db.countSync(), 501)
  await db.verify()
  await db.close()
}

const locks = (directory) => readdirSync(directory, { recursive: true }).filter((name) => /lock\.node$/i.test(name))

describe('a process with everything open', () => {
  for (const place of PLACES) {
    for (const [how, end] of Object.entries({ 'ends by itself': '', 'calls process.exit()': 'process.exit(0)' })) {
      it(`${how}: ${place}`, async (t) => {
        const directory = temporaryDirectory(t)
        const path = `${directory}/${place}`
        const { code, signal, stderr } = await runNode(`const [, path] = process.argv\n${LEAVE_OPEN}\n${end}`, [path])
          .ended
        assert.deepEqual({ code, signal, stderr }, { code: 0, signal: null, stderr: '' })
        assert.deepEqual(locks(directory), [])
        await checkLeft(path)
      })
    }
  }
})

describe('a worker with everything open', () => {
  const source = (end) => `
    const { parentPort, workerData } = require('node:worker_threads')
    import(workerData.packageUrl).then(async ({ Database }) => {
      const { path } = workerData
      ${LEAVE_OPEN}
      parentPort.postMessage('open')
      ${end}
    })`
  const start = (path, end) => new Worker(source(end), { eval: true, workerData: { path, packageUrl } })
  const next = (worker, event) => new Promise((resolve, reject) => worker.on(event, resolve).on('error', reject))

  for (const place of PLACES) {
    it(`ends by itself: ${place}`, async (t) => {
      const directory = temporaryDirectory(t)
      const code = await next(start(`${directory}/${place}`, ''), 'exit')
      assert.equal(code, 0)
      assert.deepEqual(locks(directory), [])
      await checkLeft(`${directory}/${place}`)
    })

    it(`is terminated, idle and in the middle of its work: ${place}`, async (t) => {
      const path = `${temporaryDirectory(t)}/${place}`
      const fds = () => (existsSync('/proc/self/fd') ? readdirSync('/proc/self/fd').length : 0)
      let before = 0
      const busy = 'for (;;) { kept[0].getSync("k1"); for (const key of kept[0].keysSync()) void key }'
      for (const end of ['setInterval(() => {}, 1000)', busy, 'kept[0].backup(path + ".copy"); for (;;);']) {
        const worker = start(path, end)
        await next(worker, 'message')
        await worker.terminate()
        await checkLeft(path)
        if (before === 0) before = fds()
      }
      assert.ok(fds() <= before, `${fds()} descriptors are open, and were ${before}`)
    })
  }
})

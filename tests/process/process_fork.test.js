// process_fork.test.js: children made by fork while the database is open: whatever they try, the parent goes on,
// nothing of theirs gets in, and the lock is the parent's.

import assert from 'node:assert/strict'
import { it } from 'node:test'

import { agentsFor } from './process_agents.mjs'
import { layouts, placeFor, skip } from './process_support.mjs'

const EXITS = ['exit', 'exec', 'get', 'put', 'strict', 'fill', 'sync', 'flush', 'compact', 'close', 'open']

it('leaves the database to the parent', { skip }, async (t) => {
  const start = agentsFor(t)
  for (const layout of await layouts()) {
    const path = `${placeFor(t)}/${layout === 'single' ? 'a.varve' : 'a'}`
    const parent = start('native')
    assert.equal(await parent.open(path), 'ok')
    await parent.must('put fork 500')
    const exits = layout === 'single' ? ['fill', 'close', 'open'] : EXITS
    for (const [i, how] of exits.entries()) {
      assert.equal(await parent.must(`fill ${how}-before- 300 100 relaxed`), '100 ')
      const [child, ...ended] = (await parent.must(`fork ${how} ${path}`)).split(' ')
      const want = how === 'exec' ? 'exit 0' : 'exit 40'
      assert.equal(ended.join(' '), want, `${how}: process ${child}`)
      const other = start(i === 1 ? 'node' : 'native')
      assert.match(await other.open(path), new RegExp(`error LOCKED .*process ${parent.pid}\\b`), how)
      await other.end()
      assert.equal(await parent.must(`fill ${how}-after- 300 100 strict`), '100 ')
      await parent.must('verify')
    }
    await parent.must('close')
    for (const kind of /** @type {const} */ (['native', 'node'])) {
      const next = start(kind)
      assert.equal(await next.open(path), 'ok')
      for (const how of exits) {
        for (const when of ['before', 'after']) assert.equal(await next.must(`check ${how}-${when}- 300 100`), '100')
      }
      assert.equal(await next.must('get fork'), '500')
      assert.equal(await next.ask('get fork-child'), 'ok NOTFOUND')
      await next.must('verify')
      await next.must('close')
      await next.end()
    }
  }
})

it(
  'gives the lock back at close although a child lives, and keeps it from others while a child lives after its death',
  {
    skip,
  },
  async (t) => {
    const start = agentsFor(t)
    const path = `${placeFor(t)}/a`
    const parent = start('native')
    assert.equal(await parent.open(path), 'ok')
    const closed = parseInt(await parent.must('fork sleep'))
    await parent.must('close')
    const next = start('native')
    assert.equal(await next.open(path), 'ok', 'the child sleeps, the parent has closed')
    await next.must('put a 100')
    const orphan = parseInt(await next.must('fork sleep'))
    await next.kill()
    const waiting = start('native')
    const refused = await waiting.open(path)
    assert.match(refused, /^(ok|error LOCKED .* is open in another process;)/)
    if (refused !== 'ok') {
      process.kill(orphan, 'SIGKILL')
      assert.equal(await waiting.open(path, 20_000), 'ok')
    }
    assert.equal(await waiting.must('get a'), '100')
    for (const child of [closed, orphan]) {
      try {
        process.kill(child, 'SIGKILL')
      } catch {
        // it has ended
      }
    }
  },
)

// queue.mjs: a queue of jobs that outlives its workers. A job is in one of two keyspaces, under the number that it got
// when it was added, so the oldest is always the first:
//
//     'waiting'   [number] → { task, tries }
//     'claimed'   [number] → the same, while somebody works on it
//
// claim() and ack() are one batch each: a job is never in both places, and never in none before it is done. One process
// at a time has a database open, so whatever is claimed when the queue is opened was being done by a process that died,
// and goes back. A job may thus be begun twice: let jobs be such that this does no harm.
//
// 'strict': a job that was added survives a power cut as well.
//
//     node examples/queue.mjs [directory, default ./my_queue]

import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

import { Database } from 'varve'

/** @typedef {{ key: import('varve').Tuple, task: string, tries: number }} Job */

const ENCODINGS = /** @type {const} */ ({ keyEncoding: 'tuple', valueEncoding: 'json' })

class Queue {
  #waiting
  #claimed
  #last

  /** @param {Database} db */
  constructor(db) {
    this.#waiting = db.keyspace('waiting', ENCODINGS)
    this.#claimed = db.keyspace('claimed', ENCODINGS)
    const taken = [...this.#claimed.entriesSync()]
    this.#waiting.batchSync(taken.map(([key, value]) => ({ type: 'put', key, value })))
    this.#claimed.clearSync()
    const [newest] = this.#waiting.keysSync({ reverse: true, limit: 1 })
    this.#last = Number(newest?.[0] ?? 0)
  }

  /** @param {string} task */
  async add(task) {
    await this.#waiting.put([++this.#last], { task, tries: 0 })
  }

  /** The oldest job that waits. Synchronous calls, with nothing in between: no two workers get the same one.
   * @returns {Job | undefined} */
  claim() {
    for (const [key, { task, tries }] of this.#waiting.entriesSync({ limit: 1 })) {
      const job = { task, tries: tries + 1 }
      this.#waiting.batchSync([
        { type: 'del', key },
        { type: 'put', key, value: job, keyspace: this.#claimed },
      ])
      return { key, ...job }
    }
    return undefined
  }

  /** The job is done. @param {Job} job */
  async ack({ key }) {
    await this.#claimed.del(key)
  }
}

const path = process.argv[2] ?? './my_queue'
const crashes = process.argv[3] === 'crash'
if (!crashes) {
  // First a process that adds jobs, and dies in the middle of the second one.
  const { stdout, signal } = spawnSync(process.execPath, [fileURLToPath(import.meta.url), path, 'crash'])
  console.log(`${stdout}the first process was ended by ${signal}`)
}

const db = await Database.open(path, { durability: 'strict' })
const queue = new Queue(db)
if (crashes) for (const task of ['resize a.jpg', 'resize b.jpg', 'mail Ana', 'mail Bob']) await queue.add(task)

/** @param {string} name */
async function work(name) {
  for (let job = queue.claim(); job !== undefined; job = queue.claim()) {
    console.log(`${name}: ${job.task}${job.tries > 1 ? ` (try ${job.tries})` : ''}`)
    if (crashes && job.task === 'resize b.jpg') process.kill(process.pid, 'SIGKILL') // no close, no ack
    await queue.ack(job)
  }
}
await Promise.all(crashes ? [work('first process')] : [work('worker 1'), work('worker 2')])
await db.close()

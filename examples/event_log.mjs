// event_log.mjs: a log that is only appended to, with readers that follow it.
//
//     'events'       [number] → { stream, type, ... }   in the order in which they happened
//     'by stream'    [stream, number] → ''              the events of one stream
//     'positions'    name of a reader → the number of the last event that it has handled
//
// A reader goes on where it stopped. It calls watch() and entries() one right after the other, so each event is in
// exactly one of them: entries() gives those that are there, watch() tells of those that come later, while it reads. An
// event counts as handled when the reader asks for the next one; after a crash it may get its last event again.
//
//     node examples/event_log.mjs [directory, default ./my_events]

import { Database } from 'varve'

/** @typedef {{ stream: string, type: string, [name: string]: unknown }} Event */

class EventLog {
  #events
  #byStream
  #positions
  #last

  /** @param {Database} db */
  constructor(db) {
    this.#events = db.keyspace('events', { keyEncoding: 'tuple', valueEncoding: 'json' })
    this.#byStream = db.keyspace('by stream', { keyEncoding: 'tuple' })
    this.#positions = db.keyspace('positions', { valueEncoding: 'json' })
    const [newest] = this.#events.keysSync({ reverse: true, limit: 1 })
    this.#last = Number(newest?.[0] ?? 0)
  }

  /** Appends events, all or none. @param {Event[]} events */
  async append(...events) {
    const changes = events.flatMap((value) => {
      const number = ++this.#last
      return [
        { type: /** @type {const} */ ('put'), key: [number], value },
        { type: /** @type {const} */ ('put'), key: [value.stream, number], value: '', keyspace: this.#byStream },
      ]
    })
    await this.#events.batch(changes)
  }

  /** The events of one stream. @param {string} stream @returns {Promise<Event[]>} */
  async read(stream) {
    const rows = [...this.#byStream.keysSync({ prefix: [stream] })]
    return this.#events.getMany(rows.map(([, number]) => [number ?? 0]))
  }

  /** Events after those that the reader has handled, and then new ones as they come, until the signal.
   * @param {string} reader @param {AbortSignal} signal @returns {AsyncGenerator<Event>} */
  async *follow(reader, signal) {
    const position = (await this.#positions.get(reader)) ?? 0
    const watcher = this.#events.watch({ signal })
    try {
      for await (const [key, event] of this.#events.entries({ gt: [position] })) {
        yield event
        await this.#positions.put(reader, key[0])
        if (signal.aborted) return
      }
      for await (const changes of watcher) {
        for (const change of changes) {
          if (change.type !== 'put') continue
          yield change.value
          await this.#positions.put(reader, change.key[0])
        }
      }
    } finally {
      watcher.close()
    }
  }
}

const db = await Database.open(process.argv[2] ?? './my_events')
const log = new EventLog(db)
await log.append({ stream: 'cart-1', type: 'opened' }, { stream: 'cart-1', type: 'added', item: 'tea' })
await log.append({ stream: 'cart-2', type: 'opened' })

/** @param {string} reader @param {number} count it stops after so many */
async function print(reader, count) {
  const stop = new AbortController()
  for await (const { stream, type } of log.follow(reader, stop.signal)) {
    console.log(`${reader}: ${stream} ${type}`)
    if (--count === 0) stop.abort()
  }
}

const mailer = print('mailer', 4) // three that are there, and the next one
const audit = print('audit', 5)
await log.append({ stream: 'cart-1', type: 'paid' })
await mailer
await log.append({ stream: 'cart-2', type: 'left' })
await audit
await print('mailer', 1) // goes on behind what it has handled
console.log('cart-1:', (await log.read('cart-1')).map(({ type }) => type).join(', '))

await db.close()

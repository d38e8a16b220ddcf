// bench_race.js: the same work for Varve and for IndexedDB, one after the other, in databases of their own that are
// deleted afterwards. Both get the same keys, values and order; both wait for each answer as a program would.

/** @typedef {{ open(): Promise<void>, put(key: string, value: string, strict: boolean): Promise<void>,
 *   batch(rows: [string, string][]): Promise<void>, get(key: string): Promise<string | undefined>,
 *   scan(from: string, limit: number): Promise<number>, all(): Promise<number>, close(): Promise<void> }} Racer */
/** @typedef {{ name: string, what: string, unit: string, run: (racer: Racer, rows: [string, string][]) =>
 *   Promise<number> }} Row `run` returns how many operations it made */

const BATCH = 1000
const SCAN = 100
const ROUNDS = 3

/** @template T @param {IDBRequest<T>} request @returns {Promise<T>} */
const answer = (request) =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result)
    request.onerror = () => reject(request.error)
  })

/** @param {IDBTransaction} transaction @returns {Promise<void>} */
const finished = (transaction) =>
  new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve()
    transaction.onerror = transaction.onabort = () => reject(transaction.error)
  })

/** IndexedDB as one would use it by hand: a store without an index, keys as they are. @implements {Racer} */
export class IndexedRacer {
  static NAME = 'varve-playground-race'
  /** @type {IDBDatabase | null} */
  #db = null

  async open() {
    await answer(indexedDB.deleteDatabase(IndexedRacer.NAME))
    const request = indexedDB.open(IndexedRacer.NAME)
    request.onupgradeneeded = () => request.result.createObjectStore('rows')
    this.#db = await answer(request)
  }

  /** @param {IDBTransactionMode} mode @param {boolean} [strict] */
  #begin(mode, strict = false) {
    const db = /** @type {IDBDatabase} */ (this.#db)
    const transaction = db.transaction('rows', mode, { durability: strict ? 'strict' : 'relaxed' })
    return { transaction, rows: transaction.objectStore('rows') }
  }

  /** @param {string} key @param {string} value @param {boolean} strict */
  async put(key, value, strict) {
    const { transaction, rows } = this.#begin('readwrite', strict)
    rows.put(value, key)
    await finished(transaction)
  }

  /** @param {[string, string][]} rows */
  async batch(rows) {
    const { transaction, rows: store } = this.#begin('readwrite')
    for (const [key, value] of rows) store.put(value, key)
    await finished(transaction)
  }

  /** @param {string} key @returns {Promise<string | undefined>} */
  get(key) {
    return answer(this.#begin('readonly').rows.get(key))
  }

  /** @param {string} from @param {number} limit */
  async scan(from, limit) {
    const { rows } = this.#begin('readonly')
    const range = IDBKeyRange.lowerBound(from)
    const [keys, values] = await Promise.all([answer(rows.getAllKeys(range, limit)), answer(rows.getAll(range, limit))])
    return Math.min(keys.length, values.length)
  }

  async all() {
    /** @type {IDBValidKey | undefined} */
    let from
    let seen = 0
    for (;;) {
      const { rows } = this.#begin('readonly')
      const range = from === undefined ? undefined : IDBKeyRange.lowerBound(from, true)
      const [keys] = await Promise.all([answer(rows.getAllKeys(range, BATCH)), answer(rows.getAll(range, BATCH))])
      seen += keys.length
      if (keys.length < BATCH) return seen
      from = keys.at(-1)
    }
  }

  async close() {
    this.#db?.close()
    this.#db = null
    await answer(indexedDB.deleteDatabase(IndexedRacer.NAME))
  }
}

/** @implements {Racer} */
export class VarveRacer {
  static NAME = 'varve-playground-race'
  /** @type {any} */
  #db = null

  #databases

  /** @param {{ open(name: string): Promise<any>, delete(name: string): Promise<void> }} databases */
  constructor(databases) {
    this.#databases = databases
  }

  async open() {
    await this.#databases.delete(VarveRacer.NAME)
    this.#db = await this.#databases.open(VarveRacer.NAME)
  }

  /** @param {string} key @param {string} value @param {boolean} strict */
  async put(key, value, strict) {
    await this.#db.put(key, value, { durability: strict ? 'strict' : 'relaxed' })
  }

  /** @param {[string, string][]} rows */
  async batch(rows) {
    await this.#db.batch(rows.map(([key, value]) => ({ type: 'put', key, value })))
  }

  /** @param {string} key @returns {Promise<string | undefined>} */
  get(key) {
    return this.#db.get(key)
  }

  /** @param {string} from @param {number} limit */
  async scan(from, limit) {
    let seen = 0
    for await (const [key] of this.#db.entries({ gte: from, limit })) seen += key.length > 0 ? 1 : 0
    return seen
  }

  async all() {
    let seen = 0
    for await (const [key] of this.#db.entries()) seen += key.length > 0 ? 1 : 0
    return seen
  }

  async close() {
    await this.#db?.close()
    this.#db = null
    await this.#databases.delete(VarveRacer.NAME)
  }
}

/** Keys in an order that looks random, and is the same each time. @param {number} count
 * @returns {[string, string][]} */
export function makeRows(count) {
  const filler = 'The layers of a lake bed, one a year, keep what settled in them. '
  return Array.from({ length: count }, (_, i) => {
    const number = (Math.imul(i + 1, 2654435761) >>> 0).toString(16).padStart(8, '0')
    return [`key:${number}:${i}`, `${number} ${filler}`.repeat(2).slice(0, 100)]
  })
}

/** @param {[string, string][]} rows @param {number} count */
const some = (rows, count) => rows.slice(0, Math.min(count, rows.length))

/** @param {boolean} strict @param {number} part @returns {Row['run']} */
const puts = (strict, part) => async (racer, rows) => {
  const chosen = some(rows, Math.ceil(rows.length * part))
  for (const [key, value] of chosen) await racer.put(key, value, strict)
  return chosen.length
}

/** @type {Row[]} */
export const ROWS = [
  {
    name: 'Writes, 1,000 a transaction',
    what: 'one transaction after the other',
    unit: 'writes a second',
    run: async (racer, rows) => {
      for (let at = 0; at < rows.length; at += BATCH) await racer.batch(rows.slice(at, at + BATCH))
      return rows.length
    },
  },
  {
    name: 'Writes, one by one',
    what: 'each waits for the last, relaxed',
    unit: 'writes a second',
    run: puts(false, 0.05),
  },
  {
    name: 'Writes, strict',
    what: 'each is on the disk before the next',
    unit: 'writes a second',
    run: puts(true, 0.02),
  },
  {
    name: 'Reads, one by one',
    what: 'keys in random order',
    unit: 'reads a second',
    run: async (racer, rows) => {
      const chosen = some(rows, rows.length / 5)
      for (const [key, value] of chosen) {
        if ((await racer.get(key)) !== value) throw new Error(`The value of ${key} is not the one that was written`)
      }
      return chosen.length
    },
  },
  {
    name: 'Reads of what is not there',
    what: 'keys in random order',
    unit: 'reads a second',
    run: async (racer, rows) => {
      const chosen = some(rows, rows.length / 5)
      for (const [key] of chosen) {
        if ((await racer.get(`${key}?`)) !== undefined) throw new Error(`${key}? was never written`)
      }
      return chosen.length
    },
  },
  {
    name: `Ranges of ${SCAN} entries`,
    what: 'from a random key on',
    unit: 'ranges a second',
    run: async (racer, rows) => {
      const chosen = some(rows, rows.length / 50)
      for (const [key] of chosen) await racer.scan(key, SCAN)
      return chosen.length
    },
  },
  {
    name: 'All entries, in order',
    what: 'keys and values',
    unit: 'entries a second',
    run: async (racer, rows) => {
      const seen = await racer.all()
      if (seen !== rows.length) throw new Error(`${seen} entries came back of ${rows.length}`)
      return seen
    },
  },
]

/** @param {number[]} rates */
const median = (rates) => rates.sort((a, b) => a - b)[rates.length >> 1] ?? 0

/** How many operations a second. @param {Row} row @param {Racer} racer @param {[string, string][]} rows */
async function rate(row, racer, rows) {
  await new Promise((resolve) => setTimeout(resolve, 20))
  const since = performance.now()
  const made = await row.run(racer, rows)
  return (1000 * made) / Math.max(performance.now() - since, 0.1)
}

/** Runs every row for both, in turns, so that what else the machine does hits both; the median of the rounds counts.
 * @param {Racer} ours @param {Racer} theirs @param {number} count
 * @param {(at: number, row: Row, ours: number, theirs: number) => void} onRow operations a second
 * @param {(done: number, total: number, what: string) => void} onProgress @param {AbortSignal} signal */
export async function race(ours, theirs, count, onRow, onProgress, signal) {
  const rows = makeRows(count)
  try {
    await ours.open()
    await theirs.open()
    for (const [at, row] of ROWS.entries()) {
      /** @type {[number[], number[]]} */
      const rates = [[], []]
      for (let round = 0; round < ROUNDS; round++) {
        signal.throwIfAborted()
        onProgress(ROUNDS * at + round, ROUNDS * ROWS.length, row.name)
        rates[0].push(await rate(row, ours, rows))
        rates[1].push(await rate(row, theirs, rows))
      }
      onRow(at, row, median(rates[0]), median(rates[1]))
    }
  } finally {
    await ours.close()
    await theirs.close()
  }
}

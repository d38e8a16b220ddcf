// engine_rocksdb.mjs: RocksDB by rocksdb-native. It has no synced writes to ask for, so it has no strict rows.

import RocksDB from 'rocksdb-native'

/** @param {string} dir @param {{ strict: boolean }} options
 * @returns {Promise<import('./bench_one.mjs').Store | null>} */
export async function open(dir, { strict }) {
  if (strict) return null
  const root = new RocksDB(dir)
  await root.ready()
  const db = root.session({ keyEncoding: TEXT, valueEncoding: TEXT })
  return {
    put: (key, value) => db.put(key, value),
    putSync: null,
    async batch(rows) {
      const write = db.write({ capacity: rows.length })
      for (const [key, value] of rows) write.tryPut(key, value)
      await write.flush()
      write.destroy()
    },
    get: (key) => db.get(key),
    getSync: null,
    async getMany(keys) {
      const read = db.read({ capacity: keys.length })
      const values = keys.map((key) => read.get(key))
      await read.flush()
      read.destroy()
      return Promise.all(values)
    },
    del: (key) => db.delete(key),
    async scan(from, limit) {
      let rows = 0
      const range = limit === Infinity ? {} : { limit }
      for await (const { key, value } of db.iterator({ gte: from, ...range })) {
        rows += Number(key.length + value.length > 0)
      }
      return rows
    },
    scanSync: null,
    async close() {
      await db.close()
      await root.close()
    },
  }
}

/** A compact-encoding for strings as they are. */
const TEXT = {
  preencode: (/** @type {any} */ state, /** @type {string} */ text) => (state.end += Buffer.byteLength(text)),
  encode(/** @type {any} */ state, /** @type {string} */ text) {
    state.start += state.buffer.write(text, state.start)
  },
  decode(/** @type {any} */ state) {
    const text = state.buffer.toString('utf8', state.start, state.end)
    state.start = state.end
    return text
  },
}

// engine_lmdb.mjs: LMDB by lmdb-js. Strings as they are (its default packs values with msgpack). A relaxed put is
// awaited until it is committed; a strict one also until it is flushed.

import { open as openLmdb } from 'lmdb'

/** @param {string} dir @param {{ strict: boolean }} options @returns {Promise<import('./bench_one.mjs').Store>} */
export async function open(dir, { strict }) {
  const db = openLmdb({ path: dir, encoding: 'string', keyEncoding: 'ordered-binary' })
  const done = strict ? async (/** @type {Promise<any>} */ made) => (await made, await db.flushed) : null
  return {
    put: (key, value) => (done === null ? db.put(key, value) : done(db.put(key, value))),
    putSync: strict ? (key, value) => db.putSync(key, value) : null,
    async batch(rows) {
      const made = db.transaction(() => {
        for (const [key, value] of rows) db.put(key, value)
      })
      await (done === null ? made : done(made))
    },
    get: async (key) => db.get(key),
    getSync: (key) => db.get(key),
    getMany: (keys) => db.getMany(keys),
    del: (key) => db.remove(key),
    scan: null,
    scanSync(from, limit) {
      let rows = 0
      for (const { key, value } of db.getRange({ start: from, limit })) rows += Number(key.length + value.length > 0)
      return rows
    },
    close: () => db.close(),
  }
}

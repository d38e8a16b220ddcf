// engine_varve.mjs: Varve, from this checkout.

import { Database } from '../../bindings/js/index.js'

/** @param {string} dir @param {{ strict: boolean }} options @returns {Promise<import('./bench_one.mjs').Store>} */
export async function open(dir, { strict }) {
  const db = await Database.open(dir, { durability: strict ? 'strict' : 'relaxed' })
  return {
    put: (key, value) => db.put(key, value),
    putSync: (key, value) => db.putSync(key, value),
    batch: (rows) => db.batch(rows.map(([key, value]) => ({ type: 'put', key, value }))),
    get: (key) => db.get(key),
    getSync: (key) => db.getSync(key),
    getMany: (keys) => db.getMany(keys),
    del: (key) => db.del(key),
    async scan(from, limit) {
      let rows = 0
      for await (const [key, value] of db.entries({ gte: from, limit })) rows += Number(key.length + value.length > 0)
      return rows
    },
    scanSync(from, limit) {
      let rows = 0
      for (const [key, value] of db.entriesSync({ gte: from, limit })) rows += Number(key.length + value.length > 0)
      return rows
    },
    close: () => db.close(),
  }
}

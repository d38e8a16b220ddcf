// engine_classic_level.mjs: LevelDB by its binding, classic-level.

import { ClassicLevel } from 'classic-level'

/** @param {string} dir @param {{ strict: boolean }} options @returns {Promise<import('./bench_one.mjs').Store>} */
export async function open(dir, { strict }) {
  const db = new ClassicLevel(dir)
  await db.open()
  const sync = { sync: strict }
  return {
    put: (key, value) => db.put(key, value, sync),
    putSync: null,
    batch: (rows) =>
      db.batch(
        rows.map(([key, value]) => ({ type: 'put', key, value })),
        sync,
      ),
    get: (key) => db.get(key),
    getSync: (key) => db.getSync(key),
    getMany: (keys) => db.getMany(keys),
    del: (key) => db.del(key, sync),
    async scan(from, limit) {
      let rows = 0
      for await (const [key, value] of db.iterator({ gte: from, limit })) rows += Number(key.length + value.length > 0)
      return rows
    },
    scanSync: null,
    close: () => db.close(),
  }
}

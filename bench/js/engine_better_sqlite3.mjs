// engine_better_sqlite3.mjs: SQLite by better-sqlite3: a table of keys and values without row ids, in WAL mode.
// synchronous NORMAL is what relaxed is here, FULL is strict.

import Sqlite from 'better-sqlite3'

/** @param {string} dir @param {{ strict: boolean }} options @returns {Promise<import('./bench_one.mjs').Store>} */
export async function open(dir, { strict }) {
  const db = new Sqlite(`${dir}/kv.db`)
  db.pragma('journal_mode = WAL')
  db.pragma(`synchronous = ${strict ? 'FULL' : 'NORMAL'}`)
  db.exec('CREATE TABLE IF NOT EXISTS kv (k TEXT PRIMARY KEY, v TEXT) WITHOUT ROWID')
  const put = db.prepare('INSERT INTO kv VALUES (?, ?) ON CONFLICT (k) DO UPDATE SET v = excluded.v')
  const get = db.prepare('SELECT v FROM kv WHERE k = ?').pluck()
  const del = db.prepare('DELETE FROM kv WHERE k = ?')
  const scan = db.prepare('SELECT k, v FROM kv WHERE k >= ? ORDER BY k LIMIT ?').raw()
  const all = db.transaction((/** @type {[string, string][]} */ rows) => {
    for (const [key, value] of rows) put.run(key, value)
  })
  return {
    put: null,
    putSync: (key, value) => void put.run(key, value),
    batch: async (rows) => all(rows),
    get: null,
    getSync: (key) => get.get(key),
    getMany: async (keys) => keys.map((key) => get.get(key)),
    del: async (key) => void del.run(key),
    scan: null,
    scanSync(from, limit) {
      let rows = 0
      for (const [key, value] of scan.iterate(from, limit === Infinity ? -1 : limit)) {
        rows += Number(key.length + value.length > 0)
      }
      return rows
    },
    close: async () => void db.close(),
  }
}

// engine_map.mjs: a plain Map: what memory alone costs. It keeps nothing and sorts nothing.

/** @param {string} _dir @param {{ strict: boolean }} options
 * @returns {Promise<import('./bench_one.mjs').Store | null>} */
export async function open(_dir, { strict }) {
  if (strict) return null
  const map = new Map()
  return {
    put: async (key, value) => void map.set(key, value),
    putSync: (key, value) => void map.set(key, value),
    async batch(rows) {
      for (const [key, value] of rows) map.set(key, value)
    },
    get: async (key) => map.get(key),
    getSync: (key) => map.get(key),
    getMany: async (keys) => keys.map((key) => map.get(key)),
    del: async (key) => void map.delete(key),
    scan: null,
    scanSync: null,
    close: async () => {},
  }
}

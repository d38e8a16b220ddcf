// roundtrip.mjs PATH: what every host must be able to do with the installed package: write, close, open again, read.
import assert from 'node:assert/strict'
import { Database } from 'varve'

const path = process.argv[2] ?? (await import('node:worker_threads')).workerData
const db = await Database.open(path)
await Promise.all(Array.from({ length: 2000 }, (_, i) => db.put(`key ${i}`, `välue ${i}`)))
await db.batch([
  { type: 'put', key: 'batch', value: 'yes' },
  { type: 'del', key: 'key 7' },
])
await db.flush()
await db.close()

const again = await Database.open(path, { createIfMissing: false, durability: 'strict' })
assert.equal(await again.get('key 1999'), 'välue 1999')
assert.equal(again.getSync('key 7'), undefined)
assert.equal(await again.count(), 2000)
let rows = 0
for await (const [key, value] of again.entries({ prefix: 'key 1', limit: 50 })) {
  assert.equal(value, `välue ${key.slice(4)}`)
  rows++
}
assert.equal(rows, 50)
await again.put('strict', 'yes')
assert.equal((await again.verify()).errors, 0)
await again.close()
console.log('round trip done')

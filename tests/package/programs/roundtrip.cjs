// roundtrip.cjs PATH: the same from CommonJS: require() of an ES module.
const assert = require('node:assert/strict')
const { Database } = require('varve')

const db = Database.openSync(process.argv[2])
for (let i = 0; i < 500; i++) db.putSync(`key ${i}`, `value ${i}`)
db.closeSync()
const again = Database.openSync(process.argv[2], { createIfMissing: false })
assert.equal(again.getSync('key 499'), 'value 499')
assert.equal([...again.keysSync({ reverse: true, limit: 3 })].length, 3)
again.closeSync()
console.log('round trip done')

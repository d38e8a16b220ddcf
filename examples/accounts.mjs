// accounts.mjs: money that moves between accounts, found by number, by owner and by how much there is. A transfer is a
// transaction: what it looked at holds when it is committed, or it is run again.
//
//     'accounts'   number → { owner, cents }, with indexes by owner and by cents
//     'transfers'  [number] → { from, to, cents }
//
//     node examples/accounts.mjs [directory, default ./my_accounts]

import { Database } from 'varve'

const db = await Database.open(process.argv[2] ?? './my_accounts', { durability: 'strict' })
await db.dropKeyspace('accounts')
await db.dropKeyspace('transfers')
const accounts = db.keyspace('accounts', { valueEncoding: 'json', indexes: { owner: { kind: 'hash' }, cents: {} } })
const transfers = db.keyspace('transfers', { keyEncoding: 'tuple', valueEncoding: 'json' })

/** @param {string} from @param {string} to @param {number} cents */
function transfer(from, to, cents) {
  return db.transaction(
    async (tx) => {
      const own = tx.keyspace(accounts)
      const [payer, payee] = await own.getMany([from, to])
      if (payer.cents < cents) throw new Error(`${payer.owner} has only ${payer.cents}`)
      await own.put(from, { ...payer, cents: payer.cents - cents })
      await own.put(to, { ...payee, cents: payee.cents + cents })
      const log = tx.keyspace(transfers)
      const [last] = log.keysSync({ reverse: true, limit: 1 })
      await log.put([Number(last?.[0] ?? 0) + 1], { from, to, cents })
    },
    { isolation: 'serializable', retries: 20 },
  )
}

await accounts.batch([
  { type: 'put', key: '100', value: { owner: 'Ana', cents: 5000 } },
  { type: 'put', key: '101', value: { owner: 'Ana', cents: 10 } },
  { type: 'put', key: '200', value: { owner: 'Bob', cents: 300 } },
])

await Promise.all([transfer('100', '200', 700), transfer('100', '101', 50), transfer('200', '101', 200)])
await transfer('101', '200', 1000).catch((error) => console.log(`refused: ${error.message}`))

for await (const [number, { cents }] of accounts.by.owner.entries({ eq: 'Ana' }))
  console.log(`Ana's ${number}: ${cents}`)
for await (const { owner, cents } of accounts.by.cents.values({ gte: 500, reverse: true })) {
  console.log(`500 or more: ${owner} ${cents}`)
}
const audit = db.begin({ readOnly: true }) // one state of all accounts, whatever goes on
let sum = 0
for await (const { cents } of audit.keyspace(accounts).values()) sum += cents
await audit.rollback()
console.log(`${sum} in all, after ${await transfers.count()} transfers`)
await db.close()

// hello.mjs: put, get, walk, close. In a checkout, after `npm start` or `npm test` has built the engine:
//
//     node examples/hello.mjs [directory, default ./my_database]

import { Database } from 'varve'

const db = await Database.open(process.argv[2] ?? './my_database')

await db.put('user:1', 'Alice')
await db.put('user:2', 'Bob')
console.log(`The first user is ${await db.get('user:1')}.`)

for await (const [key, value] of db.entries({ prefix: 'user:' })) console.log(`${key} = ${value}`)

await db.close()

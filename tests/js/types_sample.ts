// types_sample.ts: a program that uses every part of the package's types; tsc checks it, nothing runs it. What must
// be refused is marked with @ts-expect-error.

import { Database, DatabaseError, Keyspace, MemoryHost, Snapshot } from 'varve'
import type { Change, Range, Stats } from 'varve'

interface User {
  name: string
  age: number
}

export async function sample(): Promise<void> {
  await using db = await Database.open('./my_database', { durability: 'relaxed', lock: { wait: 100 }, memory: 1 << 26 })
  await db.put('user:1', 'Alice')
  const name: string | undefined = await db.get('user:1')
  const again: string | undefined = db.getSync('user:1')
  // @ts-expect-error a missing key is undefined
  const sure: string = await db.get('user:1')
  // @ts-expect-error values are strings by default
  await db.put('user:1', 5)
  // @ts-expect-error there is no such option
  await Database.open('x', { durabilty: 'strict' })
  // @ts-expect-error a database is opened, not made
  new Database()

  const users: Keyspace<string, User> = db.keyspace('users', { valueEncoding: 'json' })
  await users.put('a', { name: 'A', age: 1 }, { durability: 'strict' })
  for await (const [key, user] of users.entries({ gte: 'a', lt: 'b', reverse: true, limit: 5 })) {
    console.log(key.toUpperCase(), user.age + 1)
  }
  for (const value of db.valuesSync({ prefix: 'user:' })) console.log(value.length)
  const scores = db.keyspace('scores', { keyEncoding: 'tuple', valueEncoding: 'json' })
  await scores.put(['chess', 12n, new Date()], { points: 3 })
  for await (const [game] of scores.keys({ prefix: ['chess'] })) void game
  // @ts-expect-error a tuple is an array
  await scores.put('chess', 1)
  // @ts-expect-error of what has an order
  await scores.put([{ a: 1 }], 1)
  await db.backup(new WritableStream<Uint8Array>())
  await Database.restore(new Blob([]).stream(), './restored')
  const indexed = db.keyspace('indexed', {
    valueEncoding: 'json',
    indexes: { email: { unique: true }, 'age,city': {} },
  })
  const found: unknown = await indexed.by.email.get('a@b.c')
  for await (const [key] of indexed.by['age,city'].entries({ gte: [18], reverse: true })) void key.length
  // @ts-expect-error there is no such index
  void indexed.by.name
  const plain: Keyspace = db.keyspace('plain')
  const byLength = db.keyspace('words', { indexes: { length: { key: (word) => word.length } } })
  const word: string | undefined = await byLength.by.length.get(5)
  const manual = db.index('manual', { kind: 'hash', valueEncoding: 'tuple' })
  await manual.insert('a', [1, 2])
  // @ts-expect-error the primary keys are tuples
  await manual.insert('a', 'b')
  await db.transaction(async (tx) => {
    const inner: string | undefined = await tx.keyspace(indexed).by.email.getKey('a@b.c')
    return [inner, await tx.index(manual).getKey('a')]
  })
  void [found, plain, word, db.indexes()]
  const sum: number = await db.transaction(
    async (tx) => {
      const first: string | undefined = await tx.getForUpdate('a')
      const user: User | undefined = await tx.keyspace(users).get('a')
      await tx.keyspace('log', { keyEncoding: 'tuple' }).put([1, 'a'], first ?? '')
      // @ts-expect-error a transaction watches nothing
      tx.watch()
      await tx.transaction((inner) => inner.put('a', 'b'))
      tx.savepoint().rollback()
      return user?.age ?? 0
    },
    { isolation: 'serializable', retries: 3, signal: AbortSignal.timeout(10) },
  )
  const sync: string = db.transactionSync((tx) => tx.getSync('a') ?? 'none')
  // @ts-expect-error it must not return a promise
  db.transactionSync(async (tx) => tx.get('a'))
  {
    await using tx = db.begin({ readOnly: true, lockWait: 5 })
    await tx.commit()
    // @ts-expect-error there is no such level
    db.begin({ isolation: 'none' })
    void [sum, sync, tx.status]
  }
  await db.putStream('film', new Blob([]).stream(), { size: 0, signal: AbortSignal.timeout(10) })
  await db.putStream('film', process.stdin)
  // @ts-expect-error bytes that are there already are put
  await db.putStream('film', new Uint8Array(1))
  const film = await db.getStream('film', { chunkSize: 1000 })
  await film?.pipeTo(new WritableStream<Uint8Array>())
  if (film !== undefined) for await (const chunk of film) void chunk.length
  db.on('closed', () => {}).once('error', (error) => console.log(error.code))
  // @ts-expect-error there is no such event
  db.on('close', () => {})
  const range: Range = { gt: 'a', lte: 'b' }
  const n: number = await db.count(range)
  const many: (string | undefined)[] = await db.getMany(['a', 'b'])
  const changes: Change<string, string>[] = [
    { type: 'put', key: 'a', value: 'b' },
    { type: 'del', key: 'c', keyspace: users },
  ]
  await db.batch(changes)
  // @ts-expect-error a put needs a value
  await db.batch([{ type: 'put', key: 'a' }])

  using snapshot: Snapshot = db.snapshot()
  await db.get('a', { snapshot })
  await db.clear({ prefix: 'x', durability: 'strict' })
  const stats: Stats = db.stats()
  await db.backup('./backup', { onProgress: (done, total) => done < total })
  await Database.restore('./backup', './restored')
  const repaired = await Database.repair('./db', './repaired', { onLoss: ({ reason }) => console.log(reason) })
  console.log(repaired.losses)

  const bytes = await Database.open(':memory:', {
    keyEncoding: 'buffer',
    valueEncoding: 'view',
    host: new MemoryHost(),
  })
  const value: Uint8Array | undefined = await bytes.get(new Uint8Array(1))
  const buffers = bytes.keyspace('buffers', { valueEncoding: 'buffer' })
  await buffers.put('a', 'b')
  const hex: string | undefined = (await buffers.get('a'))?.toString('hex')
  const dates = bytes.keyspace('dates', {
    valueEncoding: { format: 'utf8', encode: (date: Date) => date.toISOString(), decode: (text) => new Date(text) },
  })
  const date: Date | undefined = await dates.get(new Uint8Array(1))
  try {
    await db.sync()
  } catch (error) {
    if (error instanceof DatabaseError && error.code === 'ERR_DB_LOCKED' && error.retryable) throw error.cause
  }
  void [name, again, sure, n, many, stats, value, hex, date, Keyspace, Snapshot]
}

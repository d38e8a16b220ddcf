// index.js: the package in Node.

import { usePlatform } from './src/platform.js'
import { nodePlatform } from './src/node_platform.js'

usePlatform(nodePlatform)

export { Database } from './src/database.js'
export { Keyspace } from './src/keyspace.js'
export { Snapshot } from './src/snapshot.js'
export { Transaction } from './src/transaction.js'
export { DatabaseError } from './src/errors.js'
export { MemoryHost } from './src/host/memory.js'
export { HostError } from './src/host/host.js'

// browser.js: the package in pages and workers. Importing it touches nothing global, so a server may do it too.

import { usePlatform } from './src/platform.js'
import { webPlatform } from './src/web_platform.js'

usePlatform(webPlatform)

export { Database } from './src/worker/web_database.js'
export { Keyspace } from './src/keyspace.js'
export { Snapshot } from './src/snapshot.js'
export { Transaction } from './src/transaction.js'
export { DatabaseError } from './src/errors.js'
export { MemoryHost } from './src/host/memory.js'
export { HostError } from './src/host/host.js'

// reports.d.ts: what a database tells of itself and of its care. Part of index.d.ts.

export interface VerifyReport {
  files: number
  blocks: number
  entries: number
  bytes: number
  errors: number
}
export interface BackupReport {
  filesCopied: number
  filesKept: number
  bytesCopied: number
  sequence: number
}
/** What could not be saved, or was damaged and could be made anew. */
export interface RepairLoss {
  /** '7.sst'; empty when it is no one file's. */
  file: string
  reason: string
  offset: number
  /** Bytes; 0 when it is not known, or none. */
  size: number
  /** Nothing is missing because of it. */
  harmless: boolean
  /** What is missing lies behind this key, as far as that is known. */
  after?: Uint8Array
  /** What is missing lies before this key, as far as that is known. */
  before?: Uint8Array
  /** The number of that key's keyspace; 0 is the default one. */
  afterKeyspace?: number
  beforeKeyspace?: number
}
export interface RepairReport {
  /** In the new database. */
  entries: number
  /** Tables that were looked at, those of them that are damaged, and those of which nothing was saved. */
  tables: number
  tablesDamaged: number
  tablesLost: number
  /** The same of logs. */
  logs: number
  logsDamaged: number
  logsLost: number
  /** Places in tables, places in logs, and bytes of both, that are lost. */
  blocksLost: number
  commitsLostAt: number
  bytesLost: number
  /** Leftovers that are no part of the database. */
  filesIgnored: number
  /** Their names were lost. */
  keyspacesRenamed: number
  /** How often something is missing: 0 = everything was saved. */
  losses: number
  /** Damage that cost nothing. */
  mended: number
  /** Which files count was not known: entries that were deleted or overwritten may be back. */
  listLost: boolean
}
export interface LevelStats {
  tables: number
  bytes: number
  entries: number
  tombstones: number
}
/** Sizes are bytes; counters begin at 0 when the database is opened. */
export interface Stats {
  /** The number of the last commit. */
  sequence: number
  /** Bytes of live tables, log and manifest. */
  diskBytes: number
  /** Bytes of live tables. */
  tableBytes: number
  /** Bytes of the log. */
  logBytes: number
  /** Bytes of memory that the engine holds now. */
  memoryBytes: number
  /** The bound on memoryBytes. */
  memoryBytesMax: number
  /** Bytes of writes that are not in tables yet. */
  memtableBytes: number
  /** Bytes of blocks in the cache. */
  cacheBytes: number
  /** Blocks that were found in the cache. */
  cacheHits: number
  /** Blocks that had to be read. */
  cacheMisses: number
  /** Commits made. */
  commits: number
  /** Changes in them. */
  writes: number
  /** Keys looked up. */
  gets: number
  /** Rows that are open now. */
  iterators: number
  /** Snapshots that are open now. */
  snapshots: number
  /** Transactions that are open now. */
  transactions: number
  /** Commits of transactions. */
  commitsTxn: number
  /** Transactions that had to be run again. */
  conflicts: number
  /** Age of the oldest state that a snapshot or a transaction keeps, in milliseconds. */
  oldestSnapshotMs: number
  /** Bytes of keys and values committed, before the log and compaction. */
  bytesWritten: number
  /** Memtables written to tables. */
  flushes: number
  /** Merges of tables. */
  compactions: number
  /** Tables that were moved to the next level as they were. */
  trivialMoves: number
  /** Bytes of tables that flushes wrote. */
  bytesFlushed: number
  /** Bytes of tables that compactions read. */
  bytesCompactedIn: number
  /** Bytes of tables that compactions wrote. */
  bytesCompactedOut: number
  /** Syncs of the log. */
  syncs: number
  /** Commits that had to wait for, or do, background work. */
  stalls: number
  /** Microseconds that they took for it. */
  stallUs: number
  /** From the newest level down. */
  levels: LevelStats[]
}
/** What the check of an index found. */
export interface IndexReport {
  /** Rows that were looked at. */
  rows: number
  /** Postings that were looked at. */
  entries: number
  /** Postings that are not there. */
  missing: number
  /** Postings that should not be there. */
  wrong: number
}

/**
 * Varve: an embedded ordered key-value database.
 *
 * ```js
 * import { Database } from 'varve'
 * const db = await Database.open('./my_database')
 * await db.put('user:1', 'Alice')
 * await db.get('user:1') // 'Alice'
 * await db.close()
 * ```
 */

/** How much an acknowledged write survives: 'relaxed' the death of the process, 'strict' a power cut. */
export type Durability = 'relaxed' | 'strict'

/** How keys or values become bytes. 'utf8' strings, 'json' anything that JSON holds, 'buffer' and 'view' bytes. */
export interface CustomEncoding<T> {
  name?: string
  /** What `decode` is given: 'utf8' a string, 'view' a Uint8Array (the default), 'buffer' a Buffer. */
  format?: 'utf8' | 'view' | 'buffer'
  encode(value: T): string | Uint8Array
  decode(raw: any): T
}
export type EncodingName = 'utf8' | 'json' | 'buffer' | 'view'
export type Encoding<T = any> = EncodingName | CustomEncoding<T>

/** The type that an encoding stores. */
export type Encoded<E> = E extends 'utf8'
  ? string
  : E extends 'json'
    ? any
    : E extends 'buffer' | 'view'
      ? Uint8Array
      : E extends CustomEncoding<infer T>
        ? T
        : never

export interface Bounds<K = string> {
  /** Keys greater than this. Not together with gte. */
  gt?: K
  /** Keys greater than or equal to this. */
  gte?: K
  /** Keys less than this. Not together with lte. */
  lt?: K
  /** Keys less than or equal to this. */
  lte?: K
  /** Keys that begin with this. */
  prefix?: K
}
export interface ReadOptions {
  snapshot?: Snapshot
}
export interface WriteOptions {
  /** For this write; as the database was opened when left out. */
  durability?: Durability
}
export interface Range<K = string> extends Bounds<K>, ReadOptions {
  /** From the last key to the first. */
  reverse?: boolean
  /** At most so many; Infinity is no limit. */
  limit?: number
}
export interface ClearRange<K = string> extends Bounds<K>, WriteOptions {
  reverse?: boolean
  limit?: number
}

/** A change of a batch. With `keyspace` it is for that keyspace, in its encodings. */
export type Change<K = any, V = any> =
  | { type: 'put'; key: K; value: V; keyspace?: Keyspace<any, any> }
  | { type: 'del'; key: K; keyspace?: Keyspace<any, any> }

export interface AsyncRows<T> extends AsyncIterableIterator<T>, AsyncDisposable {}
export interface SyncRows<T> extends IterableIterator<T>, Disposable {}

/**
 * What a Database and a Keyspace share. Every method with a twin ending in Sync returns a promise; the twin returns the
 * result itself. Writes of one turn of the event loop share one commit; every read sees all writes made before it.
 */
export interface Store<K = string, V = string> {
  /** The value of a key, or undefined. */
  get(key: K, options?: ReadOptions): Promise<V | undefined>
  getSync(key: K, options?: ReadOptions): V | undefined
  /** The values of many keys, in their order; undefined for those that are not there. */
  getMany(keys: readonly K[], options?: ReadOptions): Promise<(V | undefined)[]>
  getManySync(keys: readonly K[], options?: ReadOptions): (V | undefined)[]
  has(key: K, options?: ReadOptions): Promise<boolean>
  hasSync(key: K, options?: ReadOptions): boolean
  /** How many entries a range has. */
  count(range?: Bounds<K> & ReadOptions): Promise<number>
  countSync(range?: Bounds<K> & ReadOptions): number

  /** Stores a value under a key, over what was there. */
  put(key: K, value: V, options?: WriteOptions): Promise<void>
  putSync(key: K, value: V, options?: WriteOptions): void
  /** Removes a key. It is no error when there is none. */
  del(key: K, options?: WriteOptions): Promise<void>
  delSync(key: K, options?: WriteOptions): void
  /** Makes all changes, in their order, or none. */
  batch(changes: readonly Change<K, V>[], options?: WriteOptions): Promise<void>
  batchSync(changes: readonly Change<K, V>[], options?: WriteOptions): void
  /** Removes a range of keys; without a limit in time that does not depend on how many there are. */
  clear(range?: ClearRange<K>): Promise<void>
  clearSync(range?: ClearRange<K>): void

  /** Rows of a range in the order of their keys, as of now. Leaving a `for await` loop early closes them. */
  entries(range?: Range<K>): AsyncRows<[K, V]>
  keys(range?: Range<K>): AsyncRows<K>
  values(range?: Range<K>): AsyncRows<V>
  entriesSync(range?: Range<K>): SyncRows<[K, V]>
  keysSync(range?: Range<K>): SyncRows<K>
  valuesSync(range?: Range<K>): SyncRows<V>
}

/** A namespace of a database, with encodings of its own. From db.keyspace(). */
export interface Keyspace<K = string, V = string> extends Store<K, V> {
  readonly name: string
}
export declare const Keyspace: { readonly prototype: Keyspace<any, any> }

/** The state of a database at one moment. From db.snapshot(). */
export interface Snapshot extends Disposable {
  /** The number of the last commit that it sees. */
  readonly sequence: number
  /** Lets go of the state. Closing twice is allowed. */
  close(): void
}
export declare const Snapshot: { readonly prototype: Snapshot }

export interface OpenOptions<KE extends Encoding = 'utf8', VE extends Encoding = 'utf8'> {
  /** Change nothing; needs an existing database. */
  readOnly?: boolean
  /** false: fail with ERR_DB_MISSING rather than create. */
  createIfMissing?: boolean
  /** Fail with ERR_DB_EXISTS rather than open. */
  errorIfExists?: boolean
  /** How many milliseconds to wait for another process to close the database. Default 0. */
  lock?: { wait?: number }
  /** Default 'relaxed': a commit reaches stable storage within syncInterval, or at sync(). */
  durability?: Durability
  /** Milliseconds. Default 100. */
  syncInterval?: number
  /** Default 'lz4'. */
  compression?: 'lz4' | 'none' | boolean
  /** Bound on the memory that the engine takes, in bytes. Default 32 MiB. */
  memory?: number
  /** Bytes of writes that are gathered in memory. Default 4 MiB. */
  memtable?: number
  /** Target size of a table, in bytes. Default 2 MiB. */
  tableSize?: number
  /** Target size of a block, in bytes. Default 4096. */
  blockSize?: number
  keyEncoding?: KE
  valueEncoding?: VE
  /** The engine, where it is not found beside the package. */
  wasm?: URL | Response | BufferSource | WebAssembly.Module
  /** Where the files live; the file system in Node, memory elsewhere. */
  host?: MemoryHost
}

export interface ProgressOptions {
  /** Called now and then; return false to stop, which fails with ERR_DB_ABORTED. */
  onProgress?(done: number, total: number): unknown
}
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
export interface LevelStats {
  tables: number
  bytes: number
  entries: number
  tombstones: number
}
export interface Stats {
  sequence: number
  diskBytes: number
  tableBytes: number
  logBytes: number
  memoryBytes: number
  memoryBytesMax: number
  memtableBytes: number
  cacheBytes: number
  cacheHits: number
  cacheMisses: number
  commits: number
  writes: number
  gets: number
  iterators: number
  snapshots: number
  bytesWritten: number
  flushes: number
  compactions: number
  trivialMoves: number
  bytesFlushed: number
  bytesCompactedIn: number
  bytesCompactedOut: number
  syncs: number
  stalls: number
  stallUs: number
  levels: LevelStats[]
}

/** A database: a directory in Node, or memory for ':memory:'. */
export declare class Database<K = string, V = string> implements Disposable, AsyncDisposable {
  private constructor()
  static open<KE extends Encoding = 'utf8', VE extends Encoding = 'utf8'>(
    location: string | URL,
    options?: OpenOptions<KE, VE>,
  ): Promise<Database<Encoded<KE>, Encoded<VE>>>
  static openSync<KE extends Encoding = 'utf8', VE extends Encoding = 'utf8'>(
    location: string | URL,
    options?: OpenOptions<KE, VE>,
  ): Database<Encoded<KE>, Encoded<VE>>
  /** Makes a new database at `target` of a backup. */
  static restore(
    backup: string | URL,
    target: string | URL,
    options?: ProgressOptions & Pick<OpenOptions, 'wasm' | 'host'>,
  ): Promise<void>
  /** The version of the engine. */
  static readonly version: string

  /** Where the database is, as it was opened. */
  readonly path: string
  readonly status: 'open' | 'closed'

  /** A namespace, created when it does not exist. Encodings left out are the database's. */
  keyspace(name: string): Keyspace<K, V>
  keyspace<VE extends Encoding>(name: string, options: { valueEncoding: VE }): Keyspace<K, Encoded<VE>>
  keyspace<KE extends Encoding>(name: string, options: { keyEncoding: KE }): Keyspace<Encoded<KE>, V>
  keyspace<KE extends Encoding, VE extends Encoding>(
    name: string,
    options: { keyEncoding: KE; valueEncoding: VE },
  ): Keyspace<Encoded<KE>, Encoded<VE>>
  /** The names of the keyspaces, in order. */
  keyspaces(): string[]
  /** Removes a keyspace and all that is in it; false when there was none. */
  dropKeyspace(name: string): Promise<boolean>
  /** The state now. Close it, or let `using` do it: what it sees is kept until then. */
  snapshot(): Snapshot

  /** Returns when all that was written is on stable storage. */
  sync(): Promise<void>
  syncSync(): void
  /** Merges everything until nothing deleted or superseded is left. */
  compact(options?: ProgressOptions): Promise<void>
  /** Writes what is in memory to tables. */
  flush(): Promise<void>
  /** Reads and checks every byte; fails with ERR_DB_CORRUPT, with the report as `error.report`. */
  verify(options?: ProgressOptions): Promise<VerifyReport>
  /** Writes a consistent copy to a directory; a second time only what is new. */
  backup(target: string | URL, options?: ProgressOptions): Promise<BackupReport>
  stats(): Stats

  /** Commits what is waiting, closes iterators and snapshots, and gives the lock back. Closing twice is allowed. */
  close(): Promise<void>
  closeSync(): void
  [Symbol.dispose](): void
  [Symbol.asyncDispose](): Promise<void>
}
export interface Database<K = string, V = string> extends Store<K, V> {}

/** What went wrong with a database. Misuse is a TypeError instead. */
export declare class DatabaseError extends Error {
  constructor(code: string, message: string, options?: { retryable?: boolean; cause?: unknown })
  /** 'ERR_DB_LOCKED', 'ERR_DB_CORRUPT', 'ERR_DB_FULL', 'ERR_DB_CLOSED', … */
  readonly code: string
  /** Whether the same call may succeed later without any repair. */
  readonly retryable: boolean
}

/** A failure of a host, for those who write one. */
export declare class HostError extends Error {
  constructor(status: string, message: string, cause?: unknown)
  readonly status: number
}

/** Files in JavaScript memory, under names, for as long as the object lives. */
export declare class MemoryHost {
  readonly name: string
}

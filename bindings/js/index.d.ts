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

import type { IndexDefinition, KeyspaceIndex, ManualIndex, ManualOptions } from './indexes.js'
import type { BackupReport, RepairLoss, RepairReport, Stats, VerifyReport } from './reports.js'

// What other libraries declare, where they are there: a program needs neither the DOM's types nor Node's.
declare global {
  interface SymbolConstructor {
    readonly dispose: unique symbol
    readonly asyncDispose: unique symbol
  }
  interface Disposable {
    [Symbol.dispose](): void
  }
  interface AsyncDisposable {
    [Symbol.asyncDispose](): PromiseLike<void>
  }
}
type Global = typeof globalThis
type Instance<T> = T extends abstract new (...args: any[]) => infer I ? I : never
type HostBuffer = Global extends { Buffer: { alloc(size: number): infer B } } ? B : Uint8Array
type HostURL = Global extends { URL: infer C } ? Instance<C> : never
type HostResponse = Global extends { Response: infer C } ? Instance<C> : never
type HostSignal = Global extends { AbortSignal: infer C } ? Instance<C> : never
type HostWorker = Global extends { Worker: infer C } ? Instance<C> : never
type HostModule = Global extends { WebAssembly: { Module: infer C } } ? Instance<C> : never

/** What a backup is read from: a ReadableStream of Uint8Arrays, of whichever library declares it. */
type ReadableBytes = {
  getReader(): {
    read(): Promise<{ done: boolean; value?: any }>
    cancel(reason?: any): Promise<void>
    releaseLock(): void
  }
}
/** What a backup is written to: a WritableStream that takes Uint8Arrays. */
type WritableBytes = {
  getWriter(): {
    readonly ready: Promise<any>
    write(chunk: any): Promise<void>
    close(): Promise<void>
    abort(reason?: any): Promise<void>
    releaseLock(): void
  }
}

/** What a value is put from: a ReadableStream, a Readable of Node, or anything else that gives pieces of bytes. */
type SourceOfBytes = ReadableBytes | AsyncIterable<ArrayBufferView> | Iterable<ArrayBufferView>
/** The platform's ReadableStream, or what is known of it where none is declared. */
type HostReadable = (Global extends { ReadableStream: infer C } ? Instance<C> : ReadableBytes) &
  AsyncIterable<Uint8Array> & { cancel(reason?: any): Promise<void> }

/** How much an acknowledged write survives: 'relaxed' the death of the process, 'strict' a power cut. */
export type Durability = 'relaxed' | 'strict'

/**
 * What a tuple holds. As keys they are in this order: null, false, true, numbers and bigints (by what they are worth:
 * 1 < 1.5 < 2n; -0 is 0; bigints from -2^63 to 2^64 - 1; no NaN), Dates, text (by its code points), bytes, arrays (an
 * array before the longer ones that begin with it). Integers beyond 2^53 come back as bigints, others as numbers.
 */
export type TupleElement = null | boolean | number | bigint | string | Date | Uint8Array | readonly TupleElement[]
/** A key made of parts: `{ prefix: ['user', 7] }` finds all keys that begin with these parts. */
export type Tuple = readonly TupleElement[]

/**
 * How keys or values become bytes. 'utf8' strings, 'json' anything that JSON holds, 'buffer' and 'view' bytes, 'tuple'
 * arrays whose order as keys is that of their elements.
 */
export interface CustomEncoding<T> {
  name?: string
  /** What `decode` is given: 'utf8' a string, 'view' a Uint8Array (the default), 'buffer' a Buffer. */
  format?: 'utf8' | 'view' | 'buffer'
  encode(value: T): string | Uint8Array
  decode(raw: any): T
}
export type EncodingName = 'utf8' | 'json' | 'buffer' | 'view' | 'tuple'
export type Encoding<T = any> = EncodingName | CustomEncoding<T>

/** The type that an encoding stores. */
export type Encoded<E> = E extends 'utf8'
  ? string
  : E extends 'json'
    ? any
    : E extends 'buffer'
      ? HostBuffer
      : E extends 'view'
        ? Uint8Array
        : E extends 'tuple'
          ? Tuple
          : E extends CustomEncoding<infer T>
            ? T
            : never

/** What may be passed where a T is read: for bytes also a string, taken as UTF-8, and other views of bytes. */
export type Input<T> = T extends Uint8Array ? string | Uint8Array | ArrayBufferView | ArrayBuffer : T

/** Leave a bound out for none; one that is there and undefined is refused. */
export interface Bounds<K = string> {
  /** Keys greater than this. Not together with gte. */
  gt?: Input<K>
  /** Keys greater than or equal to this. */
  gte?: Input<K>
  /** Keys less than this. Not together with lte. */
  lt?: Input<K>
  /** Keys less than or equal to this. */
  lte?: Input<K>
  /** Keys that begin with this. */
  prefix?: Input<K>
}
/** Encodings for this call alone; those of the database or keyspace when left out. */
export interface CallEncodings {
  keyEncoding?: Encoding
  valueEncoding?: Encoding
}
export interface ReadOptions extends CallEncodings {
  snapshot?: Snapshot
}
export interface WriteOptions extends CallEncodings {
  /** For this write; as the database was opened when left out. */
  durability?: Durability
}
export interface Range<K = string> extends Bounds<K>, ReadOptions {
  /** From the last key to the first. */
  reverse?: boolean
  /** At most so many; Infinity is no limit. */
  limit?: number
  /** Ends the walk: the next step fails with the signal's reason. */
  signal?: HostSignal
}
export interface ClearRange<K = string> extends Bounds<K>, Omit<WriteOptions, 'valueEncoding'> {
  reverse?: boolean
  limit?: number
}

/** A change of a batch. With `keyspace` it is for that keyspace, in its encodings. */
export type Change<K = any, V = any> =
  | ({ type: 'put'; key: Input<K>; value: Input<V>; keyspace?: Keyspace<any, any, any> } & CallEncodings)
  | ({ type: 'del'; key: Input<K>; keyspace?: Keyspace<any, any, any> } & CallEncodings)

export interface AsyncRows<T> extends AsyncIterableIterator<T>, AsyncDisposable {}
export interface SyncRows<T> extends IterableIterator<T>, Disposable {}

/** What watch() tells of one key, or of a range that was cleared (its bounds as bytes). */
export type Changed<K = string, V = string> =
  | { type: 'put'; key: K; value: V }
  | { type: 'del'; key: K }
  | { type: 'clear'; gte?: Uint8Array; lt?: Uint8Array }
  /** In a browser, after another tab took over: changes may have been made that were not told; read again. */
  | { type: 'missed' }

export interface WatchRange<K = string> extends Bounds<K>, CallEncodings {
  /** Ends the watching. */
  signal?: HostSignal
}

/** Watches a range until it is closed. Without a listener it is walked over: one array of changes for each
 * call that made some. */
export interface Watcher<K = string, V = string>
  extends AsyncIterableIterator<Changed<K, V>[]>, Disposable, AsyncDisposable {
  /** Nothing more is told. Closing twice is allowed. */
  close(): void
}

/**
 * What a Database and a Keyspace share. Every method with a twin ending in Sync returns a promise; the twin returns the
 * result itself. Writes of one turn of the event loop share one commit; every read sees all writes made before it.
 */
export interface Store<K = string, V = string> {
  /** The value of a key, or undefined. */
  get(key: Input<K>, options?: ReadOptions): Promise<V | undefined>
  /** get() without a promise. */
  getSync(key: Input<K>, options?: ReadOptions): V | undefined
  /** The values of many keys, in their order; undefined for those that are not there. */
  getMany(keys: readonly Input<K>[], options?: ReadOptions): Promise<(V | undefined)[]>
  /** getMany() without a promise. */
  getManySync(keys: readonly Input<K>[], options?: ReadOptions): (V | undefined)[]
  /** Whether there is such a key. */
  has(key: Input<K>, options?: ReadOptions): Promise<boolean>
  /** has() without a promise. */
  hasSync(key: Input<K>, options?: ReadOptions): boolean
  /** How many entries a range has. */
  count(range?: Bounds<K> & Omit<ReadOptions, 'valueEncoding'>): Promise<number>
  /** count() without a promise. */
  countSync(range?: Bounds<K> & Omit<ReadOptions, 'valueEncoding'>): number

  /** Stores a value under a key, over what was there. */
  put(key: Input<K>, value: Input<V>, options?: WriteOptions): Promise<void>
  /** put() as a commit of its own, made when it returns. */
  putSync(key: Input<K>, value: Input<V>, options?: WriteOptions): void
  /** Removes a key. It is no error when there is none. */
  del(key: Input<K>, options?: WriteOptions): Promise<void>
  /** del() as a commit of its own, made when it returns. */
  delSync(key: Input<K>, options?: WriteOptions): void
  /** Makes all changes, in their order, or none. */
  batch(changes: readonly Change<K, V>[], options?: WriteOptions): Promise<void>
  /** batch() as a commit of its own, made when it returns. */
  batchSync(changes: readonly Change<K, V>[], options?: WriteOptions): void
  /** Removes a range of keys; without a limit in time that does not depend on how many there are. */
  clear(range?: ClearRange<K>): Promise<void>
  /** clear() as a commit of its own, made when it returns. */
  clearSync(range?: ClearRange<K>): void

  /** The value of a key as a stream of Uint8Arrays, the bytes as they are stored; undefined when there is none. What it
   * gives is the value at the call; it is kept until the stream has ended or was cancelled. */
  getStream(
    key: Input<K>,
    options?: {
      snapshot?: Snapshot
      /** The stream then fails with the signal's reason. */
      signal?: HostSignal
      /** Bytes. Default 65,536. */
      chunkSize?: number
      keyEncoding?: Encoding
    },
  ): Promise<HostReadable | undefined>
  /** Stores what a stream gives, once it has ended; nothing of it when it fails. */
  putStream(
    key: Input<K>,
    source: SourceOfBytes,
    options?: {
      /** How many bytes there will be: it is checked, and spares memory. */
      size?: number
      /** Stops the source; the promise is rejected with the signal's reason. */
      signal?: HostSignal
      durability?: Durability
      keyEncoding?: Encoding
    },
  ): Promise<void>

  /** Tells of changes to a range, in their order, after they were made: those of each call (put, del, batch, clear)
   * at once. */
  watch(range?: WatchRange<K>): Watcher<K, V>
  watch(range: WatchRange<K> | undefined, listener: (changes: Changed<K, V>[]) => void): Watcher<K, V>

  /** Rows of a range in the order of their keys, as of now. Leaving a `for await` loop early closes them. */
  entries(range?: Range<K>): AsyncRows<[K, V]>
  /** The keys alone. */
  keys(range?: Range<K>): AsyncRows<K>
  /** The values alone. */
  values(range?: Range<K>): AsyncRows<V>
  /** entries() for a plain `for` loop. */
  entriesSync(range?: Range<K>): SyncRows<[K, V]>
  /** keys() for a plain `for` loop. */
  keysSync(range?: Range<K>): SyncRows<K>
  /** values() for a plain `for` loop. */
  valuesSync(range?: Range<K>): SyncRows<V>
}

/** A namespace of a database, with encodings of its own. From db.keyspace(). */
export interface Keyspace<K = string, V = string, I extends string = never> extends Store<K, V> {
  readonly name: string
  /** Its indexes, by their names. */
  readonly by: { readonly [N in I]: KeyspaceIndex<K, V> }
  /** A keyspace inside this one, called 'outer/inner'. Encodings left out are this one's. */
  keyspace: OpenKeyspace<K, V>
}
/** Opens a keyspace; see Database.keyspace(). */
export interface OpenKeyspace<K, V> {
  (name: string): Keyspace<K, V>
  <VE extends Encoding, I extends string = never>(
    name: string,
    options: { valueEncoding: VE; indexes?: Indexes<I, K, Encoded<VE>> },
  ): Keyspace<K, Encoded<VE>, I>
  <KE extends Encoding, I extends string = never>(
    name: string,
    options: { keyEncoding: KE; indexes?: Indexes<I, Encoded<KE>, V> },
  ): Keyspace<Encoded<KE>, V, I>
  <KE extends Encoding, VE extends Encoding, I extends string = never>(
    name: string,
    options: { keyEncoding: KE; valueEncoding: VE; indexes?: Indexes<I, Encoded<KE>, Encoded<VE>> },
  ): Keyspace<Encoded<KE>, Encoded<VE>, I>
  <I extends string>(name: string, options: { indexes: Indexes<I, K, V> }): Keyspace<K, V, I>
}
type Indexes<I extends string, K, V> = { readonly [N in I]: IndexDefinition<K, V> }
export declare const Keyspace: { readonly prototype: Keyspace<any, any, any> }

/** The state of a database at one moment. From db.snapshot(). */
export interface Snapshot extends Disposable {
  /** The number of the last commit that it sees. */
  readonly sequence: number
  /** Lets go of the state. Closing twice is allowed. */
  close(): void
}
export declare const Snapshot: { readonly prototype: Snapshot }

export interface TransactionOptions {
  /**
   * Default 'snapshot': it sees the state when it began, and conflicts with others that changed what it changed.
   * 'serializable': with others that changed what it read as well. 'read-committed': it sees the latest, and never
   * conflicts.
   */
  isolation?: 'read-committed' | 'snapshot' | 'serializable'
  /** It only reads, and never conflicts. */
  readOnly?: boolean
  /** Of its commit. */
  durability?: Durability
  /** Milliseconds that getForUpdate() waits for another transaction. Default 1000. */
  lockWait?: number
}
export interface RunOptions extends TransactionOptions {
  /** How often the function is run again after conflicts. Default 5. */
  retries?: number
  /** Rolls back; the promise is rejected with the signal's reason. */
  signal?: HostSignal
}

/** A Store in a transaction: it sees its own changes, and `durability` and `snapshot` are the transaction's. */
export interface TransactionStore<K = string, V = string> extends Omit<
  Store<K, V>,
  'watch' | 'getStream' | 'putStream'
> {
  /** get(), after a lock on the key until the end of the transaction: others that read it this way wait. */
  getForUpdate(key: Input<K>, options?: CallEncodings): Promise<V | undefined>
  /** getForUpdate() without a promise, and without waiting. */
  getForUpdateSync(key: Input<K>, options?: CallEncodings): V | undefined
}
export interface TransactionKeyspace<K = string, V = string, I extends string = never> extends TransactionStore<K, V> {
  readonly name: string
  readonly by: { readonly [N in I]: KeyspaceIndex<K, V> }
  keyspace(name: string, options?: CallEncodings): TransactionKeyspace<any, any>
}
/** A mark in a transaction. From tx.savepoint(). */
export interface Savepoint {
  /** Undoes what was changed since; the savepoint stays. */
  rollback(): void
  /** Forgets the savepoint, and keeps the changes. */
  release(): void
}
/** Changes that become visible and durable together, or not at all. From db.transaction() or db.begin(). */
export interface Transaction<K = string, V = string> extends TransactionStore<K, V>, Disposable, AsyncDisposable {
  readonly status: 'open' | 'committed' | 'rolled back'
  /** A keyspace in this transaction: a Keyspace of the database, or one by its name. */
  keyspace<KK, KV, I extends string>(keyspace: Keyspace<KK, KV, I>): TransactionKeyspace<KK, KV, I>
  keyspace(name: string): TransactionKeyspace<K, V>
  keyspace<KE extends Encoding = 'utf8', VE extends Encoding = 'utf8'>(
    name: string,
    options: { keyEncoding?: KE; valueEncoding?: VE },
  ): TransactionKeyspace<Encoded<KE>, Encoded<VE>>
  /** A transaction in this one, whose changes are undone when its function fails. */
  transaction<T>(run: (tx: Transaction<K, V>) => Promise<T> | T): Promise<T>
  transactionSync<T>(run: (tx: Transaction<K, V>) => NoPromise<T>): T
  /** An index of db.index() in this transaction. */
  index<IK, PK>(index: ManualIndex<IK, PK>): ManualIndex<IK, PK>
  savepoint(): Savepoint
  /** Fails with ERR_DB_CONFLICT when it is to be run again; it is over in every case. */
  commit(): Promise<void>
  commitSync(): void
  /** Forgets the changes. Allowed when it is over. */
  rollback(): Promise<void>
  rollbackSync(): void
}
export declare const Transaction: { readonly prototype: Transaction<any, any> }
type NoPromise<T> = T extends PromiseLike<any> ? never : T

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
  wasm?: HostURL | HostResponse | Uint8Array | ArrayBufferView | ArrayBuffer | HostModule
  /** Where the files live; the file system in Node, the browser's storage in a page. */
  host?: MemoryHost

  /** Browsers: where the data is kept. Default 'opfs' where the browser has it, else 'idb'; never memory by itself. */
  storage?: 'opfs' | 'idb' | 'memory'
  /** Browsers: work in memory where nothing can be stored, as in some private windows. Default false: fail. */
  allowMemory?: boolean
  /** Browsers: the engine's worker (varve/worker), for bundlers that do not follow new Worker(new URL(…)). */
  worker?: string | HostURL | (() => HostWorker)
  /** Browsers: milliseconds without a word of the tab that has the database open, until calls fail. Default 10,000. */
  timeout?: number
  /** Browsers, in a worker: the engine in this very thread, with the Sync methods, or ERR_DB_LOCKED. */
  sync?: boolean
}

export interface ProgressOptions {
  /** Called now and then; return false to stop, which fails with ERR_DB_ABORTED. */
  onProgress?(done: number, total: number): unknown
  /** Looked at with every progress; the call then fails with the signal's reason. */
  signal?: HostSignal
}
export type { BackupReport, IndexReport, LevelStats, RepairLoss, RepairReport, Stats, VerifyReport } from './reports.js'
export type { IndexDefinition, IndexRange, KeyspaceIndex, ManualIndex, ManualOptions } from './indexes.js'

export interface DatabaseEvents {
  closed: () => unknown
  error: (error: DatabaseError) => unknown
  warning: (warning: Error) => unknown
}

/** A database: a directory or one file (`app.varve`) in Node, or memory for ':memory:'. */
export declare class Database<K = string, V = string> implements Disposable, AsyncDisposable {
  private constructor()
  /** Opens the database in a directory or in one file, and creates it when it does not exist. */
  static open<KE extends Encoding = 'utf8', VE extends Encoding = 'utf8'>(
    location: string | HostURL,
    options?: OpenOptions<KE, VE>,
  ): Promise<Database<Encoded<KE>, Encoded<VE>>>
  /** open() without a promise; waiting for a lock blocks the thread. */
  static openSync<KE extends Encoding = 'utf8', VE extends Encoding = 'utf8'>(
    location: string | HostURL,
    options?: OpenOptions<KE, VE>,
  ): Database<Encoded<KE>, Encoded<VE>>
  /**
   * Makes a new database at `target` of a backup, or of the stream that a backup was written to. What a stream gives is
   * kept in a temporary file meanwhile.
   */
  static restore(
    backup: string | HostURL | ReadableBytes,
    target: string | HostURL,
    options?: ProgressOptions & Pick<OpenOptions, 'wasm' | 'host'>,
  ): Promise<void>
  /**
   * Makes a new database at `target` of everything at `path` whose checksum holds. It is for a database that is
   * damaged, also when it does not open any more; `path` is only read.
   */
  static repair(
    path: string | HostURL,
    target: string | HostURL,
    options?: ProgressOptions & Pick<OpenOptions, 'wasm' | 'host'> & { onLoss?: (loss: RepairLoss) => unknown },
  ): Promise<RepairReport>
  /** The version of the engine. */
  static readonly version: string

  /** Where the database is, as it was opened. */
  readonly path: string
  readonly status: 'open' | 'closed'

  /** A namespace, created when it does not exist. Encodings left out are the database's. */
  keyspace: OpenKeyspace<K, V>
  /** The names of the keyspaces, in order. */
  keyspaces(): string[]
  /** Removes a keyspace and all that is in it, nested ones too; false when there was none. */
  dropKeyspace(name: string): Promise<boolean>
  /** An index whose postings the program inserts and removes, created when it does not exist. */
  index<IE extends Encoding = 'utf8', KE extends Encoding = 'utf8'>(
    name: string,
    options?: ManualOptions<IE, KE>,
  ): ManualIndex<Encoded<IE>, Encoded<KE>>
  /** The names of the indexes, in order. That of a keyspace's is 'users.by.email'. */
  indexes(): string[]
  /** Removes an index; false when there is none. */
  dropIndex(name: string): Promise<boolean>
  /** The state now. Close it, or let `using` do it: what it sees is kept until then. */
  snapshot(): Snapshot

  /** Runs a function in a transaction, commits it, and gives its result; runs it again when it conflicts. */
  transaction<T>(run: (tx: Transaction<K, V>) => Promise<T> | T, options?: RunOptions): Promise<T>
  /** transaction() of a function that returns no promise. */
  transactionSync<T>(run: (tx: Transaction<K, V>) => NoPromise<T>, options?: TransactionOptions): T
  /** A transaction that the caller ends. */
  begin(options?: TransactionOptions): Transaction<K, V>

  /** Returns when all that was written is on stable storage. */
  sync(): Promise<void>
  /** sync() without a promise; blocks the thread. */
  syncSync(): void
  /** Merges everything until nothing deleted or superseded is left. */
  compact(options?: ProgressOptions): Promise<void>
  /** Writes what is in memory to tables. */
  flush(): Promise<void>
  /** Reads and checks every byte; fails with ERR_DB_CORRUPT, with the report as `error.report`. */
  verify(options?: ProgressOptions): Promise<VerifyReport>
  /**
   * Writes a consistent copy to a directory or to one file; a second time only what is new. Or to a WritableStream of
   * Uint8Arrays, which gets the bytes of a database in one file, as fast as it takes them, and is closed: the copy is
   * made in a temporary file first (of TMPDIR in Node), and progress begins at 0 again for what is sent.
   */
  backup(target: string | HostURL | WritableBytes, options?: ProgressOptions): Promise<BackupReport>
  stats(): Stats

  /**
   * 'closed': the database was closed. 'error': work in the background failed, which the next write says as well; told
   * once for each reason. 'warning': a program left something open until it was collected; when nobody listens it is a
   * warning of the process (or of the console). Listeners run soon after, in a microtask.
   */
  on<E extends keyof DatabaseEvents>(event: E, listener: DatabaseEvents[E]): this
  /** on() for the next time alone. */
  once<E extends keyof DatabaseEvents>(event: E, listener: DatabaseEvents[E]): this
  /** Ends what on() or once() began, one at a time. */
  off<E extends keyof DatabaseEvents>(event: E, listener: DatabaseEvents[E]): this

  /** Commits what is waiting, closes iterators and snapshots, and gives the lock back. Closing twice is allowed. */
  close(): Promise<void>
  /** close() without a promise. */
  closeSync(): void
  [Symbol.dispose](): void
  [Symbol.asyncDispose](): Promise<void>
}
export interface Database<K = string, V = string> extends Store<K, V> {}

export type DatabaseErrorCode =
  | 'ERR_DB_CONFLICT'
  | 'ERR_DB_NOMEM'
  | 'ERR_DB_INVALID'
  | 'ERR_DB_KEY_TOO_LARGE'
  | 'ERR_DB_VALUE_TOO_LARGE'
  | 'ERR_DB_NOT_DATABASE'
  | 'ERR_DB_NEWER_FORMAT'
  | 'ERR_DB_CORRUPT'
  | 'ERR_DB_IO'
  | 'ERR_DB_FULL'
  | 'ERR_DB_READONLY'
  | 'ERR_DB_LOCKED'
  | 'ERR_DB_CLOSED'
  | 'ERR_DB_MISSING'
  | 'ERR_DB_EXISTS'
  | 'ERR_DB_LIMIT'
  | 'ERR_DB_UNSUPPORTED'
  | 'ERR_DB_FAILED'
  | 'ERR_DB_BUSY'
  | 'ERR_DB_ABORTED'
  | 'ERR_DB_BUG'
  | 'ERR_DB_LEADER_LOST'

/** What went wrong with a database. Misuse is a TypeError instead. */
export declare class DatabaseError extends Error {
  constructor(code: DatabaseErrorCode, message: string, options?: { retryable?: boolean; cause?: unknown })
  /** What went wrong: docs/API.md says what each one means. */
  readonly code: DatabaseErrorCode
  /** Whether the same call may succeed later without any repair. */
  readonly retryable: boolean
  /** Of ERR_DB_CONFLICT: the key that somebody else changed or locked, and the name of its keyspace ('' is the
   * database's own). */
  readonly key?: any
  readonly keyspace?: string
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

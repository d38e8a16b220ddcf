// indexes.d.ts: finding rows by something else than their key. Part of index.d.ts.

import type { AsyncRows, Encoding, ProgressOptions, SyncRows } from './index.js'
import type { IndexReport } from './reports.js'

/** How an index of a keyspace is made. Its name says of which fields ('email', 'age,city', 'address.zip') unless `key`
 * does. */
export interface IndexDefinition<K = any, V = any> {
  /** Default 'btree': ordered. 'hash': for equality alone, and faster. */
  kind?: 'btree' | 'hash'
  /** At most one row for an index key. Default false. */
  unique?: boolean
  /** The index key of a row: a value, an array of values for several fields, or undefined for none. It must tell the
   * same of the same row, and must not use the database. */
  key?: (value: V, key: K) => any
  /** The fields, or `key`, give a list of index keys. Default false. */
  multi?: boolean
}

/** A range of index keys; without bounds all of them. A hash index takes `eq` alone. */
export interface IndexRange {
  /** Rows with this index key. Not together with other bounds. */
  eq?: any
  /** Index keys whose first fields are these. Not together with other bounds. */
  prefix?: any
  gt?: any
  gte?: any
  lt?: any
  lte?: any
  reverse?: boolean
  limit?: number
  signal?: { readonly aborted: boolean }
}

interface IndexInfo {
  name: string
  kind: 'btree' | 'hash'
  unique: boolean
  /** By itself. */
  maintained: boolean
  /** Postings, counted by walking over them. */
  entries: number
}

interface AnyIndex<K> {
  readonly name: string
  /** The primary key of an index key, the first one of several; undefined when there is none. */
  getKey(key: any): Promise<K | undefined>
  getKeySync(key: any): K | undefined
  has(key: any): Promise<boolean>
  hasSync(key: any): boolean
  /** How many postings a range has. */
  count(range?: IndexRange): Promise<number>
  countSync(range?: IndexRange): number
  /** Index keys and primary keys, in order. */
  postings(range?: IndexRange): AsyncRows<[any, K]>
  postingsSync(range?: IndexRange): SyncRows<[any, K]>
  /** The first posting. */
  min(): Promise<[any, K] | undefined>
  /** The last posting. */
  max(): Promise<[any, K] | undefined>
  info(): IndexInfo
  /** Compares the index with its rows; fails with ERR_DB_CORRUPT, with the report as `error.report`. */
  verify(options?: ProgressOptions): Promise<IndexReport>
  /** Empties the index and builds it anew. */
  rebuild(options?: ProgressOptions): Promise<void>
  /** Removes the index; false when it is gone already. */
  drop(): Promise<boolean>
}

/** An index of a keyspace, which maintains itself. From `keyspace.by`. */
export interface KeyspaceIndex<K = string, V = string> extends AnyIndex<K> {
  /** The row with an index key, the first one of several; undefined when there is none. */
  get(key: any): Promise<V | undefined>
  getSync(key: any): V | undefined
  getMany(keys: readonly any[]): Promise<(V | undefined)[]>
  /** Primary keys and rows in the order of the index, of one state. */
  entries(range?: IndexRange): AsyncRows<[K, V]>
  entriesSync(range?: IndexRange): SyncRows<[K, V]>
  /** Primary keys. */
  keys(range?: IndexRange): AsyncRows<K>
  keysSync(range?: IndexRange): SyncRows<K>
  values(range?: IndexRange): AsyncRows<V>
  valuesSync(range?: IndexRange): SyncRows<V>
}

/** An index whose postings the program keeps. From db.index(). */
export interface ManualIndex<I = string, K = string> extends AnyIndex<K> {
  /** A posting that is there already stays as it is. */
  insert(key: I, primary: K): Promise<void>
  insertSync(key: I, primary: K): void
  /** False when there was no such posting. */
  remove(key: I, primary: K): Promise<boolean>
  removeSync(key: I, primary: K): boolean
}

export interface ManualOptions<IE extends Encoding = 'utf8', KE extends Encoding = 'utf8'> {
  kind?: 'btree' | 'hash'
  unique?: boolean
  /** Of index keys. */
  keyEncoding?: IE
  /** Of primary keys. */
  valueEncoding?: KE
}

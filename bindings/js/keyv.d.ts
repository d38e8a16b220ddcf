/**
 * Varve as a storage adapter for Keyv.
 *
 * ```js
 * import Keyv from 'keyv'
 * import { KeyvVarve } from 'varve/keyv'
 * const cache = new Keyv({ store: new KeyvVarve('./cache'), namespace: 'pages' })
 * ```
 */

import type { OpenOptions, Store } from 'varve'

/** Entries that have expired are not returned, and stay until they are asked for or cleared. */
export declare class KeyvVarve {
  /** A path, opened on first use, or an open Database or Keyspace whose keys and values are strings. */
  constructor(place: string | URL | Store, options?: Omit<OpenOptions, 'keyEncoding' | 'valueEncoding'>)
  opts: Record<string, any>
  namespace: string | undefined
  get(key: string): Promise<any>
  getMany(keys: string[]): Promise<any[]>
  set(key: string, value: any): Promise<void>
  /** All entries or none. */
  setMany(entries: { key: string; value: any }[]): Promise<void>
  delete(key: string): Promise<boolean>
  deleteMany(keys: string[]): Promise<boolean>
  clear(): Promise<void>
  has(key: string): Promise<boolean>
  iterator(namespace?: string): AsyncGenerator<[string, any], void>
  on(event: string, listener: (...args: any[]) => void): this
  /** Closes the database when the adapter opened it. */
  disconnect(): Promise<void>
}

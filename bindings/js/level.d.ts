/**
 * Varve with the interface of abstract-level, for programs that are written for `level`.
 *
 * ```js
 * import { VarveLevel } from 'varve/level'
 * const db = new VarveLevel('./my_database', { valueEncoding: 'json' })
 * ```
 */

import type { AbstractDatabaseOptions, AbstractLevel } from 'abstract-level'
import type { BackupReport, Database, OpenOptions, ProgressOptions } from 'varve'

type EngineOptions = Omit<OpenOptions, 'keyEncoding' | 'valueEncoding' | 'createIfMissing' | 'errorIfExists'>

export interface VarveLevelOptions<K, V> extends AbstractDatabaseOptions<K, V>, EngineOptions {}

/** One database, opened on first use. ':memory:' keeps its entries for as long as the object lives. */
export declare class VarveLevel<K = string, V = string> extends AbstractLevel<string | Buffer | Uint8Array, K, V> {
  constructor(location: string | URL, options?: VarveLevelOptions<K, V>)
  /** Where the database is. */
  readonly location: string | URL
  /** The database below; there is none before open() and after close(). */
  readonly database: Database
  /** Merges everything until nothing deleted or superseded is left. */
  compact(options?: ProgressOptions): Promise<void>
  /** Writes a consistent copy; a second time only what is new. */
  backup(target: string | URL, options?: ProgressOptions): Promise<BackupReport>
}

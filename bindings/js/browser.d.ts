/** Varve in a browser: what differs from index.d.ts, because the engine is in a worker. */
import type { Database as LocalDatabase, Encoded, Encoding, OpenOptions, Stats } from './index.js'

export * from './index.js'

export interface BrowserStats extends Stats {
  /** Where the database is kept. */
  storage: 'opfs' | 'idb' | 'memory'
  /** What the browser says of the whole site, in bytes. */
  usage?: number
  quota?: number
}

/**
 * A database of this origin, shared by all of its tabs. The methods whose names end in Sync throw a TypeError, except
 * in memory and in a worker that has the engine itself.
 */
export interface Database<K = string, V = string> extends Omit<LocalDatabase<K, V>, 'keyspaces' | 'stats'> {
  /** The names of the keyspaces, in order. */
  keyspaces(): Promise<string[]>
  stats(): Promise<BrowserStats>
  /** Where the database is kept. */
  readonly storage: 'opfs' | 'idb' | 'memory'
  /** Whether the engine runs in this page's worker now, and serves the other tabs. */
  readonly leads: boolean
  /** How often another tab took over since this one opened the database. */
  readonly failovers: number
}
export declare const Database: Pick<typeof LocalDatabase, 'openSync' | 'restore' | 'repair' | 'version'> & {
  readonly prototype: Database<any, any>
  /** Opens the database of this name, and creates it when it does not exist. */
  open<KE extends Encoding = 'utf8', VE extends Encoding = 'utf8'>(
    name: string,
    options?: OpenOptions<KE, VE>,
  ): Promise<Database<Encoded<KE>, Encoded<VE>>>
}

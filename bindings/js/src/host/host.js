// host.js: the contract between the engine and the storage of a JavaScript host. src/env/vfs.h is the same contract
// in C; what it says about durability and order holds here too.
//
// All calls are synchronous. A host reports a failure by throwing HostError with a status; any other error is taken
// as IO. No call may reach back into the database.

import { STATUS } from '../abi.js'

/** The kinds of files by number, and their names' endings. One more kind is FILE_SINGLE, number 0: the file of a
 * place that is one file. */
export const FILE_ENDINGS = Object.freeze(['SUPER', '.man', '.wal', '.sst'])

export const FILE_SINGLE = FILE_ENDINGS.length

/** A name of this ending where nothing is yet is a database in one file. */
export const SINGLE_ENDING = '.varve'

export const OPEN_CREATE = 1
export const OPEN_WRITE = 2
export const PLACE_CREATE = 1
export const PLACE_READ_ONLY = 2
const PLACE_FOREIGN = 1
const PLACE_ONE_FILE = 2

/** A failure of a host, with the status that the engine gets. `cause` is the system's own error. */
export class HostError extends Error {
  /**
   * @param {keyof typeof STATUS} status
   * @param {string} message one sentence with the file and the system's reason
   * @param {unknown} [cause]
   */
  constructor(status, message, cause) {
    super(message, cause === undefined ? undefined : { cause })
    this.status = STATUS[status]
  }
}

/**
 * @typedef {object} HostFile an open file
 * @property {(offset: number, bytes: Uint8Array, at: number, size: number) => number} read reads up to `size` bytes
 *   into bytes[at ..) and returns how many there were; fewer than `size` only when the file ends there
 * @property {(offset: number, bytes: Uint8Array, at: number, size: number) => void} write writes all of bytes[at ..
 *   at + size), growing the file
 * @property {(size: number) => void} allocate makes the file at least `size` bytes long, the new ones zero
 * @property {(size: number) => void} truncate
 * @property {() => number} size
 * @property {() => void} sync returns when the bytes are durable
 * @property {() => void} close
 */

/**
 * @typedef {object} HostPlace the place of one database
 * @property {boolean} foreign it held names that are not ours (see isOurs) when it was opened, and no SUPER: no
 *   database is made among them
 * @property {boolean} [single] it is one file: FILE_SINGLE is all that it holds, and the engine keeps its files in that
 * @property {(kind: number, number: number, flags: number) => HostFile} open MISSING, or EXISTS with OPEN_CREATE
 * @property {(kind: number, number: number) => void} remove
 * @property {() => void} syncDir returns when the names created and removed are durable
 * @property {() => { kind: number, number: number, size: number }[]} list every file of the four kinds, in any order
 * @property {(waitMs: number) => void} lock LOCKED, with a message that names the holder
 * @property {() => void} unlock
 * @property {() => void} close
 */

/**
 * @typedef {object} Host
 * @property {string} name
 * @property {(path: string, flags: number) => HostPlace} open MISSING, NOT_DATABASE
 * @property {(path: string, other: string) => boolean} [same] whether both are the same place, which exists
 * @property {() => string} [temporary] a path where nothing is, for a database in one file that is removed again
 * @property {() => number} nowUs microseconds since some moment
 * @property {(bytes: Uint8Array) => void} random fills with unpredictable bytes
 * @property {() => number} memory the machine's memory in bytes, 0 = unknown
 */

/** What the engine asks a place for: see vfs_host.c. @param {HostPlace} place */
export function traitsOf(place) {
  return (place.foreign ? PLACE_FOREIGN : 0) | (place.single === true ? PLACE_ONE_FILE : 0)
}

/** "12.sst", "SUPER".
 * @param {number} kind
 * @param {number} number */
export function fileName(kind, number) {
  if (kind === FILE_SINGLE) return 'SINGLE'
  return kind === 0 ? 'SUPER' : `${number}${FILE_ENDINGS[kind]}`
}

const NAME = /^([1-9][0-9]{0,15})(\.man|\.wal|\.sst)$/

/** The file that a name stands for, or null for a name that fileName does not make.
 * @param {string} name */
export function parseFileName(name) {
  if (name === 'SUPER') return { kind: 0, number: 0 }
  const match = NAME.exec(name)
  if (match === null) return null
  const number = Number(match[1])
  return Number.isSafeInteger(number) ? { kind: FILE_ENDINGS.indexOf(match[2] ?? ''), number } : null
}

/** Whether a name in a database's directory is one of its files or locks.
 * @param {string} name */
export function isOurs(name) {
  return name === 'LOCK' || name.startsWith('LOCK.node') || parseFileName(name) !== null
}

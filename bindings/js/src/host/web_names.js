// web_names.js: what a database is called in the places of a browser. A location names a database; with or without the
// ending .varve it is the same one.
//
//   location            'notes', 'notes.varve'
//   file in OPFS        varve/notes.varve
//   IndexedDB database  varve:notes
//   Web Lock            varve:notes, held by whoever has it open: a host needs it held, and does not take it

import { SINGLE_ENDING } from './host.js'

/** The directory in the origin's private file system that holds every database. */
export const DIRECTORY = 'varve'

/** What a file is called before all of it is there. It is no database. */
export const UNFINISHED_ENDING = '.unfinished'

const PREFIX = 'varve:'
const FILE_NAME_MAX = 255

/** The name of the database at a location. @param {string} location */
export function nameOfLocation(location) {
  const name = location.endsWith(SINGLE_ENDING) ? location.slice(0, -SINGLE_ENDING.length) : location
  if (name === '' || location === ':memory:') {
    throw new TypeError(`'${location}' names no stored database: a name has at least one character`)
  }
  if (fileOfName(name).length + UNFINISHED_ENDING.length > FILE_NAME_MAX) {
    throw new TypeError(`The name of a database may have about 230 bytes; '${name.slice(0, 20)}…' has more`)
  }
  return name
}

/** What a file system could take for something else is percent-encoded. @param {string} name */
export function fileOfName(name) {
  const plain = encodeURIComponent(name).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16)}`)
  return `${plain}${SINGLE_ENDING}`
}

/** The name of the database in a file, null for a file of something else. @param {string} file */
export function nameOfFile(file) {
  if (!file.endsWith(SINGLE_ENDING)) return null
  try {
    const name = decodeURIComponent(file.slice(0, -SINGLE_ENDING.length))
    return fileOfName(name) === file ? name : null
  } catch {
    return null
  }
}

/** @param {string} name */
export function idbOfName(name) {
  return PREFIX + name
}

/** The name of the database in an IndexedDB database, null for one of somebody else. @param {string | undefined} idb */
export function nameOfIdb(idb) {
  return idb !== undefined && idb.startsWith(PREFIX) && idb.length > PREFIX.length ? idb.slice(PREFIX.length) : null
}

/** The Web Lock of a database. @param {string} name */
export function lockOfName(name) {
  return PREFIX + name
}

// node_path.js: what a path stands for: a directory, or one file that holds a whole database. The same rule as in
// src/env/vfs_fd_path.c: a regular file, or a name that ends in .varve where nothing is yet, is one file. A symbolic
// link to a file is followed once, here, so that the lock lies beside the file and not beside a link.

import fs from 'node:fs'
import { basename, dirname, isAbsolute, join, resolve } from 'node:path'
import { HostError, PLACE_CREATE, PLACE_READ_ONLY, SINGLE_ENDING } from './host.js'
import { systemError } from './node_errors.js'

const LINKS_MAX = 40

/** @param {string} path */
export function statOf(path) {
  try {
    return fs.statSync(path, { throwIfNoEntry: false })
  } catch (error) {
    throw systemError(error, `cannot open ${path}`)
  }
}

/** @param {string} path */
export function isOneFile(path) {
  const stat = statOf(path)
  if (stat === undefined) return path.endsWith(SINGLE_ENDING)
  if (stat.isFile() || stat.isDirectory()) return stat.isFile()
  const message = `${path} is neither a file nor a directory, and so not a database; give another path`
  throw new HostError('NOT_DATABASE', message)
}

/** A full path without links in its directory. The system follows them, as it does natively: by its text alone
 * "link/../app.varve" would be another file. @param {string} path */
export function fullPath(path) {
  if (process.platform === 'win32') return resolve(path)
  try {
    return join(fs.realpathSync.native(dirname(path)), basename(path))
  } catch {
    return resolve(path) // there is no such directory: opening it says so
  }
}

/** The full path without links. @param {string} path */
function followLinks(path) {
  let at = fullPath(path)
  for (let links = 0; links <= LINKS_MAX; links++) {
    let target
    try {
      target = fs.readlinkSync(at)
    } catch {
      return at // no link, or nothing there: opening it says what is wrong
    }
    at = fullPath(isAbsolute(target) ? target : `${dirname(at)}/${target}`)
  }
  throw new HostError('IO', `${path}: cannot open it: more than ${LINKS_MAX} symbolic links`)
}

/** Who a file is, whatever it is called; '' when it is not there. @param {string} path */
export function identityOf(path) {
  try {
    const stat = fs.lstatSync(path, { bigint: true, throwIfNoEntry: false })
    return stat === undefined ? '' : `${stat.dev}:${stat.ino}`
  } catch (error) {
    throw systemError(error, `cannot open ${path}`)
  }
}

/** Where the file of a database in one file is, or is to be made: a full path, so that a later chdir moves nothing.
 * @param {string} path @param {number} flags */
export function findFile(path, flags) {
  const file = followLinks(path)
  const create = (flags & PLACE_CREATE) !== 0 && (flags & PLACE_READ_ONLY) === 0
  if (statOf(file) !== undefined) return file
  const above = statOf(dirname(file))
  if (above === undefined)
    throw new HostError('MISSING', `${path}: the directory above it does not exist; create that first`)
  if (!above.isDirectory())
    throw new HostError('NOT_DATABASE', `${path}: what is above it is not a directory; give another path`)
  if (!create) throw new HostError('MISSING', `there is no database at ${path}: the file does not exist`)
  return file
}

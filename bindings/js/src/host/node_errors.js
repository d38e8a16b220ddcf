// node_errors.js: what the operating system said, as a status of the engine.

import { HostError } from './host.js'

/** @type {Readonly<Record<string, keyof typeof import('../abi.js').STATUS>>} */
const STATUS_OF = Object.freeze({
  ENOSPC: 'FULL',
  EDQUOT: 'FULL',
  EFBIG: 'FULL',
  ENOENT: 'MISSING',
  EEXIST: 'EXISTS',
  EACCES: 'READONLY',
  EPERM: 'READONLY',
  EROFS: 'READONLY',
  ENOMEM: 'NOMEM',
  ENOTDIR: 'NOT_DATABASE',
})

/** What to do about it, for those who did not expect it. @type {Readonly<Record<string, string>>} */
const REMEDY_OF = Object.freeze({
  ENOSPC: '; free some space on the disk, then try again',
  EDQUOT: '; free some space, or have the quota raised, then try again',
  EFBIG: '; raise the limit of file sizes (ulimit -f), then try again',
})

/** @param {unknown} error @param {string} what such as "cannot write 12.sst" */
export function systemError(error, what) {
  const known = /** @type {NodeJS.ErrnoException} */ (error)
  const code = known?.code ?? ''
  const message = `${what}: ${known?.message ?? String(error)}${REMEDY_OF[code] ?? ''}`
  return new HostError(STATUS_OF[code] ?? 'IO', message, error)
}

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

/** @param {unknown} error @param {string} what such as "cannot write 12.sst" */
export function systemError(error, what) {
  const known = /** @type {NodeJS.ErrnoException} */ (error)
  return new HostError(STATUS_OF[known?.code ?? ''] ?? 'IO', `${what}: ${known?.message ?? String(error)}`, error)
}

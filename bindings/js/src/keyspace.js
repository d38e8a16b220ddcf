// keyspace.js: a namespace of a database, with encodings of its own. Keyspaces nest by their names: 'users/sessions' is
// the keyspace 'sessions' of 'users', whichever way it is opened.

import { checkOptions, describe } from './errors.js'
import { KeyspaceIndex, openIndexes } from './indexes.js'
import { Store, contextOf, withEncodings } from './store.js'

/** @import { Context } from './store.js' */

const KEYSPACE_OPTIONS = ['keyEncoding', 'valueEncoding', 'indexes']
const INSPECT = Symbol.for('nodejs.util.inspect.custom')

/** Between the names of a keyspace and of one inside it. */
export const NESTED = '/'

export class Keyspace extends Store {
  #name
  /** @type {Record<string, KeyspaceIndex> | undefined} */
  #by

  /** @param {string} name @param {Context} context */
  constructor(name, context) {
    super(context)
    this.#name = name
  }

  get name() {
    return this.#name
  }

  /** Its indexes by their names. */
  get by() {
    this.#by ??= Object.fromEntries(
      Array.from(contextOf(this).indexes ?? [], ([name, opened]) => [name, new KeyspaceIndex(contextOf(this), opened)]),
    )
    return this.#by
  }

  /** A keyspace inside this one. Encodings left out are this one's. @param {any} name @param {any} [options] */
  keyspace(name, options) {
    const Kind = /** @type {typeof Keyspace} */ (this.constructor)
    return openKeyspace(contextOf(this), name, options, Kind, this.#name + NESTED)
  }

  /** What console.log() shows. */
  [INSPECT]() {
    return `Keyspace { name: ${JSON.stringify(this.#name)} }`
  }
}

/** @param {Context} context of the database, or of the keyspace around it @param {any} name @param {any} options
 * @param {new (name: string, context: Context) => Keyspace} [Kind]
 * @param {string} [around] what comes before the name */
export function openKeyspace(context, name, options, Kind = Keyspace, around = '') {
  if (typeof name !== 'string' || name === '') {
    throw new TypeError(`keyspace() takes a name, a string that is not empty; got ${describe(name)}`)
  }
  checkOptions(options, KEYSPACE_OPTIONS, 'keyspace()')
  const inside = withEncodings(context, options)
  context.queue.flush()
  const own = { ...inside, keyspace: context.engine.openKeyspace(around + name), indexes: undefined }
  const indexes = options?.indexes === undefined ? undefined : openIndexes(options.indexes, around + name, own)
  return new Kind(around + name, { ...own, indexes })
}

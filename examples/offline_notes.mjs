// offline_notes.mjs: notes in one file, to carry along, with a search by the beginnings of words.
//
//     default keyspace   id → { text, written }
//     'words'            word, a zero byte, id → ''   text, not tuples: a prefix finds all words that begin so
//
// A note and its words are one batch: the index never says more or less than the notes do. backup() writes a copy that
// is consistent while the program goes on; export is one line of JSON for each note.
//
//     node examples/offline_notes.mjs [directory, default .]     makes notes.varve, notes_backup.varve, notes.jsonl

import { createWriteStream } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'

import { Database } from 'varve'

/** @typedef {{ text: string, written: string }} Note */

/** @param {string} text */
const wordsOf = (text) => new Set(text.toLowerCase().match(/[\p{L}\p{N}]+/gu))

class Notes {
  #db
  #words

  /** @param {Database<string, any>} db of JSON */
  constructor(db) {
    this.#db = db
    this.#words = db.keyspace('words', { valueEncoding: 'utf8' })
  }

  /** Writes a note, over the one that is there. @param {string} id @param {string} text */
  async write(id, text) {
    /** @type {import('varve').Change[]} */
    const changes = []
    const row = (/** @type {string} */ word) => ({ key: `${word}\0${id}`, keyspace: this.#words })
    for (const word of wordsOf(this.#db.getSync(id)?.text ?? '')) changes.push({ type: 'del', ...row(word) })
    for (const word of wordsOf(text)) changes.push({ type: 'put', value: '', ...row(word) })
    await this.#db.batch([...changes, { type: 'put', key: id, value: { text, written: new Date().toISOString() } }])
  }

  /** The notes with a word that begins so. @param {string} beginning @returns {Promise<[string, Note][]>} */
  async search(beginning) {
    const ids = new Set()
    for (const row of this.#words.keysSync({ prefix: beginning.toLowerCase() })) ids.add(row.split('\0')[1])
    const found = [...ids].sort()
    return (await this.#db.getMany(found)).map((note, i) => [found[i], note])
  }

  /** Lines of JSON, of one moment. */
  async *export() {
    for await (const [id, note] of this.#db.entries()) yield `${JSON.stringify({ id, ...note })}\n`
  }
}

const directory = process.argv[2] ?? '.'
await mkdir(directory, { recursive: true })
const db = await Database.open(join(directory, 'notes.varve'), { valueEncoding: 'json' })
const notes = new Notes(db)

await notes.write('shopping', 'Tea, bread, teapot')
await notes.write('ideas', 'A novel about a team of gardeners')
await notes.write('todo', 'Buy bread. Call Ana')
await notes.write('todo', 'Call Ana about the garden')

for (const beginning of ['tea', 'bread', 'gard', 'zebra']) {
  const found = await notes.search(beginning)
  console.log(`${beginning}… ${found.map(([id]) => id).join(', ') || 'nothing'}`)
}

await pipeline(Readable.from(notes.export()), createWriteStream(join(directory, 'notes.jsonl')))
await db.backup(join(directory, 'notes_backup.varve'))
console.log(`${await db.count()} notes exported and backed up`)
await db.close()

const backup = await Database.open(join(directory, 'notes_backup.varve'), { readOnly: true, valueEncoding: 'json' })
console.log(`in the backup: ${(await backup.get('todo')).text}`)
await backup.close()

// page.js: what a bundled page does. The outcome is its title.
import { Database } from 'varve'

/** @param {any} options */
async function roundTrip(options) {
  const db = await Database.open('a name', options)
  await db.put('greeting', 'hello from a bundle')
  await db.close()
  const again = await Database.open('a name', { ...options, createIfMissing: false })
  const value = await again.get('greeting')
  await again.close()
  return value
}

const options = {}
for (const [name, file] of new URLSearchParams(location.search)) options[name] = new URL(file, location.href)
roundTrip(options).then(
  (value) => (document.title = `ok: ${value}`),
  (error) => (document.title = `failed: ${error.message}`),
)

// worker.js: the dedicated worker of a page's database. Its first message says which database; it wants to lead it from
// then on. While it leads, the page's own session goes through this port.

import { usePlatform } from '../platform.js'
import { webPlatform } from '../web_platform.js'
import { compiled } from '../wasm.js'
import { Leader } from './leader.js'

/** @type {Leader | null} */
let leader = null

const port = /** @type {any} */ (globalThis)

usePlatform(webPlatform)

/** @param {any} message @param {Transferable[]} [transfer] */
function tell(message, transfer) {
  port.postMessage(message, transfer ?? [])
}

/** @param {any} message */
async function begin({ start, wasm }) {
  if (wasm !== undefined) start.options.wasm = typeof wasm === 'string' ? new URL(wasm) : wasm
  leader = new Leader(start, tell)
  void compiled(start.options.wasm).catch(() => {}) // ready when it is needed; a failure is told then
  await leader.campaign()
}

/** @param {MessageEvent} event */
port.onmessage = ({ data }) => {
  if (data.t === 'start') void begin(data)
  else if (data.t === 'hello') leader?.welcome(data, tell, null)
  else if (data.t === 'opened') leader?.opened(data.options)
  else if (data.t === 'challenge') void leader?.challenge()
  else if (data.t === 'stop') void leader?.stop().then(() => tell({ t: 'stopped' }))
  else void leader?.receive(data)
}

// remote_worker.js: a dedicated worker under test; see page.js.

import { runCall, watchErrors } from '/tests/browser/remote.js'

watchErrors((text) => postMessage({ event: 'console', data: text }))
addEventListener('message', async ({ data }) => {
  if (data?.module === undefined) return
  postMessage(await runCall(data, (event, what) => postMessage({ id: data.id, event, data: what })))
})

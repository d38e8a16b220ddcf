// harness_worker.js: a dedicated worker under test; see harness_page.js.

import { runCall, watchErrors } from './harness_calls.js'

watchErrors((text) => postMessage({ event: 'console', data: text }))
addEventListener('message', async ({ data }) => {
  if (data?.module === undefined) return
  postMessage(await runCall(data, (event, what) => postMessage({ id: data.id, event, data: what })))
})

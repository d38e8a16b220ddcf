// harness_page.js: the page of a tab under test: it runs the functions of modules that the harness asks for, itself or
// in a worker, and sends back what they give. It reloads only when it is told to.

import { errorText, runCall, watchErrors } from './harness_calls.js'

const session = new URLSearchParams(location.search).get('session')
const socket = new WebSocket(`ws://${location.host}/remote?session=${session}`)
const send = (message) => socket.send(JSON.stringify(message))

/** @type {Map<string, Worker>} by name; they live as long as the page, or until they are told to end */
const workers = new Map()

function workerNamed(name) {
  let worker = workers.get(name)
  if (worker === undefined) {
    worker = new Worker(new URL('./harness_worker.js', import.meta.url), { type: 'module', name })
    worker.onmessage = ({ data }) => send(data)
    worker.onerror = (event) => {
      send({ event: 'console', data: `worker ${name}: ${event.message ?? 'it could not be loaded'}` })
    }
    workers.set(name, worker)
  }
  return worker
}

watchErrors((text) => send({ event: 'console', data: text }))

socket.onmessage = async ({ data }) => {
  const call = JSON.parse(data)
  if (call.endWorker !== undefined) {
    workers.get(call.endWorker)?.terminate()
    workers.delete(call.endWorker)
    return send({ id: call.id, result: null })
  }
  if (call.worker !== undefined) return workerNamed(call.worker).postMessage(call)
  send(await runCall(call, (event, what) => send({ id: call.id, event, data: what })))
}
socket.onopen = () => send({ event: 'ready', data: { agent: navigator.userAgent } })
socket.onerror = () => console.error(errorText('the harness is not there'))

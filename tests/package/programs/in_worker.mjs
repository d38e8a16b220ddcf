// in_worker.mjs PATH: the round trip inside a worker thread.
import { Worker } from 'node:worker_threads'

const worker = new Worker(new URL('./roundtrip.mjs', import.meta.url), { workerData: process.argv[2] })
worker.on('error', (error) => {
  console.error(error)
  process.exitCode = 1
})

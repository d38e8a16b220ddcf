// shared_tests.js: runs test files of tests/js in a page or in its worker.

/** @param {{ files: string[], environment?: Record<string, string> }} args
 * @param {(event: string, data: any) => void} emit */
export async function runFiles({ files, environment = {} }, emit) {
  globalThis.varveEnvironment = environment
  const { run } = await import('./test.js')
  const all = { passed: 0, failed: [], left: [] }
  for (const file of files) {
    const since = performance.now()
    await import(`../js/${file}?${Math.random()}`)
    const { passed, failed, left } = await run((line) => emit('line', line))
    const named = (one) => ({ ...one, name: `${file}: ${one.name}` })
    all.passed += passed
    all.failed.push(...failed.map(named))
    all.left.push(...left.map(named))
    emit('file', { file, passed, failed: failed.length, left: left.length, ms: Math.round(performance.now() - since) })
  }
  return all
}

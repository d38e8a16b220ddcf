// harness_calls.js: what a page and a worker under test share: running a call of the harness, and telling of
// every error that nobody caught.

/** @param {unknown} error */
export function errorText(error) {
  if (!(error instanceof Error) && !(error instanceof DOMException)) return String(error)
  const code = 'code' in error ? ` [${error.code}]` : ''
  const cause = error.cause === undefined ? '' : `\n  caused by ${errorText(error.cause)}`
  return `${error.name}${code}: ${error.message}\n${error.stack ?? ''}${cause}`
}

/** Runs a function of a module, whose path begins here. @param {any} call
 * @param {(event: string, data: any) => void} emit */
export async function runCall({ id, module, name, args }, emit) {
  try {
    const run = (await import(new URL(module, import.meta.url).href))[name]
    return { id, result: (await run(args, emit)) ?? null }
  } catch (error) {
    const code = /** @type {any} */ (error)?.code
    return {
      id,
      error: { text: errorText(error), code, message: String(/** @type {any} */ (error)?.message ?? error) },
    }
  }
}

/** Tells of what lands in the console as an error or a warning. @param {(text: string) => void} tell */
export function watchErrors(tell) {
  for (const kind of /** @type {const} */ (['error', 'warn'])) {
    const own = console[kind]
    console[kind] = (...args) => {
      own.apply(console, args)
      tell(`console.${kind}: ${args.map(errorText).join(' ')}`)
    }
  }
  addEventListener('error', (event) => tell(`uncaught: ${errorText(event.error ?? event.message)}`))
  addEventListener('unhandledrejection', (event) => tell(`unhandled rejection: ${errorText(event.reason)}`))
}

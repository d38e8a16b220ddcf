export async function launchWebKit() {
  throw new Error('not yet')
}

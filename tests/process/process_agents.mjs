// process_agents.mjs: processes that do what they are told (process_agent.c says what), native and Node.

import { programs, scriptPath, startLines } from './process_support.mjs'

/** @typedef {'native' | 'node'} Kind */
export const kinds = /** @type {const} */ (['native', 'node'])

export class Agent {
  /** @type {((line: string) => void)[]} */
  #waiting = []
  /** @type {{ limit?: number }} */
  #options

  /** @param {Kind} kind @param {{ limit?: number }} [options] limit: of a file's size, in KiB */
  constructor(kind, options = {}) {
    this.kind = kind
    this.#options = options
    const { child, ended } = startLines(this.#command(), (line) => this.#waiting.shift()?.(line), { timeout: 600_000 })
    this.child = child
    this.pid = child.pid ?? 0
    this.ended = ended.then((result) => {
      for (const wake of this.#waiting) wake(`error DIED ${result.signal ?? result.code} ${result.errors}`)
      return result
    })
  }

  #command() {
    const plain = this.kind === 'native' ? [programs.agent] : [process.execPath, scriptPath('process_agent.mjs')]
    if (this.#options.limit === undefined) return plain
    return ['bash', '-c', `ulimit -f ${this.#options.limit}; exec "$@"`, 'bash', ...plain]
  }

  /** What it answers. @param {string} line @returns {Promise<string>} */
  ask(line) {
    return new Promise((resolve) => {
      this.#waiting.push(resolve)
      this.child.stdin.write(`${line}\n`)
    })
  }

  /** What follows its "ok". @param {string} line */
  async must(line) {
    const answer = await this.ask(line)
    if (!/^ok\b/.test(answer)) throw new Error(`${this.kind}: ${line}: ${answer}`)
    return answer.slice(3)
  }

  /** @param {string} path */
  open(path, wait = 0, at = 0, mode = '') {
    return this.ask(`open ${path} ${wait} ${at} ${mode}`.trim())
  }

  /** Like kill -9. */
  async kill() {
    this.child.kill('SIGKILL')
    await this.ended
  }

  /** Lets it end, which closes what is open. */
  async end() {
    this.child.stdin.end()
    return this.ended
  }
}

/** Agents that are killed at the test's end. @param {{ after(run: () => Promise<void>): void }} t */
export function agentsFor(t) {
  /** @type {Agent[]} */
  const all = []
  t.after(async () => void (await Promise.all(all.map((agent) => agent.kill()))))
  return (/** @type {Kind} */ kind, /** @type {{ limit?: number }} */ options = {}) => {
    const agent = new Agent(kind, options)
    all.push(agent)
    return agent
  }
}

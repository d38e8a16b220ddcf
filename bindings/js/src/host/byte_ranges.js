// byte_ranges.js: which bytes of a file changed: ranges [begin, end) in order, none touching another.

export class ByteRanges {
  /** @type {number[]} begin, end, begin, end, ... */
  #bounds = []
  /** Bytes in all ranges. */
  bytes = 0

  get empty() {
    return this.#bounds.length === 0
  }

  /** How many bounds are less than `at`, or not greater when `touching`. @param {number} at
   * @param {boolean} touching */
  #below(at, touching) {
    const bounds = this.#bounds
    let low = 0
    let high = bounds.length
    while (low < high) {
      const middle = (low + high) >>> 1
      const bound = /** @type {number} */ (bounds[middle])
      if (bound < at || (touching && bound === at)) low = middle + 1
      else high = middle
    }
    return low
  }

  /** @param {number} begin @param {number} end */
  add(begin, end) {
    if (begin >= end) return
    const bounds = this.#bounds
    const first = this.#below(begin, false)
    const last = this.#below(end, true)
    const from = first % 2 === 0 ? begin : /** @type {number} */ (bounds[first - 1])
    const to = last % 2 === 0 ? end : /** @type {number} */ (bounds[last])
    const firstGone = first - (first % 2)
    const lastGone = last + (last % 2)
    for (let i = firstGone; i < lastGone; i += 2) this.bytes -= Number(bounds[i + 1]) - Number(bounds[i])
    bounds.splice(firstGone, lastGone - firstGone, from, to)
    this.bytes += to - from
  }

  /** Forgets what is at `size` or behind it. @param {number} size */
  cut(size) {
    const bounds = this.#bounds
    const kept = this.#below(size, false)
    for (let i = kept - (kept % 2); i < bounds.length; i += 2) {
      this.bytes -= Number(bounds[i + 1]) - Number(bounds[i])
    }
    if (kept % 2 === 0) bounds.length = kept
    else {
      bounds.length = kept
      bounds.push(size)
      this.bytes += size - Number(bounds[kept - 1])
    }
  }

  /** The ranges, split where a multiple of `piece` is. @param {number} piece */
  *pieces(piece) {
    for (let i = 0; i < this.#bounds.length; i += 2) {
      const end = Number(this.#bounds[i + 1])
      for (let at = Number(this.#bounds[i]); at < end;) {
        const stop = Math.min(end, (Math.floor(at / piece) + 1) * piece)
        yield { begin: at, end: stop, piece: Math.floor(at / piece) }
        at = stop
      }
    }
  }
}

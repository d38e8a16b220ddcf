// random.js: the numbers of random tests, in Node and in browsers.

/** SplitMix32: a seed decides everything after it. */
export class Random {
  constructor(seed) {
    this.state = seed >>> 0
  }
  next() {
    this.state = (this.state + 0x9e3779b9) >>> 0
    let z = this.state
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad)
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97)
    return (z ^ (z >>> 15)) >>> 0
  }
  below(n) {
    return this.next() % n
  }
  chance(percent) {
    return this.below(100) < percent
  }
  pick(list) {
    return list[this.below(list.length)]
  }
}

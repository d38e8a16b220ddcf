// dispose.js: the symbols behind `using` and `await using`. Node 20 has both; where a runtime has none, the ones that
// compilers and libraries agreed on (Symbol.for) are used, and nothing global is changed.

/** @type {typeof Symbol.dispose} */
export const dispose = Symbol.dispose ?? /** @type {any} */ (Symbol.for('Symbol.dispose'))
/** @type {typeof Symbol.asyncDispose} */
export const asyncDispose = Symbol.asyncDispose ?? /** @type {any} */ (Symbol.for('Symbol.asyncDispose'))

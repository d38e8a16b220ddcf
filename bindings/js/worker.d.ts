/** The worker that the engine runs in: a script to be bundled on its own. It exports nothing. */
export {}

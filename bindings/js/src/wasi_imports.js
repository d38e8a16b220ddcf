// wasi_imports.js: what the C library may ask of a WASI host, though the engine never uses it.

/** Standard output that nobody reads.
 * @param {() => Uint8Array} bytes */
export function wasiImports(bytes) {
  return {
    /** @param {number} _file @param {number} vectors @param {number} count @param {number} written */
    fd_write: (_file, vectors, count, written) => {
      const view = new DataView(bytes().buffer)
      let size = 0
      for (let i = 0; i < count; i++) size += view.getUint32((vectors >>> 0) + 8 * i + 4, true)
      view.setUint32(written >>> 0, size, true)
      return 0
    },
    fd_close: () => 0,
    fd_seek: () => 70,
    fd_read: () => 8,
    /** @param {number} code */
    proc_exit: (code) => {
      throw new WebAssembly.RuntimeError(`the engine asked to exit with code ${code}`)
    },
  }
}

/** What is used of WebAssembly: the types of Node leave it to those of browsers. */
declare const WebAssembly: {
  readonly validate: (bytes: Uint8Array) => boolean
  readonly Module: new (bytes: Uint8Array) => object
  readonly Memory: new (pages: { initial: number; maximum: number }) => { buffer: ArrayBuffer }
  readonly Instance: new (
    module: object,
    imports: Record<string, Record<string, unknown>>,
  ) => { readonly exports: unknown }
}

/** Whether this machine can run a module. */
export function canRun(base64: string): boolean {
  return WebAssembly.validate(Buffer.from(base64, 'base64'))
}

/**
 * An instance with a memory of this many bytes, which never grows: pages that are never touched cost nothing. At once, since a
 * module that awaits at its top level ends the whole process (SIGTRAP in V8 13.6) where its thread is terminated meanwhile.
 */
export function instantiate<Exports>(
  base64: string,
  bytes: number,
): { readonly wasm: Exports; readonly memory: Buffer<ArrayBuffer> } {
  const pages = Math.ceil(bytes / 65_536)
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages })
  const module = new WebAssembly.Module(Buffer.from(base64, 'base64'))
  const { exports } = new WebAssembly.Instance(module, { env: { memory } })
  return { wasm: exports as Exports, memory: Buffer.from(memory.buffer) }
}

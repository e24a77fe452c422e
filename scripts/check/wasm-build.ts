/** What is written in AssemblyScript, as the modules that are committed. */
import asc from 'assemblyscript/asc'

/** Where each source goes. */
export const wasmModules = [
  { source: 'wasm/hash.ts', binary: 'src/core/hash-binary.ts', name: 'hashBinary' },
  { source: 'wasm/scan.ts', binary: 'src/schema/scan/wasm-binary.ts', name: 'wasmBinary' },
] as const

/** The same text for the same source and compiler. Throws what the compiler says. */
export async function compiled(
  root: string,
  { source, name }: (typeof wasmModules)[number],
): Promise<string> {
  let wasm: Uint8Array | undefined
  let said = ''
  const options = ['--enable', 'simd', '--importMemory', '--runtime', 'stub', '-O3', '--noAssert']
  const { error } = await asc.main(
    [source, ...options, '--use', 'abort=', '--baseDir', root, '-o', 'out.wasm'],
    {
      writeFile: (_name, content) => void (wasm = Buffer.from(content)),
      stderr: { write: (text) => void (said += String(text)) },
    },
  )
  if (error !== null || wasm === undefined) throw new Error(`${source}: ${said}`)
  return moduleText(wasm, source, name)
}

/** Text, so that loading it needs no disk and no help of a bundler. */
function moduleText(wasm: Uint8Array, source: string, name: string): string {
  const lines =
    Buffer.from(wasm)
      .toString('base64')
      .match(/.{1,96}/g) ?? []
  const body = lines.map((line) => `  '${line}'`).join(' +\n')
  return `/** Made from ${source} by \`npm run wasm\`; \`npm run check -- wasm\` compares them. */\nexport const ${name} =\n${body}\n`
}

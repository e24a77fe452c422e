/** The AssemblyScript of the scanner as the module that is committed. */
import asc from 'assemblyscript/asc'

const sourceFile = 'wasm/scan.ts'
export const binaryFile = 'src/schema/scan/wasm-binary.ts'

/** The same bytes for the same source and compiler. Throws what the compiler says. */
export async function compileWasm(root: string): Promise<Uint8Array> {
  let wasm: Uint8Array | undefined
  const options = ['--enable', 'simd', '--importMemory', '--runtime', 'stub', '-O3', '--noAssert']
  let said = ''
  const { error } = await asc.main(
    [sourceFile, ...options, '--use', 'abort=', '--baseDir', root, '-o', 'scan.wasm'],
    {
      writeFile: (_name, content) => void (wasm = Buffer.from(content)),
      stderr: { write: (text) => void (said += String(text)) },
    },
  )
  if (error !== null || wasm === undefined) throw new Error(`${sourceFile}: ${said}`)
  return wasm
}

/** The module that holds the binary: text, so that loading it needs no disk and no help of a bundler. */
export function binaryModule(wasm: Uint8Array): string {
  const text = Buffer.from(wasm).toString('base64')
  const lines = text.match(/.{1,96}/g) ?? []
  const body = lines.map((line) => `  '${line}'`).join(' +\n')
  return `/** Made from ${sourceFile} by \`npm run wasm\`; \`npm run check -- wasm\` compares them. */\nexport const wasmBinary =\n${body}\n`
}

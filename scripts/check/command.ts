import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const bin = fileURLToPath(new URL('../../node_modules/.bin', import.meta.url))

export interface Output {
  code: number
  text: string
}

/** Runs a tool of this repository and returns what it printed. */
export function tool(name: string, args: string[], cwd: string): Promise<Output> {
  return command(join(bin, name), args, cwd)
}

export function command(file: string, args: string[], cwd: string): Promise<Output> {
  // The tools see the package as its users do: without the condition that turns `millrace` into src/.
  const { NODE_OPTIONS: _, ...env } = process.env
  return new Promise((resolve) => {
    const child = spawn(file, args, { cwd, env: { ...env, NO_COLOR: '1', FORCE_COLOR: '0' } })
    let text = ''
    child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()))
    child.stderr.on('data', (chunk: Buffer) => (text += chunk.toString()))
    child.on('error', (error) => resolve({ code: 127, text: error.message }))
    child.on('close', (code) => resolve({ code: code ?? 1, text }))
  })
}

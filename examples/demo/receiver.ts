/** The webhook's other side: checks each signature, counts alerts once per idempotency key. */
import { createHmac, timingSafeEqual } from 'node:crypto'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface Receiver {
  readonly url: string
  readonly alerts: () => number
  readonly badSignatures: () => number
  readonly close: () => void
}

export async function startReceiver(secret: string): Promise<Receiver> {
  const seen = new Set<string>()
  let bad = 0
  const server: Server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const body = Buffer.concat(chunks).toString('utf8')
      const header = (name: string): string => String(request.headers[name])
      const id = header('webhook-id')
      const content = `${id}.${header('webhook-timestamp')}.${body}`
      if (signed(secret, content, header('webhook-signature'))) seen.add(id)
      else bad++
      response.writeHead(204).end()
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}/alerts`,
    alerts: () => seen.size,
    badSignatures: () => bad,
    close: () => {
      server.closeAllConnections()
      server.close()
    },
  }
}

/** As Standard Webhooks has it: `v1,<base64 of HMAC-SHA256 over "id.timestamp.body">`. */
function signed(secret: string, content: string, signature: string): boolean {
  const expected = Buffer.from(
    `v1,${createHmac('sha256', secret).update(content).digest('base64')}`,
  )
  const given = Buffer.from(signature)
  return given.length === expected.length && timingSafeEqual(given, expected)
}

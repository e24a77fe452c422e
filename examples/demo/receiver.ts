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
      if (signed(secret, String(request.headers['millrace-signature']), body))
        seen.add(String(request.headers['idempotency-key']))
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

/** `t=<seconds>,v1=<hex of HMAC-SHA256 over "seconds.body">` */
function signed(secret: string, header: string, body: string): boolean {
  const parts = /^t=(\d+),v1=([0-9a-f]{64})$/.exec(header)
  if (parts === null) return false
  const expected = createHmac('sha256', secret).update(`${parts[1]}.${body}`).digest()
  return timingSafeEqual(expected, Buffer.from(parts[2]!, 'hex'))
}

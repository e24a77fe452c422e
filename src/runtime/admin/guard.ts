import { isIP } from 'node:net'

/** What the guard looks at. */
export interface RequestFacts {
  /** It came over the socket in the data directory: file permissions already said who may. */
  readonly overSocket: boolean
  readonly remoteAddress: string | undefined
  readonly host: string | undefined
  readonly origin: string | undefined
}

/**
 * Why a request that changes something is refused; undefined when it may pass. Only programs on this machine may, and no
 * web page: a page of another site has a foreign Origin, and one that rebinds its name to 127.0.0.1 a foreign Host.
 */
export function refusalOf(facts: RequestFacts): string | undefined {
  if (facts.overSocket) return undefined
  if (!isLoopback(facts.remoteAddress)) {
    return `It came from ${facts.remoteAddress ?? 'an unknown address'}, not from this machine.`
  }
  if (!isLocalName(hostnameOf(`http://${facts.host ?? ''}`))) {
    return `Its Host header is "${facts.host ?? ''}", which is not this machine's own name.`
  }
  if (facts.origin !== undefined && !sameOrigin(facts.origin, facts.host)) {
    return `Its Origin is "${facts.origin}", a page of another site.`
  }
  return undefined
}

function sameOrigin(origin: string, host: string | undefined): boolean {
  return URL.canParse(origin) && host !== undefined && new URL(origin).host === host.toLowerCase()
}

function isLocalName(hostname: string | undefined): boolean {
  return hostname === 'localhost' || isLoopback(hostname)
}

function isLoopback(address: string | undefined): boolean {
  if (address === undefined) return false
  const plain = address.startsWith('::ffff:') ? address.slice(7) : address
  return plain === '::1' || (isIP(plain) === 4 && plain.startsWith('127.'))
}

function hostnameOf(url: string): string | undefined {
  if (!URL.canParse(url)) return undefined
  const { hostname } = new URL(url)
  return hostname.startsWith('[') ? hostname.slice(1, -1) : hostname
}

/** What the headers of an ingest request say: pure functions from header to value or refusal. */
import { isIP } from 'node:net'
import type { IncomingHttpHeaders } from 'node:http'
import type { BodyFormat, ProducerRef, Refusal } from '../../process/ingest-request.ts'
import type { Encoding } from './receive.ts'

const lineTypes = [
  'application/x-ndjson',
  'application/ndjson',
  'application/jsonl',
  'application/x-jsonlines',
]

/** `application/json` or `application/x-ndjson`, in UTF-8. */
export function formatOf(contentType: string | undefined): BodyFormat | Refusal {
  const [type = '', ...parameters] = (contentType ?? '').toLowerCase().split(';')
  const charset = parameters
    .map((parameter) => parameter.trim())
    .find((parameter) => parameter.startsWith('charset='))
  const utf8 = charset === undefined || /^charset="?utf-?8"?$/.test(charset)
  if (utf8 && type.trim() === 'application/json') return 'json'
  if (utf8 && lineTypes.includes(type.trim())) return 'ndjson'
  const sent =
    contentType === undefined ? 'no content type' : `the content type ${quoted(contentType)}`
  return { code: 'MR1034', what: `The request has ${sent}.` }
}

export function encodingOf(contentEncoding: string | undefined): Encoding | Refusal {
  const encoding = (contentEncoding ?? 'identity').trim().toLowerCase()
  if (encoding === 'identity' || encoding === 'gzip') return encoding
  if (encoding === 'x-gzip') return 'gzip'
  return { code: 'MR1032', what: `The content encoding is ${quoted(encoding)}.` }
}

/** Undefined where the request names no producer. All three headers belong together. */
export function producerOf(headers: IncomingHttpHeaders): ProducerRef | Refusal | undefined {
  const id = one(headers['millrace-producer'])
  const epoch = one(headers['millrace-epoch'])
  const sequence = one(headers['millrace-sequence'])
  if (id === undefined && epoch === undefined && sequence === undefined) return undefined
  if (id === undefined || !/^[A-Za-z0-9._:-]{1,100}$/.test(id)) {
    return { code: 'MR1048', what: `Millrace-Producer is ${shownHeader(id)}.` }
  }
  const numbers = { epoch: whole(epoch), sequence: whole(sequence) }
  if (numbers.epoch === undefined)
    return { code: 'MR1048', what: `Millrace-Epoch is ${shownHeader(epoch)}.` }
  if (numbers.sequence === undefined)
    return { code: 'MR1048', what: `Millrace-Sequence is ${shownHeader(sequence)}.` }
  return { id, epoch: numbers.epoch, sequence: numbers.sequence }
}

/**
 * A server that listens on this machine only must not answer to another name: a web page could point its own name at
 * 127.0.0.1 and so reach it. Undefined when the Host header may pass.
 */
export function hostRefusal(listensOn: string, host: string | undefined): Refusal | undefined {
  if (!isLocal(listensOn)) return undefined
  const name = hostname(host)
  if (name !== undefined && isLocal(name)) return undefined
  return {
    code: 'MR1051',
    what: `The Host header is ${shownHeader(host)}, and this server is ${listensOn}.`,
  }
}

function isLocal(name: string): boolean {
  return name === 'localhost' || name === '::1' || (isIP(name) === 4 && name.startsWith('127.'))
}

function hostname(host: string | undefined): string | undefined {
  const url = `http://${host ?? ''}`
  if (!URL.canParse(url)) return undefined
  const { hostname: name } = new URL(url)
  return name.startsWith('[') ? name.slice(1, -1) : name
}

function whole(text: string | undefined): number | undefined {
  if (text === undefined || !/^\d{1,16}$/.test(text)) return undefined
  const value = Number(text)
  return Number.isSafeInteger(value) ? value : undefined
}

function one(header: string | string[] | undefined): string | undefined {
  return Array.isArray(header) ? header.join(', ') : header
}

function shownHeader(value: string | undefined): string {
  return value === undefined ? 'missing' : quoted(value)
}

function quoted(text: string): string {
  return JSON.stringify(text.slice(0, 100))
}

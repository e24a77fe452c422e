import { describe, expect, it } from 'vitest'
import { refusalOf } from './guard.ts'

const local = {
  overSocket: false,
  remoteAddress: '127.0.0.1',
  host: 'localhost:7171',
  origin: undefined,
}

describe('refusalOf', () => {
  it('lets programs on this machine pass, over TCP and over the socket', () => {
    for (const host of ['localhost:7171', '127.0.0.1:7171', '[::1]:7171', 'LOCALHOST']) {
      expect(refusalOf({ ...local, host })).toBeUndefined()
    }
    expect(refusalOf({ ...local, remoteAddress: '::ffff:127.0.0.1' })).toBeUndefined()
    expect(refusalOf({ ...local, origin: 'http://localhost:7171' })).toBeUndefined()
    expect(
      refusalOf({ overSocket: true, remoteAddress: undefined, host: undefined, origin: undefined }),
    ).toBeUndefined()
  })

  it('refuses other machines, rebound names and pages of other sites', () => {
    expect(refusalOf({ ...local, remoteAddress: '10.0.0.7' })).toContain('10.0.0.7')
    expect(refusalOf({ ...local, remoteAddress: undefined })).toContain('unknown address')
    for (const host of [
      'evil.example',
      'localhost.evil.example:7171',
      '127.0.0.1.evil.example',
      undefined,
      '',
    ]) {
      expect(refusalOf({ ...local, host })).toContain('Host')
    }
    for (const origin of [
      'http://evil.example',
      'null',
      'http://localhost:9999',
      'https://127.0.0.1:7171',
    ]) {
      expect(refusalOf({ ...local, origin })).toContain('Origin')
    }
  })
})

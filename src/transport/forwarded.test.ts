import fc from 'fast-check'
import { isIP } from 'node:net'
import { describe, expect, it } from 'vitest'
import { isAuthority, plainAddress, proxyTrust, readForwarded } from './forwarded.js'
import type { ProxyHeaders } from './forwarded.js'

const direct = { scheme: 'http', authority: 'inner:8080', address: '10.0.0.1' } as const

function read(
  given: Readonly<Record<string, string | readonly string[]>>,
  kind: ProxyHeaders = 'auto',
  from = '10.0.0.1',
) {
  const headers = new Map(Object.entries(given).map(([name, value]) => [name, [value].flat()]))
  return readForwarded(headers, { ...direct, address: from }, proxyTrust(['10.0.0.0/8', 'fd00::/8'], kind)!)
}

describe('what proxies say', () => {
  it('does not count from anybody else', () => {
    const said = { 'x-forwarded-for': '1.2.3.4', 'x-forwarded-proto': 'https', 'x-forwarded-host': 'evil.example' }
    expect(read(said, 'auto', '192.0.2.1')).toEqual({ ...direct, address: '192.0.2.1' })
  })

  it.each([
    ['10.0.0.1', undefined],
    ['1.2.3.4', '1.2.3.4'],
    ['6.6.6.6, 1.2.3.4', '1.2.3.4'],
    ['6.6.6.6, 1.2.3.4, 10.9.9.9', '1.2.3.4'],
    ['10.1.1.1, 10.2.2.2', '10.1.1.1'],
    ['1.2.3.4:5678', '1.2.3.4'],
    ['[2001:db8::1]:443', '2001:db8::1'],
    ['::ffff:1.2.3.4', '1.2.3.4'],
    ['1.2.3.4, unknown', undefined],
    ['1.2.3.4, _hidden, 10.3.3.3', '10.3.3.3'],
    ['', undefined],
    [' , ,', undefined],
    ['<script>', undefined],
  ])('X-Forwarded-For: %j means the client is %s', (value, address) => {
    expect(read({ 'x-forwarded-for': value }).address).toBe(address ?? '10.0.0.1')
  })

  it('joins repeated headers in order', () => {
    expect(read({ 'x-forwarded-for': ['6.6.6.6', '1.2.3.4, 10.0.0.7'] }).address).toBe('1.2.3.4')
  })

  it('gives scheme and host, each only if it is one', () => {
    expect(read({ 'x-forwarded-proto': 'HTTPS', 'x-forwarded-host': 'Files.example:8443' })).toMatchObject({
      scheme: 'https',
      authority: 'files.example:8443',
    })
    expect(read({ 'x-forwarded-proto': 'javascript', 'x-forwarded-host': 'a/b@c' })).toMatchObject(direct)
    expect(read({ 'x-forwarded-host': 'evil.example, files.example' }).authority).toBe('files.example')
  })

  it('reads Forwarded (RFC 7239) where that is what the proxy writes', () => {
    const forwarded = 'for=6.6.6.6, for="[2001:db8::17]:4711";proto=https;host="files.example"'
    const seen = { scheme: 'https', authority: 'files.example', address: '2001:db8::17' }
    expect(read({ forwarded })).toEqual({ ...seen, trusted: true })
    expect(read({ forwarded, 'x-forwarded-for': '7.7.7.7' }, 'forwarded')).toEqual({ ...seen, trusted: true })
  })

  it('never mixes the two kinds: the one that the proxy does not write comes from the client', () => {
    const forged = { forwarded: 'for=6.6.6.6;proto=https;host=evil.example', 'x-forwarded-for': '1.2.3.4' }
    expect(read(forged)).toEqual({ ...direct, address: '1.2.3.4', trusted: true })
    expect(read({ forwarded: forged.forwarded }, 'x-forwarded')).toEqual({ ...direct, trusted: true })
  })

  it('gives an address and an authority whatever comes', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), fc.string(), (hops, host, forwarded) => {
        for (const seen of [read({ 'x-forwarded-for': hops, 'x-forwarded-host': host }), read({ forwarded })]) {
          expect(isIP(seen.address ?? '')).not.toBe(0)
          expect(isAuthority(seen.authority)).toBe(true)
        }
      }),
    )
  })
})

describe('a trust', () => {
  it.each(['10.0.0.0/33', '10.0.0.0/', '10.0.0.0/-1', '10.0.0', 'localhost', '', '::1/129', '1.2.3.4/8/8'])(
    'refuses %j',
    (rule) => {
      expect(proxyTrust([rule], 'auto')).toBeUndefined()
    },
  )

  it('covers networks, addresses and Unix sockets', () => {
    const trust = proxyTrust(['192.0.2.7', 'fd00::/8', 'unix'], 'auto')!
    expect(['192.0.2.7', 'fd12::1', undefined].map((address) => trust.covers(address))).toEqual([true, true, true])
    expect(['192.0.2.8', 'fe80::1', 'nonsense'].map((address) => trust.covers(address))).toEqual([false, false, false])
    expect(proxyTrust(['0.0.0.0/0', '::/0'], 'auto')?.covers(undefined)).toBe(false)
  })
})

describe('an address', () => {
  it('loses the prefix of dual-stack sockets', () => {
    expect(plainAddress('::ffff:1.2.3.4')).toBe('1.2.3.4')
    expect(plainAddress('::1')).toBe('::1')
    expect(plainAddress(undefined)).toBeUndefined()
  })
})

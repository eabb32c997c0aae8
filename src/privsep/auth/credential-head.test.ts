import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { readCredentialHead } from './credential-head.js'

const facts = { method: 'GET', target: '/' }
const password = { kind: 'password', name: 'alice', password: 'secret' }

describe('what no scheme would have read', () => {
  it.each<readonly [string, unknown]>([
    ['nothing', {}],
    ['a text', 'password'],
    ['a list', [password]],
    ['null', null],
    ['no kind', { name: 'alice', password: 'secret' }],
    ['another kind', { kind: 'root', name: 'alice', password: 'secret' }],
    ['what every object has', { kind: 'constructor' }],
    ['no name', { kind: 'password', password: 'secret' }],
    ['an empty name', { kind: 'password', name: '', password: 'secret' }],
    ['a name with a line break', { kind: 'password', name: 'alice\nbob', password: 'secret' }],
    ['a name with a zero', { kind: 'password', name: 'alice\0', password: 'secret' }],
    ['a name with a colon', { kind: 'password', name: 'alice:0', password: 'secret' }],
    ['a name with its domain', { kind: 'password', name: 'HOME\\alice', password: 'secret' }],
    ['a name that is no text', { kind: 'password', name: ['alice'], password: 'secret' }],
    ['half a character', { kind: 'password', name: 'alice\ud800', password: 'secret' }],
    ['a long name', { kind: 'password', name: 'a'.repeat(8193), password: 'secret' }],
    ['a long password', { kind: 'password', name: 'alice', password: 'a'.repeat(8193) }],
    ['a password with a zero', { kind: 'password', name: 'alice', password: 'sec\0ret' }],
    ['more than a password', { ...password, grants: ['rw:/**'] }],
    ['half a key', { kind: 'api-key', id: 'id' }],
    ['a key with spaces', { kind: 'api-key', id: 'id', secret: 'a secret' }],
    ['a long key', { kind: 'api-key', id: 'id', secret: 's'.repeat(1025) }],
    ['no token', { kind: 'bearer', token: '' }],
    ['a token with spaces', { kind: 'bearer', token: 'a b' }],
    ['a long token', { kind: 'bearer', token: 'a'.repeat(16_385) }],
  ])('%s', (_what, credential) => {
    expect(() => readCredentialHead({ credential, facts })).toThrow(expect.objectContaining({ kind: 'invalid' }))
  })

  it.each<readonly [string, unknown]>([
    ['nothing', undefined],
    ['no target', { method: 'GET' }],
    ['a method with spaces', { ...facts, method: 'GET /' }],
    ['a target with a line break', { ...facts, target: '/\r\nX: y' }],
    ['a long target', { ...facts, target: '/'.repeat(64 * 1024 + 1) }],
    ['an address that is none', { ...facts, address: 'localhost' }],
    ['an address with a line break', { ...facts, address: '127.0.0.1\n' }],
    ['another scheme', { ...facts, origin: { scheme: 'file', authority: 'x' } }],
    ['an origin that is a text', { ...facts, origin: 'http://x' }],
    ['a destination that is no text', { ...facts, destination: 5 }],
    ['an identity', { ...facts, identity: { name: 'root' } }],
  ])('in what is said of the request: %s', (_what, said) => {
    expect(() => readCredentialHead({ credential: password, facts: said })).toThrow(
      expect.objectContaining({ kind: 'invalid' }),
    )
  })

  it('throws nothing else, whatever comes, and says nothing of it', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.jsonValue(), (credential, said) => {
        expect(() => readCredentialHead({ credential, facts: said })).toThrow('What was sent cannot be understood.')
      }),
    )
  })
})

it('what schemes read comes out as it was', () => {
  const origin = { scheme: 'https', authority: 'files.example' }
  const whole = { ...facts, origin, destination: 'https://files.example/b', address: 'fe80::1%eth0' }
  for (const credential of [
    password,
    { kind: 'password', name: ' józef ', password: '' },
    { kind: 'api-key', id: 'id', secret: 'secret' },
    { kind: 'bearer', token: 'a-._~+/z0==' },
  ])
    expect(readCredentialHead({ credential, facts: whole })).toEqual({ credential, facts: whole })
})

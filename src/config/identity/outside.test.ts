import { describe, expect, it } from 'vitest'
import { forwardKind } from './forward.js'
import type { IdentityKind } from './kind.js'
import { oidcKind } from './oidc.js'

const forward = { url: 'http://127.0.0.1:9000/auth', grants: ['rw:/**'] }
const oidc = { issuer: 'https://id.example.org', audience: 'postern' }

describe('settings that are refused', () => {
  const cases: readonly (readonly [IdentityKind, object])[] = [
    [forwardKind, {}],
    [forwardKind, { ...forward, url: 'ftp://h/' }],
    [forwardKind, { ...forward, url: 'http://user:secret@h/' }],
    [forwardKind, { ...forward, grants: [] }],
    [forwardKind, { ...forward, grants: ['nonsense'] }],
    [forwardKind, { ...forward, groupGrants: { a: ['nonsense'] } }],
    [forwardKind, { ...forward, timeoutSeconds: 0 }],
    [forwardKind, { ...forward, nameHeaders: ['a b'] }],
    [forwardKind, { ...forward, nameHeaders: ['a\r\nb'] }],
    ...[
      'Authorization',
      'Host',
      'Content-Length',
      'Transfer-Encoding',
      'X-Original-URI',
      'X-Forwarded-For',
      'Proxy-X',
    ].map((name) => [forwardKind, { ...forward, headers: { [name]: 'x' } }] as const),
    [forwardKind, { ...forward, headers: { 'X-Proof': 'a\r\nRemote-User: admin' } }],
    [oidcKind, {}],
    [oidcKind, { ...oidc, audience: '' }],
    [oidcKind, { ...oidc, audience: [] }],
    [oidcKind, { ...oidc, audience: undefined }],
    [oidcKind, { ...oidc, issuer: 'http://id.example.org' }],
    [oidcKind, { ...oidc, keysUrl: 'http://id.example.org/keys' }],
    [oidcKind, { ...oidc, keysUrl: 'file:///keys' }],
    ...['none', 'HS256', 'HS512', 'RS1'].map((one) => [oidcKind, { ...oidc, algorithms: [one] }] as const),
    [oidcKind, { ...oidc, algorithms: [] }],
    [oidcKind, { ...oidc, clockToleranceSeconds: 301 }],
    [oidcKind, { ...oidc, claims: { a: ['b'] } }],
  ]
  it.each(cases.map(([kind, settings]) => [JSON.stringify(settings), kind, settings] as const))(
    '%s',
    (_, kind, settings) => {
      expect(kind.schema.safeParse(settings).success).toBe(false)
    },
  )
})

describe('settings that are taken', () => {
  it.each<[string, IdentityKind, object]>([
    ['forward', forwardKind, forward],
    [
      'forward over a Unix socket',
      forwardKind,
      { ...forward, url: 'http://unix:/run/auth.sock:/auth', headers: { 'X-Proof': 'a b' } },
    ],
    ['oidc', oidcKind, oidc],
    ['oidc on this machine', oidcKind, { ...oidc, issuer: 'http://127.0.0.1:8080/realm' }],
    ['oidc over plain HTTP', oidcKind, { ...oidc, issuer: 'http://id.example.org', allowHttp: true }],
  ])('%s, and what comes out of them again', (_, kind, settings) => {
    const once = kind.schema.parse(settings)
    expect(kind.schema.parse(JSON.parse(JSON.stringify(once)))).toEqual(once)
  })
})

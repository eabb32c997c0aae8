import { describe, expect, it } from 'vitest'
import { parseReference } from './destination.js'
import { Failure } from '../../core/failure.js'

interface Place {
  readonly origin?: { readonly scheme: 'http' | 'https'; readonly authority: string }
  readonly publicOrigins?: readonly string[]
  readonly basePath?: string
}

function read(text: string, place: Place = {}): string {
  const { origin = { scheme: 'http', authority: 'files.example.org' }, publicOrigins = [], basePath = '' } = place
  try {
    const { path, slash } = parseReference(text, { origin }, { publicOrigins, basePath })
    return `${path}${slash && path !== '/' ? '/' : ''}`
  } catch (error) {
    if (error instanceof Failure) return error.kind
    throw error
  }
}

describe('parseReference', () => {
  it.each<[text: string, outcome: string, place?: Place]>([
    ['/a/b', '/a/b'],
    ['/a/b/', '/a/b/'],
    ['/', '/'],
    ['http://files.example.org/a', '/a'],
    ['http://files.example.org', '/'],
    ['HTTP://FILES.example.ORG/A', '/A'],
    ['http://files.example.org:80/a', '/a'],
    ['https://files.example.org/a', '/a'],
    ['https://files.example.org:443/a', '/a'],
    ['http://files.example.org/a', '/a', { origin: { scheme: 'https', authority: 'files.example.org:443' } }],
    ['http://alice@files.example.org/a', '/a'],
    ['http://alice:p@ss@files.example.org/a', '/a'],
    ['http://files.example.org/a%20b?x=y', '/a b'],
    ['http://[::1]:8080/a', '/a', { origin: { scheme: 'http', authority: '[::1]:8080' } }],
    ['https://public.example.org/a', '/a', { publicOrigins: ['https://public.example.org'] }],
    ['https://public.example.org:443/a', '/a', { publicOrigins: ['https://public.example.org'] }],
    ['https://public.example.org:8443/a', '/a', { publicOrigins: ['https://public.example.org:8443'] }],
    ['http://files.example.org/dav/a', '/a', { basePath: '/dav' }],
    ['http://files.example.org/dav', '/', { basePath: '/dav' }],
    ['/dav/a', '/a', { basePath: '/dav' }],
    ['/dav-other/a', '/dav-other/a', { basePath: '/dav' }],
    // Elsewhere.
    ['http://evil.example.org/a', 'elsewhere'],
    ['http://files.example.org.evil.example/a', 'elsewhere'],
    ['http://evilfiles.example.org/a', 'elsewhere'],
    ['http://files.example.org:81/a', 'elsewhere'],
    ['https://files.example.org:80/a', 'elsewhere'],
    ['http://files.example.org@evil.example.org/a', 'elsewhere'],
    ['http://files.example.org:80@evil.example.org/a', 'elsewhere'],
    ['http://evil.example.org\\@files.example.org.evil/a', 'elsewhere'],
    ['http:///a', 'elsewhere'],
    ['ftp://files.example.org/a', 'elsewhere'],
    ['javascript://files.example.org/a', 'elsewhere'],
    ['http://public.example.org:8443/a', 'elsewhere', { publicOrigins: ['https://public.example.org'] }],
    // Wrong in itself.
    ['', 'invalid'],
    ['a', 'invalid'],
    ['a/b', 'invalid'],
    ['../a', 'invalid'],
    ['//evil.example.org/a', 'invalid'],
    ['//a', 'invalid'],
    ['http:/a', 'invalid'],
    ['/../a', 'invalid'],
    ['/a/%2e%2e/b', 'invalid'],
    ['http://files.example.org/..', 'invalid'],
    ['http://files.example.org/a%2fb', 'invalid'],
    ['http://files.example.org/%00', 'invalid'],
    ['http://files.example.org/%ff', 'invalid'],
    ['http://files.example.org/a#b', 'invalid'],
    ['http://files.example.org#b', 'invalid'],
    ['http://files.example.org?x', 'invalid'],
    ['/dav/../a', 'invalid', { basePath: '/dav' }],
    // Postern's own is a path like any other here; the guard refuses it.
    ['/-/health', '/-/health'],
    ['http://files.example.org/dav/-/x', '/-/x', { basePath: '/dav' }],
  ])('%j is %j', (text, outcome, place) => {
    expect(read(text, place)).toBe(outcome)
  })
})

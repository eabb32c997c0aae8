import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { HttpRequest } from '../../core/http.js'
import { apiKeyScheme } from './api-key.js'

const scheme = apiKeyScheme()

function read(ids: readonly string[], secrets: readonly string[]) {
  const headers = new Map<string, readonly string[]>()
  if (ids.length > 0) headers.set('x-api-key', ids)
  if (secrets.length > 0) headers.set('x-api-secret', secrets)
  const request: HttpRequest = {
    method: 'GET',
    target: '/',
    headers,
    body: (async function* () {})(),
    listener: 'main',
    origin: { scheme: 'http', authority: 'localhost' },
    peer: {},
    signal: new AbortController().signal,
  }
  return scheme.read(request)
}

describe('what is malformed', () => {
  it.each<[readonly string[], readonly string[]]>([
    [['id'], []],
    [[], ['secret']],
    [[''], ['']],
    [['id'], ['']],
    [[''], ['secret']],
    [['id', 'id'], ['secret']],
    [['id'], ['secret', 'secret']],
    [['id'], ['secret', 'other']],
    [['i d'], ['secret']],
    [['id'], ['se cret']],
    [['id'], ['s\u00e9cret']],
    [['i\u00ff'], ['secret']],
    [['id\0'], ['secret']],
    [['id'], ['secret\r\nX: y']],
    [['x'.repeat(1025)], ['secret']],
    [['id'], ['x'.repeat(65_536)]],
  ])('%j %j', (ids, secrets) => {
    expect(() => read(ids, secrets)).toThrow(expect.objectContaining({ kind: 'invalid' }))
  })

  it('never throws anything else, nor tells the secret', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.string({ minLength: 13, unit: 'binary' }), (id, secret) => {
        try {
          expect(read([id], [secret])).toEqual({ kind: 'api-key', id, secret })
        } catch (error) {
          expect(error).toMatchObject({ kind: 'invalid' })
          expect((error as Error).message).not.toContain(secret)
        }
      }),
    )
  })
})

it('reads both headers as they are', () => {
  expect(read([], [])).toBeUndefined()
  expect(read(['PUTFS_0123456789ABCDEF'], ['a:b/"c"\\'])).toEqual({
    kind: 'api-key',
    id: 'PUTFS_0123456789ABCDEF',
    secret: 'a:b/"c"\\',
  })
})

it('asks for nothing', () => {
  expect(scheme.challenge).toBeUndefined()
})

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { HttpRequest } from '../../core/http.js'
import { bearerScheme } from './bearer.js'

const scheme = bearerScheme({ realm: 'files' })

function read(...authorization: readonly string[]) {
  const request: HttpRequest = {
    method: 'GET',
    target: '/?access_token=in-a-query',
    headers: new Map(authorization.length === 0 ? [] : [['authorization', authorization]]),
    body: (async function* () {})(),
    listener: 'main',
    origin: { scheme: 'http', authority: 'localhost' },
    peer: {},
    signal: new AbortController().signal,
  }
  return scheme.read(request)
}

describe('what is malformed', () => {
  it.each([
    ['Bearer'],
    ['Bearer '],
    ['Bearer    '],
    ['Bearer a b'],
    ['Bearer a, Bearer b'],
    ['Bearer "quoted"'],
    ['Bearer tok\u00e9n'],
    ['Bearer a\0b'],
    ['Bearer a\tb'],
    ['Bearer =='],
    ['Bearer a=b'],
    [`Bearer ${'x'.repeat(16_385)}`],
    [`Bearer ${'x'.repeat(65_536)}`],
    ['Bearer a', 'Bearer a'],
    ['Bearer a', 'Basic YTpi'],
  ])('%j %j', (...authorization) => {
    expect(() => read(...authorization)).toThrow(expect.objectContaining({ kind: 'invalid' }))
  })

  it('never throws anything else, nor tells the token', () => {
    fc.assert(
      fc.property(fc.string({ minLength: 1, unit: 'binary' }), (text) => {
        try {
          expect(read(`Bearer ${text}`)?.kind).toBe('bearer')
        } catch (error) {
          expect(error).toMatchObject({ kind: 'invalid' })
          if (text.length > 12) expect((error as Error).message).not.toContain(text)
        }
      }),
    )
  })
})

describe('what is left to others', () => {
  it.each([[], ['Basic YTpi'], ['Bearers abc'], ['Bearer\tabc'], [''], ['AWS4-HMAC-SHA256 Credential=x']])(
    '%j',
    (...authorization) => {
      expect(read(...authorization)).toBeUndefined()
    },
  )
})

describe('what is read', () => {
  it.each([
    ['Bearer abc', 'abc'],
    ['bearer abc', 'abc'],
    ['BEARER   abc  ', 'abc'],
    ['Bearer a-._~+/z0==', 'a-._~+/z0=='],
    [`Bearer ${'x'.repeat(16_384)}`, 'x'.repeat(16_384)],
  ])('%j', (value, token) => {
    expect(read(value)).toEqual({ kind: 'bearer', token })
  })
})

it('asks with the realm, quoted', () => {
  expect(scheme.challenge).toBe('Bearer realm="files"')
  expect(bearerScheme({ realm: 'a "b" \\c' }).challenge).toBe('Bearer realm="a \\"b\\" \\\\c"')
  expect(() => bearerScheme({ realm: 'a\r\nX: y' })).toThrow(expect.objectContaining({ kind: 'invalid' }))
})

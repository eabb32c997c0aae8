import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { HttpRequest } from '../../core/http.js'
import { basicScheme } from './basic.js'

const scheme = basicScheme({ realm: 'files' })

function requestWith(...authorization: readonly string[]): HttpRequest {
  return {
    method: 'GET',
    target: '/',
    headers: new Map(authorization.length === 0 ? [] : [['authorization', authorization]]),
    body: (async function* () {})(),
    listener: 'main',
    origin: { scheme: 'http', authority: 'localhost' },
    peer: {},
    signal: new AbortController().signal,
  }
}

const base64 = (text: string | Uint8Array): string => Buffer.from(text).toString('base64')
const read = (...authorization: readonly string[]) => scheme.read(requestWith(...authorization))

describe('what is malformed', () => {
  it.each([
    ['Basic'],
    ['Basic '],
    ['Basic !!!!'],
    ['Basic a:b'],
    [`Basic ${base64('no colon')}`],
    [`Basic ${base64(':password without a name')}`],
    [`Basic ${base64('DOMAIN\\:password')}`],
    [`Basic ${base64('a\0b:c')}`],
    [`Basic ${base64('a:b\nc')}`],
    [`Basic ${base64('a:b\x7f')}`],
    [`Basic ${base64('a:b')} ${base64('c:d')}`],
    [`Basic ${base64('a:b')}, Basic ${base64('c:d')}`],
    [`Basic realm="x"`],
    [`Basic ${base64('a:' + 'x'.repeat(8192))}`],
    [`Basic ${base64('a:b')}`, `Basic ${base64('c:d')}`],
    [`Basic ${base64('a:b')}`, 'Bearer x'],
  ])('%s %s', (...authorization) => {
    expect(() => read(...authorization)).toThrow(expect.objectContaining({ kind: 'invalid' }))
  })

  it('never throws anything else, nor tells the secret', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.string().map(base64), fc.uint8Array().map(base64)), (text) => {
        try {
          const credential = read(`Basic ${text}`)
          expect(credential?.kind).toBe('password')
        } catch (error) {
          expect(error).toMatchObject({ kind: 'invalid' })
          if (text.length > 12) expect((error as Error).message).not.toContain(text)
        }
      }),
    )
  })
})

describe('what is left to others', () => {
  it.each([
    [],
    ['Bearer abc'],
    ['Basically abc'],
    ['AWS4-HMAC-SHA256 Credential=x'],
    ['Digest username="Basic"'],
    [''],
  ])('%j', (...authorization) => {
    expect(read(...authorization.filter((value): value is string => typeof value === 'string'))).toBeUndefined()
  })
})

describe('what is read', () => {
  it.each([
    ['alice:secret', 'alice', 'secret'],
    ['alice:', 'alice', ''],
    ['alice:a:b:c', 'alice', 'a:b:c'],
    ['alice:p\\w', 'alice', 'p\\w'],
    ['DOMAIN\\alice:secret', 'alice', 'secret'],
    ['a\\b\\alice:se\\cret', 'alice', 'se\\cret'],
    ['josé:pässwörd😀', 'josé', 'pässwörd😀'],
    [' a b : c ', ' a b ', ' c '],
  ])('%j', (text, name, password) => {
    expect(read(`Basic ${base64(text)}`)).toEqual({ kind: 'password', name, password })
  })

  it('in any case of the scheme, with padding or without', () => {
    const expected = { kind: 'password', name: 'ab', password: 'c' }
    for (const value of [
      `basic ${base64('ab:c')}`,
      `BASIC   ${base64('ab:c')} `,
      `Basic ${base64('ab:c').replace(/=/g, '')}`,
    ])
      expect(read(value)).toEqual(expected)
  })

  it('as Latin-1 where it is no UTF-8', () => {
    expect(read(`Basic ${base64(Buffer.from('jos\u00e9:\u00fc', 'latin1'))}`)).toEqual({
      kind: 'password',
      name: 'jos\u00e9',
      password: '\u00fc',
    })
  })
})

describe('the challenge', () => {
  it('names the realm, quoted', () => {
    expect(scheme.challenge).toBe('Basic realm="files", charset="UTF-8"')
    expect(basicScheme({ realm: 'a "b" \\c' }).challenge).toBe('Basic realm="a \\"b\\" \\\\c", charset="UTF-8"')
  })

  it.each(['a\r\nSet-Cookie: x', 'a\0', 'é', '\x7f'])('refuses the realm %j', (realm) => {
    expect(() => basicScheme({ realm })).toThrow(expect.objectContaining({ kind: 'invalid' }))
  })
})

import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { judgeLink, linkFormatOf, needsKey, usualLinkFormat, type LinkFacts } from './signed-link.js'

const token = (signed: string): string => createHash('md5').update(signed).digest('base64url')
const now = 1_800_000_000
const right: LinkFacts = {
  token: token(`${now + 30}GET/dl/acme/a b.pdf192.0.2.7 s3cret`),
  expires: String(now + 30),
  method: 'GET',
  path: '/dl/acme/a b.pdf',
  address: '192.0.2.7',
  secret: 's3cret',
}

describe('a link that is wrong', () => {
  it.each<[string, Partial<LinkFacts>]>([
    ['another time', { expires: String(now + 31) }],
    ['the same time in other digits', { expires: `0${now + 30}` }],
    ['a time with a sign', { expires: `+${now + 30}` }],
    ['no time', { expires: '' }],
    ['a time that is none', { expires: 'never' }],
    ['a time beyond all times', { expires: '9'.repeat(400) }],
    ['another method', { method: 'DELETE' }],
    ['HEAD for GET', { method: 'HEAD' }],
    ['another path', { path: '/dl/acme/other' }],
    ['a longer path', { path: '/dl/acme/a b.pdf/' }],
    ['another address', { address: '192.0.2.8' }],
    ['no address', { address: '' }],
    ['another secret', { secret: 'S3cret' }],
    ['no token', { token: '' }],
    ['a cut token', { token: right.token.slice(0, 21) }],
    ['a token in base64', { token: Buffer.from(right.token, 'base64url').toString('base64').replace(/^./, '+') }],
    ['a token in hexadecimal', { token: Buffer.from(right.token, 'base64url').toString('hex') }],
    ['a token with more behind it', { token: `${right.token}A` }],
  ])('%s', (_what, change) => {
    expect(judgeLink(usualLinkFormat, { ...right, ...change }, now)).toBe('wrong')
  })

  it('even expired: nobody learns more', () => {
    expect(judgeLink(usualLinkFormat, { ...right, secret: 'x' }, now + 60)).toBe('wrong')
  })

  it('the secret that everybody knows', () => {
    const forged = { ...right, secret: '', token: token(`${right.expires}GET${right.path}${right.address} `) }
    expect(judgeLink(usualLinkFormat, forged, now)).toBe('wrong')
  })
})

describe('a link that is right', () => {
  it.each([
    ['before its time', now, 'right'],
    ['in its last second', now + 30, 'right'],
    ['after its time', now + 31, 'expired'],
  ])('%s', (_what, at, verdict) => {
    expect(judgeLink(usualLinkFormat, right, at)).toBe(verdict)
  })

  it('in the format of PutFS, as its documents sign it', () => {
    const format = linkFormatOf('$secure_link_expires$request_method$uri$remote_addr $key_secret')
    expect(format).toEqual(usualLinkFormat)
    const older = linkFormatOf('$secure_link_expires$request_method$uri$remote_addr s3cret')
    expect(older && needsKey(older)).toBe(false)
    expect(older && judgeLink(older, { ...right, secret: '' }, now)).toBe('right')
  })

  it('in a format of their own', () => {
    const format = linkFormatOf('${secure_link_expires}|${uri}| my secret') ?? []
    const link = { ...right, secret: '', token: token(`${right.expires}|${right.path}| my secret`), address: 'any' }
    expect(judgeLink(format, link, now)).toBe('right')
  })
})

describe('a format that is none', () => {
  it.each([
    '',
    '$uri $key_secret',
    '$secure_link_expires $key_secret',
    '$secure_link_expires$uri',
    '$secure_link_expires$uri ',
    '$secure_link_expires$uri$http_cookie secret',
    '$secure_link_expires$uri$ secret',
  ])('%j', (text) => {
    expect(linkFormatOf(text)).toBeUndefined()
  })
})

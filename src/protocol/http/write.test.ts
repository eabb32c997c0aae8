import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { openSite } from '../../../test/http-exchange.js'
import { bound } from '../../store/bound.js'
import { isFailure } from '../../core/failure.js'
import { toPath } from '../../core/path.js'
import { expectedBody } from './body.js'
import { createHttpFiles } from './index.js'
import { parseUpdateRange } from './patch.js'

const files = createHttpFiles()
const patchOf = (range: string, extra: Record<string, string> = {}) => ({
  'Content-Type': 'application/x-sabredav-partialupdate',
  'X-Update-Range': range,
  ...extra,
})

/** A body that must not be asked for. */
function untouchable(): AsyncIterable<Uint8Array> {
  return {
    [Symbol.asyncIterator]: () => {
      throw new Error('the body was pulled')
    },
  }
}

describe('a write that is refused', () => {
  it.each<[string, Record<string, string>, number]>([
    ['/f', { 'Content-Range': 'bytes 2-3/10' }, 400],
    ['/f', { 'If-Match': '"old"' }, 412],
    ['/f', { 'If-Match': 'W/"old"' }, 412],
    ['/f', { 'If-None-Match': '*' }, 412],
    ['/f', { 'If-Unmodified-Since': 'Thu, 01 Jan 1970 00:00:00 GMT' }, 412],
    ['/new', { 'If-Match': '*' }, 412],
    ['/f', { 'Content-MD5': 'junk' }, 400],
    ['/f', { 'Content-Length': '-1' }, 400],
    ['/d', {}, 409],
    ['/d/', {}, 409],
    ['/new/', {}, 409],
    ['/f/below', {}, 409],
  ])('costs no body: PUT %s %j', async (target, headers, status) => {
    const site = openSite(files)
    await site.fill({ '/f': 'old', '/d/x': 'x' })
    const answer = await site.ask('PUT', target, { headers, body: untouchable() })
    expect([answer.status, answer.header('content-type')]).toEqual([status, 'application/problem+json'])
    expect((await site.ask('GET', '/f')).text).toBe('old')
  })

  it('costs no body where it is not allowed or locked', async () => {
    const site = openSite(files)
    await site.fill({ '/f': 'old' })
    const denied = await site.ask('PUT', '/f', { grants: ['r:/**'], body: untouchable() })
    const patch = await site.ask('PATCH', '/f', {
      grants: ['r:/**'],
      headers: patchOf('append', { 'Content-Length': '1' }),
      body: untouchable(),
    })
    const request = {
      path: toPath('/f'),
      scope: 'exclusive',
      depth: 0,
      principal: 'x:bob',
      timeoutSeconds: 60,
    } as const
    await site.locks.take(request)
    const locked = await site.ask('PUT', '/f', { body: untouchable() })
    const kept = await site.ask('DELETE', '/f')
    expect([denied.status, patch.status, locked.status, kept.status]).toEqual([403, 403, 423, 423])
  })

  it.each([
    ['Repr-Digest', `sha-256=:${createHash('sha256').update('other').digest('base64')}:`],
    ['Content-Digest', `sha-512=:${createHash('sha512').update('other').digest('base64')}:`],
    ['Content-MD5', createHash('md5').update('other').digest('base64')],
    ['OC-Checksum', `SHA1:${createHash('sha1').update('other').digest('hex')}`],
    ['Digest', `md5=${createHash('md5').update('other').digest('base64')}`],
  ])('leaves the old content: a wrong %s', async (name, value) => {
    const site = openSite(files)
    await site.fill({ '/f': 'old' })
    const answer = await site.ask('PUT', '/f', { headers: { [name]: value }, body: 'new' })
    const patch = await site.ask('PATCH', '/f', { headers: patchOf('append', { [name]: value }), body: 'new' })
    expect([answer.status, patch.status, (await site.ask('GET', '/f')).text]).toEqual([400, 400, 'old'])
    expect((await site.ask('PUT', '/f', { headers: { [name]: value }, body: 'other' })).status).toBe(204)
  })

  it.each(['ab', 'abcdef'])('has not the length announced for a chunked body: %s', async (body) => {
    const site = openSite(files)
    const headers = { 'Transfer-Encoding': 'chunked', 'X-Expected-Entity-Length': '4' }
    expect((await site.ask('PUT', '/f', { headers, body })).status).toBe(400)
    expect((await site.ask('GET', '/f')).status).toBe(404)
    expect((await site.ask('PUT', '/f', { headers, body: 'abcd' })).status).toBe(201)
  })
})

describe('PUT', () => {
  it('answers 201 with Location, then 204, always with the validators that GET shows', async () => {
    const site = openSite(files, { basePath: '/base' })
    const made = await site.ask('PUT', '/a/b c', { body: 'one' })
    expect([made.status, made.header('location')]).toEqual([201, '/base/a/b%20c'])
    const replaced = await site.ask('PUT', '/a/b%20c', { body: 'two' })
    expect([replaced.status, replaced.header('location')]).toEqual([204, undefined])
    const read = await site.ask('GET', '/a/b%20c')
    expect([read.text, read.header('etag')]).toEqual(['two', replaced.header('etag')])
    expect(read.header('last-modified')).toBe(replaced.header('last-modified'))
  })

  it('makes parents on this surface, and where it is told not to only when asked', async () => {
    expect((await openSite(files).ask('PUT', '/a/b/c', { body: 'x' })).status).toBe(201)
    const strict = openSite(createHttpFiles({ parents: false }))
    expect((await strict.ask('PUT', '/a/b/c', { body: 'x' })).status).toBe(409)
    expect((await strict.ask('PUT', '/a/b/c?parents=1', { body: 'x' })).status).toBe(201)
  })

  it.each([
    ['981173106', '2001-02-03T04:05:06.000Z'],
    ['981173106.5', '2001-02-03T04:05:06.500Z'],
    ['0x3A7B8372', '2001-02-03T04:05:06.000Z'],
  ])('keeps the time of X-OC-Mtime: %s', async (time, expected) => {
    const site = openSite(files)
    const answer = await site.ask('PUT', '/f', { body: 'x', headers: { 'X-OC-Mtime': time } })
    expect(answer.header('x-oc-mtime')).toBe('accepted')
    expect(new Date((await site.store.stat(toPath('/f')))?.modified ?? 0).toISOString()).toBe(expected)
  })

  it.each(['yesterday', '-1', '99999999999999', '1e9', ''])(
    'does not claim to keep a time that is none: %j',
    async (time) => {
      const site = openSite(files)
      const answer = await site.ask('PUT', '/f', { body: 'x', headers: { 'X-OC-Mtime': time } })
      expect([answer.status, answer.header('x-oc-mtime')]).toEqual([201, undefined])
    },
  )

  it('keeps the type and the coding that the name does not tell', async () => {
    const site = openSite(files)
    const headers = { 'Content-Type': 'image/png', 'Content-Encoding': 'identity, gzip', 'Content-Language': 'de' }
    await site.ask('PUT', '/x', { body: 'x', headers })
    const head = await site.ask('HEAD', '/x')
    expect([head.header('content-type'), head.header('content-encoding'), head.header('content-language')]).toEqual([
      'image/png',
      'gzip',
      'de',
    ])
    await site.ask('PUT', '/y.txt', { body: 'x', headers: { 'Content-Type': 'application/x-www-form-urlencoded' } })
    expect((await site.store.stat(toPath('/y.txt')))?.attributes ?? {}).toEqual({})
  })

  it('lets one of two creators win, and a sender who may not look send', async () => {
    const site = openSite(files)
    const create = { headers: { 'If-None-Match': '*' }, body: 'x', grants: ['create:/**'] }
    expect([(await site.ask('PUT', '/f', create)).status, (await site.ask('PUT', '/f', create)).status]).toEqual([
      201, 412,
    ])
  })

  it('ends a chunked body whose end never comes', async () => {
    const stalled: AsyncIterable<Uint8Array> = {
      async *[Symbol.asyncIterator]() {
        yield Buffer.from('abcd')
        await new Promise(() => undefined)
      },
    }
    const pieces: Uint8Array[] = []
    for await (const piece of expectedBody(stalled, 4, 1)) pieces.push(piece)
    expect(Buffer.concat(pieces).toString()).toBe('abcd')
  })
})

describe('PATCH', () => {
  it.each([
    ['bytes=2-3', 'XY', '01XY456789'],
    ['bytes=8-', 'XYZ', '01234567XYZ'],
    ['bytes=10-', 'XY', '0123456789XY'],
    ['bytes=-2', 'XY', '01234567XY'],
    ['bytes=-0', 'XY', '0123456789XY'],
    ['append', 'XY', '0123456789XY'],
    ['BYTES=0-1', 'XY', 'XY23456789'],
  ])('%s', async (range, body, expected) => {
    const site = openSite(files)
    await site.store.write(toPath('/f'), one('0123456789'), { attributes: { 'content-type': 'image/png' } })
    const answer = await site.ask('PATCH', '/f', { headers: patchOf(range), body })
    const read = await site.ask('GET', '/f')
    expect([answer.status, read.text, read.header('content-type')]).toEqual([204, expected, 'image/png'])
    expect(answer.header('etag')).toBe(read.header('etag'))
  })

  it('does the same on a store that cannot assemble', async () => {
    const site = openSite(files)
    const { assemble, ...store } = bound(site.store)
    expect(assemble).toBeDefined()
    const plain = openSite(files, { store })
    await site.fill({ '/f': '0123456789' })
    expect((await plain.ask('PATCH', '/f', { headers: patchOf('bytes=4-5'), body: 'XY' })).status).toBe(204)
    expect((await plain.ask('PATCH', '/f', { headers: patchOf('append'), body: '!' })).status).toBe(204)
    expect((await site.ask('GET', '/f')).text).toBe('0123XY6789!')
  })

  it.each<[string, Record<string, string>, number]>([
    ['/f', { 'Content-Type': 'application/octet-stream', 'X-Update-Range': 'append' }, 415],
    ['/f', patchOf('bytes=11-'), 416],
    ['/f', patchOf('bytes=-11'), 416],
    ['/f', patchOf('bytes=2-9'), 400],
    ['/f', patchOf('bytes=3-2'), 400],
    ['/f', patchOf('junk'), 400],
    ['/f', patchOf('append', { 'If-Match': '"old"' }), 412],
    ['/f', patchOf('append', { 'Transfer-Encoding': 'chunked' }), 411],
    ['/none', patchOf('append'), 404],
    ['/d', patchOf('append'), 409],
    ['/f', { 'Content-Type': 'application/x-sabredav-partialupdate' }, 400],
  ])('of %s %j is refused with %d', async (target, headers, status) => {
    const site = openSite(files)
    await site.fill({ '/f': '0123456789', '/d/x': '' })
    const answer = await site.ask('PATCH', target, { headers, body: 'XY' })
    expect([answer.status, (await site.ask('GET', '/f')).text]).toEqual([status, '0123456789'])
    if (status === 415) expect(answer.header('accept-patch')).toBe('application/x-sabredav-partialupdate')
    if (status === 416) expect(answer.header('content-range')).toBe('bytes */10')
  })

  it('needs no right to read what it replaces a part of', async () => {
    const site = openSite(files)
    await site.fill({ '/f': '0123' })
    const grants = ['list,replace:/**']
    expect((await site.ask('PATCH', '/f', { headers: patchOf('append'), body: '4', grants })).status).toBe(204)
  })

  it('refuses one of two that meet, rather than lose a write', async () => {
    const site = openSite(files)
    await site.fill({ '/f': '0' })
    const slow = async function* () {
      await site.ask('PUT', '/f', { body: 'other' })
      yield Buffer.from('1')
    }
    const headers = patchOf('append', { 'Content-Length': '1' })
    const answer = await site.ask('PATCH', '/f', { headers, body: slow() })
    expect([answer.status, (await site.ask('GET', '/f')).text]).toEqual([409, 'other'])
  })

  it('reads X-Update-Range or refuses it', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.stringMatching(/^bytes=\d*-\d*$/)), (field) => {
        try {
          parseUpdateRange(field)
        } catch (error) {
          expect(isFailure(error, 'invalid')).toBe(true)
        }
      }),
    )
  })
})

describe('DELETE', () => {
  it.each<[string, Record<string, string>, number]>([
    ['/f', {}, 204],
    ['/d', {}, 204],
    ['/d/', {}, 204],
    ['/none', {}, 404],
    ['/none', { 'If-Match': '*' }, 412],
    ['/f/', {}, 404],
    ['/f', { 'If-Match': '"old"' }, 412],
    ['/d', { 'If-Match': '"old"' }, 412],
    ['/f', { 'If-Match': '*' }, 204],
    ['/', {}, 403],
  ])('%s %j: %d', async (target, headers, status) => {
    const site = openSite(files)
    await site.fill({ '/f': 'x', '/d/a': 'x', '/d/b/c': 'x' })
    expect((await site.ask('DELETE', target, { headers })).status).toBe(status)
    if (status === 204) expect((await site.ask('GET', target)).status).toBe(404)
    else expect((await site.ask('GET', '/f')).status).toBe(200)
  })

  it('names the members that had to stay', async () => {
    const site = openSite(files)
    await site.fill({ '/d/mine/a': 'x', '/d/theirs/b': 'x' })
    const answer = await site.ask('DELETE', '/d', { grants: ['r:/**', 'delete:/d', 'delete:/d/mine/**'] })
    expect(answer.status).toBe(403)
    expect(answer.text).toContain('/d/theirs')
    expect((await site.ask('GET', '/d/theirs/b')).status).toBe(200)
  })
})

describe('OPTIONS', () => {
  it('tells the methods', async () => {
    const answer = await openSite(files).ask('OPTIONS', '/any')
    expect([answer.status, answer.header('allow')]).toEqual([200, 'GET, HEAD, PUT, DELETE, PATCH, OPTIONS'])
  })
})

async function* one(text: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(text)
}

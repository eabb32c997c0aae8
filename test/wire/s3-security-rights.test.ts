import { createHash } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { format } from '../harness.js'
import { old, outcome, Target } from './s3-attack.js'
import type { Asked } from './s3-attack.js'

/** One for all tests: no attack leaves anything behind. */
let site: Target

beforeAll(async () => {
  site = await Target.open('limits: { idleSeconds: 1 }\n')
})

afterAll(async () => {
  await site.server[Symbol.asyncDispose]()
})

const md5 = (bytes: string): string => createHash('md5').update(bytes).digest('hex')

const partsXml = (...parts: readonly (readonly [number: number | string, etag: string])[]): string =>
  `<CompleteMultipartUpload>${parts
    .map(([number, etag]) => `<Part><PartNumber>${number}</PartNumber><ETag>${etag}</ETag></Part>`)
    .join('')}</CompleteMultipartUpload>`

describe('a source of a copy', () => {
  it.each([
    ['/c/secret', '403 AccessDenied'],
    ['c/secret', '403 AccessDenied'],
    ['/b/..%2fc/secret', '400 InvalidArgument'],
    ['/b/../c/secret', '400 InvalidArgument'],
    ['/b%2f..%2fc%2fsecret', '400 InvalidArgument'],
    ['/b/%2e%2e/c/secret', '400 InvalidArgument'],
    ['/b/..%252fc%252fsecret', '404 NoSuchKey'],
    ['/%2e%2e/c/secret', '400 InvalidBucketName'],
    ['//c/secret', '400 InvalidArgument'],
    ['/c//secret', '400 InvalidArgument'],
    ['/c/secret%00', '400 InvalidArgument'],
    ['/c/%ff', '400 InvalidArgument'],
    ['/c/secret?versionId=../x', '404 NoSuchVersion'],
  ])('%s is nothing for those who may not read it, whole or as a part', async (source, expected) => {
    const copy: Asked = { method: 'PUT', headers: { 'x-amz-copy-source': source } }
    expect(await site.refusedAs('beside', { ...copy, path: '/b/new' })).toBe(expected)
    await site.withUpload(async (id) => {
      const query = [['partNumber', '1'], ['uploadId', id]] as const // prettier-ignore
      expect(await site.refusedAs('beside', { ...copy, query })).toBe(expected)
    })
  })

  it('is nothing for those who may only put something there', async () => {
    const headers = { 'x-amz-copy-source': '/b/old' }
    expect(await site.refusedAs('dropper', { method: 'PUT', path: '/b/new', headers })).toBe('403 AccessDenied')
  })
})

describe('an upload in parts', () => {
  it.each(['0', '10001', '-1', '1e3', '0x1', '1.0', ' 1', '99999999999999999999', ''])(
    'takes no part of the number "%s"',
    (partNumber) =>
      site.withUpload(async (uploadId) => {
        const query = [['partNumber', partNumber], ['uploadId', uploadId]] as const // prettier-ignore
        expect(await site.refusedAs('owner', { method: 'PUT', query, body: 'x' })).toBe('400 InvalidArgument')
      }),
  )

  it.each(['../x', '..%2fx', '/', '.', 'a\0b', '%00', '.postern-parts', 'x'.repeat(5000), 'null', '-'])(
    'is not found by the id "%s"',
    async (id) => {
      for (const [method, query] of [
        ['PUT', [['partNumber', '1'], ['uploadId', id]]],
        ['POST', [['uploadId', id]]],
        ['GET', [['uploadId', id]]],
        ['DELETE', [['uploadId', id]]],
      ] as const) // prettier-ignore
        expect(await site.refusedAs('owner', { method, query, body: method === 'POST' ? partsXml([1, 'x']) : '' })).toBe('404 NoSuchUpload') // prettier-ignore
    },
  )

  it('is of one key, and of nobody who may not write it', () =>
    site.withUpload(async (uploadId) => {
      const query = [['uploadId', uploadId]] as const
      const part = [['partNumber', '1'], ...query] as const
      for (const [method, body, more] of [
        ['PUT', 'x', part],
        ['POST', partsXml([1, 'x']), query],
        ['GET', '', query],
        ['DELETE', '', query],
      ] as const) {
        // prettier-ignore
        expect(await site.refusedAs('reader', { method, body, query: more })).toBe('403 AccessDenied')
        expect(await site.refusedAs('beside', { method, body, query: more, path: '/b/other' })).toBe('404 NoSuchUpload')
        expect(await site.refusedAs('beside', { method, body, query: more, path: '/c/secret' })).toBe('403 AccessDenied') // prettier-ignore
      }
    }))

  it('replaces nothing for those who may only create, and shows them no uploads of others', () =>
    site.withUpload(async () => {
      const list: Asked = { key: site.keys.dropper, path: '/b', query: [['uploads', '']] }
      expect((await site.ask(list)).text).not.toContain('<Upload>')
      const begun = await site.ask({ ...list, method: 'POST', path: '/b/old' })
      const uploadId = /<UploadId>(.*)<\/UploadId>/.exec(begun.text)?.[1] ?? ''
      const query = [['uploadId', uploadId]] as const
      const part = await site.ask({ method: 'PUT', query: [['partNumber', '1'], ...query], body: 'mine' })
      expect(outcome(part)).toBe('200')
      expect((await site.ask(list)).text).toContain(uploadId)
      const body = partsXml([1, md5('mine')])
      expect(await site.refusedAs('dropper', { method: 'POST', query, body })).toBe('403 AccessDenied')
      expect(outcome(await site.ask({ key: site.keys.dropper, method: 'DELETE', query }))).toBe('204')
    }))

  it.each<readonly [what: string, body: string, expected: string]>([
    ['a part that is not there', partsXml([2, md5('one')]), '400 InvalidPart'],
    ['another ETag', partsXml([1, md5('other')]), '400 InvalidPart'],
    ['no order', partsXml([2, md5('one')], [1, md5('one')]), '400 InvalidPartOrder'],
    ['a part twice', partsXml([1, md5('one')], [1, md5('one')]), '400 InvalidPartOrder'],
    ['part 0', partsXml([0, md5('one')]), '400 InvalidArgument'],
    ['part -1', partsXml([-1, md5('one')]), '400 InvalidArgument'],
    ['part 1e0', partsXml(['1e0', md5('one')]), '400 InvalidArgument'],
    ['no part', partsXml(), '400 MalformedXML'],
    ['nothing', '', '400 MalformedXML'],
    ['10,001 parts', partsXml(...Array.from({ length: 10_001 }, (_, at) => [at + 1, 'x'] as const)), '400 MalformedXML'],
    ['a DOCTYPE', `<!DOCTYPE x>${partsXml([1, md5('one')])}`, '400 MalformedXML'],
    ['a file as an entity', `<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>${partsXml([1, '&e;'])}`, '400 MalformedXML'],
    ['an entity of entities', `<!DOCTYPE x [<!ENTITY a "${'a'.repeat(999)}"><!ENTITY b "${'&a;'.repeat(999)}">]>${partsXml([1, '&b;'])}`, '400 MalformedXML'],
    ['depth', '<CompleteMultipartUpload>'.repeat(50_000), '400 MalformedXML'],
    ['another document', '<Delete><Object><Key>old</Key></Object></Delete>', '400 MalformedXML'],
    ['4 MiB of spaces', `<CompleteMultipartUpload>${' '.repeat(4 * 1024 * 1024)}</CompleteMultipartUpload>`, '400 MalformedXML'],
  ])('is not completed by a list with %s', (_, body, expected) =>
    site.withUpload(async (uploadId) => {
      const query = [['uploadId', uploadId]] as const
      await site.ask({ method: 'PUT', query: [['partNumber', '1'], ...query], body: 'one' })
      expect(await site.refusedAs('owner', { method: 'POST', query, body })).toBe(expected)
    }),
  ) // prettier-ignore
})

describe('2 MiB of XML', () => {
  it.each(['cors', 'acl', 'tagging'])('are too much for ?%s', async (name) => {
    const path = name === 'tagging' ? '/b/old' : '/b'
    const body = `<X>${'<Y/>'.repeat(512 * 1024)}</X>`
    const query = [[name, '']] as const
    expect(await site.refusedAs('owner', { method: 'PUT', path, query, body })).toMatch(/^400 (?:MalformedXML|EntityTooLarge)$/) // prettier-ignore
  })
})

describe('a name', () => {
  it.each([
    ['/b//x', '400 InvalidArgument'],
    ['/b/../c/x', '400 InvalidArgument'],
    ['/b/./x', '400 InvalidArgument'],
    ['/b/..', '400 InvalidArgument'],
    ['/b/x\0y', '400 InvalidArgument'],
    ['/../x', '400 InvalidBucketName'],
    ['/./x', '400 InvalidBucketName'],
    ['//x', '400 InvalidArgument'],
    ['/.postern-parts/x', '403 AccessDenied'],
    ['/-/x', '404 NoSuchKey'],
    ['/-', '404 NoSuchKey'],
    [`/b/${'x'.repeat(256)}`, '400 KeyTooLongError'],
    [`/b/${'x/'.repeat(513)}y`, '400 KeyTooLongError'],
    ['/b/old/x', '409 ObjectParentIsFile'],
    ['/nothing/x', '404 NoSuchBucket'],
  ])('%j is not written, copied to or begun', async (path, expected) => {
    expect(await site.refusedAs('owner', { method: 'PUT', path, body: 'x' })).toBe(expected)
    expect(await site.refusedAs('owner', { method: 'PUT', path, headers: { 'x-amz-copy-source': '/b/old' } })).toBe(expected) // prettier-ignore
    // What a parent is counts when the upload is completed.
    if (expected !== '409 ObjectParentIsFile')
      expect(await site.refusedAs('owner', { method: 'POST', path, query: [['uploads', '']] })).toMatch(/^40[0345] /)
  })

  it.each(['/b/.postern-parts', '/b/.postern-parts/x', '/.postern-parts/x', '/b/.postern-x'])(
    '%s is not what an upload becomes',
    async (path) => {
      const begun = await site.ask({ method: 'POST', path, query: [['uploads', '']] })
      const uploadId = /<UploadId>(.*)<\/UploadId>/.exec(begun.text)?.[1] ?? ''
      const query = [['uploadId', uploadId]] as const
      await site.ask({ method: 'PUT', path, query: [['partNumber', '1'], ...query], body: 'x' })
      const done = await site.ask({ method: 'POST', path, query, body: partsXml([1, md5('x')]) })
      expect(done.status).toBeGreaterThanOrEqual(400)
      await site.ask({ method: 'DELETE', path, query })
      await site.isUntouched()
    },
  )

  it.each(['/b/%c0%ae%c0%ae/c/secret', '/b/%ff', '/b/%', '/b/%zz', '/b/%ed%a0%80'])(
    '%s is no text, whoever asks',
    async (target) => {
      for (const method of ['PUT', 'GET', 'DELETE', 'POST', 'HEAD'])
        expect(await site.refused({ ...site.signed({ method }), target })).toBe(method === 'HEAD' ? '400' : '400 InvalidURI') // prettier-ignore
    },
  )

  it('of another bucket is not reached through one that is granted, however it is spelled', async () => {
    for (const path of ['/b/../c/secret', '/b/..', '/c/secret', '/c%2fsecret', '/b/..%2fc%2fsecret'])
      expect(await site.refusedAs('beside', { path })).toMatch(/^40[034] /)
    // What is signed is what was sent: a slash in disguise is one key for rights and for files.
    const { headers } = site.signed({ key: site.keys.beside, path: '/b/x' })
    for (const target of ['/b%2f..%2fc%2fsecret', '/c%2Fsecret', '/b/%2e%2e/c/secret'])
      expect(await site.refused({ method: 'GET', target, headers, body: Buffer.alloc(0) })).toMatch(/^40[03] /)
  })

  it('that is granted composed is the same decomposed, in either direction', async () => {
    await mkdir(join(site.server.root, 'b', 'caf\u00e9'))
    await writeFile(join(site.server.root, 'b', 'caf\u00e9', 'x'), 'x')
    const done = await site.server.cli(['s3-key', 'issue', 'cafe', '--grant', 'read:/b/cafe\u0301/**', '--json'])
    const { accessKeyId = '', secretAccessKey = '' } = JSON.parse(done.stdout) as Record<string, string>
    const key = { id: accessKeyId, secret: secretAccessKey }
    for (const name of ['caf\u00e9', 'cafe\u0301']) {
      expect(outcome(await site.ask({ key, path: `/b/${name}/x` }))).toBe('200')
      expect(outcome(await site.ask({ key, method: 'DELETE', path: `/b/${name}/x` }))).toBe('403 AccessDenied')
    }
    expect(outcome(await site.ask({ method: 'DELETE', path: '/b/cafe\u0301/x' }))).toBe('204')
    await site.isUntouched()
  })
})

describe('a caller', () => {
  it('who may only create replaces nothing and sees nothing', async () => {
    const attacks: readonly Asked[] = [
      { method: 'PUT', body: 'mine' },
      { method: 'PUT', body: 'mine', headers: { 'if-match': '*' } },
      { method: 'PUT', body: 'mine', headers: { 'if-match': md5(old) } },
      { method: 'PUT', headers: { 'x-amz-copy-source': '/b/old', 'x-amz-metadata-directive': 'REPLACE' } },
      { method: 'PUT', query: [['tagging', '']], body: '<Tagging><TagSet/></Tagging>' },
      { method: 'DELETE' },
      { method: 'GET' },
      { method: 'GET', query: [['attributes', '']], headers: { 'x-amz-object-attributes': 'ETag' } },
      { method: 'GET', query: [['tagging', '']] },
      { method: 'GET', query: [['acl', '']] },
    ]
    for (const asked of attacks) expect([asked, await site.refusedAs('dropper', asked)]).toEqual([asked, '403 AccessDenied']) // prettier-ignore
    expect((await site.ask({ key: site.keys.dropper, path: '/b', query: [['list-type', '2']] })).text).not.toContain('old') // prettier-ignore
  })

  it('who may read one file learns of no other', async () => {
    expect(outcome(await site.ask({ key: site.keys.reader }))).toBe('200')
    for (const path of ['/b', '/'])
      expect((await site.ask({ key: site.keys.reader, path })).text).not.toMatch(/<(?:Key>(?!old)|Name>c)/)
    for (const path of ['/b/none', '/c/secret', '/c/none', '/c', '/none/x'])
      expect(await site.refusedAs('reader', { path })).toBe('403 AccessDenied')
    const body = '<Delete><Object><Key>old</Key></Object><Object><Key>../c/secret</Key></Object></Delete>'
    const gone = await site.ask({ key: site.keys.reader, method: 'POST', path: '/b', query: [['delete', '']], body })
    expect(gone.text.match(/<Code>[^<]*/g)).toEqual(['<Code>AccessDenied', '<Code>InvalidArgument'])
    await site.isUntouched()
  })

  it.each([
    ['a Basic login', { authorization: 'Basic YWRtaW46eA==' }],
    ['a bearer token', { authorization: 'Bearer x' }],
    ['an API key', { 'x-api-key': 'x', 'x-api-secret': 'y' }],
  ])('with %s beside a signed URL is refused', async (_, headers) => {
    const url = site.presigned({ method: 'PUT', body: 'new' })
    const answer = await site.send({ ...url, headers: { ...url.headers, ...headers } })
    expect([400, 401]).toContain(answer.status)
    await site.isUntouched()
  })
})

describe('a client that goes away', () => {
  it.each([{}, { reset: true }])('leaves nothing of an object or a part (%j)', (how) =>
    site
      .withUpload(async (uploadId) => {
        for (const query of [
          [],
          [
            ['partNumber', '1'],
            ['uploadId', uploadId],
          ] as const,
        ]) {
          const request = site.signed({ method: 'PUT', query, body: 'x'.repeat(200_000) })
          const connection = await site.server.connect()
          await connection.send(format('PUT', request.target, { ...request, as: null }, site.server.port).subarray(0, 150_000)) // prettier-ignore
          connection.destroy(how)
        }
        const listed = await site.ask({ query: [['uploadId', uploadId]] })
        expect(listed.text).not.toContain('<Part>')
      })
      .then(() => site.isUntouched()),
  )

  it('and one that sends nothing more', async () => {
    const request = site.signed({ method: 'PUT', body: 'x'.repeat(200_000) })
    const connection = await site.server.connect()
    await connection.send(format('PUT', request.target, { ...request, as: null }, site.server.port).subarray(0, 150_000)) // prettier-ignore
    await connection.untilClosed()
    await site.isUntouched()
  })
})

describe('what goes into an answer', () => {
  it('splits no header', async () => {
    for (const name of [
      'content-type',
      'content-disposition',
      'cache-control',
      'expires',
      'content-language',
      'content-encoding',
    ])
      // prettier-ignore
      for (const value of ['a\r\nSet-Cookie: a=b', 'a\nb', 'a\0b'])
        expect(await site.refusedAs('owner', { query: [[`response-${name}`, value]] })).toBe('400 InvalidArgument')
    const request = site.signed({ method: 'PUT', headers: { 'x-amz-meta-a': 'a\rb' } })
    expect((await site.send(request)).status).toBe(400)
    await site.isUntouched()
  })

  it('is no markup of whoever chose a name, and XML whatever that holds', async () => {
    const names = ['<Key>x', '&amp;', ']]>', '"\'', '\u0001\u001b', '\uffff', 'a\r\nb']
    for (const name of names) {
      expect(outcome(await site.ask({ method: 'PUT', path: `/b/${name}`, body: 'x' }))).toBe('200')
      const missing = await site.ask({ path: `/b/${name}-missing` })
      for (const { text } of [
        await site.ask({ path: '/b' }),
        await site.ask({
          path: '/b',
          query: [
            ['prefix', name],
            ['delimiter', name],
          ],
        }),
        missing,
      ])
        // prettier-ignore
        expect(text).not.toMatch(/<Key><|<Key>&amp;<|[\0-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]/)
      const url = await site.ask({ path: '/b', query: [['encoding-type', 'url']] })
      expect(url.text).toContain(`<Key>${encodeURIComponent(name)}</Key>`)
      expect(outcome(await site.ask({ method: 'DELETE', path: `/b/${name}` }))).toBe('204')
    }
    await site.isUntouched()
    for (const line of site.server.stderr().split('\n')) expect(line).not.toMatch(/^b|[\u0001\u001b\r]/)
  })
})

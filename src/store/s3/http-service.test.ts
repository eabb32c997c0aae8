import { createHash } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { answer, cut, cutAfter, openScriptedServer, s3Error } from '../../../test/scripted-server.js'
import type { Act, ScriptedServer } from '../../../test/scripted-server.js'
import type { Failure } from '../../core/failure.js'
import { isFailure } from '../../core/failure.js'
import { openS3Service } from './http-service.js'
import { isForbidden } from './service-errors.js'
import type { S3Service } from './service.js'
import { parseS3Url } from './settings.js'

const md5 = (text: string): string => createHash('md5').update(text).digest('hex')
const limits = { pause: 1, silence: 150 }
const modified = 'Sun, 22 Nov 2026 23:00:00 GMT'

let server: ScriptedServer
let service: S3Service

beforeEach(async () => {
  server = await openScriptedServer(answer(200))
  service = await open('')
})
afterEach(async () => {
  await service.close()
  await server.close()
})

function open(options: string, selfTest = false): Promise<S3Service> {
  const location = `s3://bucket/base?endpoint=${server.url.href}&access_key_id=AKIA&secret_access_key=secret${options}`
  return openS3Service({ settings: parseS3Url(location), selfTest, limits })
}

async function failureOf(work: Promise<unknown>): Promise<Failure> {
  try {
    await work
  } catch (error) {
    if (isFailure(error)) return error
    throw error
  }
  throw new Error('nothing failed')
}

const kindOf = async (work: Promise<unknown>): Promise<string> => (await failureOf(work)).kind
const object = (content: string, etag = md5(content)): Readonly<Record<string, string>> => ({
  'content-length': String(content.length),
  etag: `"${etag}"`,
  'last-modified': modified,
})

describe('what the service says', () => {
  it.each([
    // Not `denied`: the caller may do it, this server may not; to log in as somebody else would not help.
    [s3Error(403, 'AccessDenied'), 'unavailable', /does not let this server/],
    [answer(403), 'unavailable', /does not let this server/],
    [answer(401), 'unavailable', /does not let this server/],
    [answer(404, '<html>no such page</html>'), 'unavailable', /refuses/],
    [s3Error(403, 'QuotaExceeded'), 'no-space', /no room/],
    [s3Error(507, 'XMinioStorageFull'), 'no-space', /no room/],
    [answer(507), 'no-space', /no room/],
    [s3Error(404, 'NoSuchBucket'), 'unavailable', /no bucket bucket: make it/],
    [s3Error(400, 'InvalidStorageClass'), 'unavailable', /default_storage_class/],
    [s3Error(403, 'InvalidAccessKeyId'), 'unavailable', /credentials/],
    [s3Error(400, 'EntityTooLarge'), 'too-large', /that large/],
    [s3Error(400, 'MetadataTooLarge'), 'too-large', /too long/],
    [s3Error(400, 'KeyTooLongError'), 'invalid', /too long/],
    [s3Error(501, 'NotImplemented'), 'unsupported', /cannot do this/],
    [s3Error(418, 'Teapot'), 'unavailable', /refuses/],
    [answer(400, '<html>secret</html>'), 'unavailable', /refuses/],
    [s3Error(301, 'PermanentRedirect', { 'x-amz-bucket-region': 'eu-west-1' }), 'unavailable', /set region=eu-west-1/],
    [
      answer(400, '<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-3</Region></Error>'),
      'unavailable',
      /set region=eu-west-3/,
    ],
    [s3Error(301, 'PermanentRedirect', { 'x-amz-bucket-region': '<script>' }), 'unavailable', /settings say\.$/],
  ])('becomes a failure: %#', async (act: Act, kind, message) => {
    server.play(act)
    const failure = await failureOf(service.put('k', [Buffer.from('x')]))
    expect(failure.kind).toBe(kind)
    expect(failure.message).toMatch(message)
    expect(failure.message).not.toMatch(/so|secret|script/)
  })

  it('is not taken for an object where it is none', async () => {
    server.play(answer(200, 'x', { etag: '"x"' }))
    expect(await kindOf(service.get('k'))).toBe('unavailable')
    server.play(answer(200, '', { 'last-modified': modified }))
    expect(await kindOf(service.head('k'))).toBe('unavailable')
    for (const body of ['', 'x', '<a/>', '<ListBucketResult><Contents><Key>k</Key></Contents></ListBucketResult>']) {
      server.play(answer(200, body))
      expect(await kindOf(service.list({})), body).toBe('unavailable')
    }
    server.play(answer(200, '<!DOCTYPE x [<!ENTITY a "b">]><ListBucketResult/>'))
    expect(await kindOf(service.list({}))).toBe('unavailable')
    server.play(answer(200, '<InitiateMultipartUploadResult/>'))
    expect(await kindOf(service.beginUpload('k'))).toBe('unavailable')
  })

  it('names the right that is missing to the log, and not to the client', async () => {
    server.play(s3Error(403, 'AccessDenied'))
    const upload = { key: 'k', id: 'u' }
    const cases: [() => Promise<unknown>, string][] = [
      [() => service.put('k', []), 's3:PutObject'],
      [() => service.get('k'), 's3:GetObject'],
      [() => service.head('k'), 's3:GetObject, and s3:ListBucket'],
      [() => service.list({}), 's3:ListBucket'],
      [() => service.remove('k'), 's3:DeleteObject'],
      [() => service.removeMany(['k']), 's3:DeleteObject'],
      [() => service.copy('a', 'k'), 's3:PutObject and s3:GetObject'],
      [() => service.beginUpload('k'), 's3:PutObject'],
      [() => service.abortUpload(upload), 's3:AbortMultipartUpload'],
      [() => service.listUploads()[Symbol.asyncIterator]().next(), 's3:ListBucketMultipartUploads'],
    ]
    for (const [work, right] of cases) {
      const failure = await failureOf(work())
      expect(failure).toMatchObject({ kind: 'unavailable', retryAfterSeconds: 60 })
      expect(failure.message).not.toContain('s3:')
      expect(String(failure.cause)).toContain(`needs ${right}`)
      expect(isForbidden(failure)).toBe(true)
    }
  })

  it('is no success where a proxy answers in its place', async () => {
    server.play(answer(200, '<html>welcome</html>'))
    expect(await kindOf(service.put('k', [Buffer.from('x')]))).toBe('unavailable')
    expect(await kindOf(service.putPart({ key: 'k', id: 'u' }, 1, [Buffer.from('x')]))).toBe('unavailable')
    server.play(answer(404, '<html>no such page</html>'))
    expect(await kindOf(service.list({}))).toBe('unavailable')
    expect(await kindOf(service.get('k'))).toBe('unavailable')
  })

  it('is not taken for the part of an object where it is another', async () => {
    const other = { ...object('0123'), 'content-range': 'bytes 0-3/10' }
    server.play(answer(206, '0123', other))
    expect(await kindOf(service.get('k', { range: { start: 4, end: 8 } }))).toBe('unavailable')
  })

  it('ends, also where its pages go round', async () => {
    const page =
      '<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken></ListBucketResult>'
    server.play(answer(200, page))
    expect((await service.list({})).token).toBe('t')
    expect(await kindOf(service.list({ token: 't' }))).toBe('unavailable')
    const uploads =
      '<ListMultipartUploadsResult><IsTruncated>true</IsTruncated><NextKeyMarker>k</NextKeyMarker><NextUploadIdMarker>u</NextUploadIdMarker></ListMultipartUploadsResult>'
    server.play(answer(200, uploads))
    const walk = async (): Promise<void> => {
      for await (const found of service.listUploads()) expect(found).toEqual([])
    }
    expect(await kindOf(walk())).toBe('unavailable')
  })

  it('is an error where a success turns out to be one', async () => {
    server.play(s3Error(200, 'AccessDenied'))
    expect(await kindOf(service.copy('a', 'b'))).toBe('unavailable')
    expect(await kindOf(service.completeUpload({ key: 'a', id: 'u' }, []))).toBe('unavailable')
    const from = { key: 'a', etag: md5('a'), range: { start: 0, end: 1 } }
    expect(await kindOf(service.copyPart({ key: 'a', id: 'u' }, 1, from))).toBe('unavailable')
    expect(await kindOf(service.removeMany(['a']))).toBe('unavailable')
  })

  it('may begin with white space, as long work does', async () => {
    const body = '<?xml version="1.0"?><CompleteMultipartUploadResult><ETag>"e"</ETag></CompleteMultipartUploadResult>'
    server.play(answer(200, `${' \n'.repeat(10_000)}${body}`))
    expect((await service.completeUpload({ key: 'a', id: 'u' }, [])).etag).toBe('e')
    server.play(answer(200, `${' \n'.repeat(10_000)}<Error><Code>AccessDenied</Code></Error>`))
    expect(await kindOf(service.completeUpload({ key: 'a', id: 'u' }, []))).toBe('unavailable')
  })

  it('leaves out headers that are no printable ASCII', async () => {
    const headers = { ...object('x'), 'x-amz-meta-a': 'plain', 'x-amz-meta-b': 'Ã¼', server: 'x' }
    server.play(answer(200, '', headers))
    expect(await service.head('k')).toEqual({
      size: 1,
      etag: md5('x'),
      modified: Date.parse(modified),
      headers: { 'x-amz-meta-a': 'plain' },
    })
  })

  it('may be 404 for If-Match of what is gone', async () => {
    server.play(s3Error(404, 'NoSuchKey'))
    expect(await kindOf(service.put('k', [], { condition: { etag: md5('x') } }))).toBe('precondition')
  })
})

describe('a key longer than any can be', () => {
  // 1,000 bytes as a client sends it, twice that in NFD, where others may have left it.
  const long = `${'한'.repeat(80)}/`.repeat(4).normalize('NFD')

  it('is nothing, and nobody is asked', async () => {
    server.play(s3Error(400, 'KeyTooLongError'))
    expect(await service.head(long)).toBeUndefined()
    expect(await service.list({ prefix: long })).toEqual({ objects: [], prefixes: [], token: undefined })
    expect(await kindOf(service.get(long))).toBe('not-found')
    expect(server.taken).toHaveLength(0)
    // The prefix of the settings counts too: `base/`.
    expect(await service.head('k'.repeat(1020))).toBeUndefined()
    expect(server.taken).toHaveLength(0)
    expect(await kindOf(service.put('k'.repeat(1020), []))).toBe('invalid')
  })
})

describe('a write whose first attempt may have been applied', () => {
  const absent = { condition: { absent: true } } as const
  const bytes = [Buffer.from('my'), Buffer.from(' own')]

  it('has succeeded where the object is its own by now', async () => {
    server.play(cut, s3Error(412, 'PreconditionFailed'), answer(200, '', object('my own')))
    expect(await service.put('k', bytes, absent)).toMatchObject({ etag: md5('my own'), modified: Date.parse(modified) })
    expect(server.taken.map(({ method }) => method)).toEqual(['PUT', 'PUT', 'HEAD'])
  })

  it('has failed where it is another, or none, and where the first attempt was refused for certain', async () => {
    server.play(cut, s3Error(412, 'PreconditionFailed'), answer(200, '', object('of others')))
    expect(await kindOf(service.put('k', bytes, absent))).toBe('precondition')
    server.play(cut, s3Error(412, 'PreconditionFailed'), answer(404))
    expect(await kindOf(service.put('k', bytes, absent))).toBe('precondition')
    server.play(s3Error(503, 'SlowDown'), s3Error(412, 'PreconditionFailed'), answer(200, '', object('my own')))
    expect(await kindOf(service.put('k', bytes, absent))).toBe('precondition')
    expect(server.taken).toHaveLength(2)
  })

  it('is judged by its bytes where ETags are no MD5s', async () => {
    for (const [content, kind] of [
      ['my own', undefined],
      ['myself', 'precondition'],
    ] as const) {
      const headers = object(content, 'opaque')
      server.play(cut, s3Error(412, 'PreconditionFailed'), answer(200, '', headers), answer(200, content, headers))
      const written = service.put('k', bytes, absent)
      if (kind === undefined) expect((await written).etag).toBe('opaque')
      else expect(await kindOf(written)).toBe(kind)
      expect(server.taken.map(({ method }) => method)).toEqual(['PUT', 'PUT', 'HEAD', 'GET'])
    }
  })

  it('is judged for copies, removals and what is put together, too', async () => {
    const source = answer(200, '', object('same'))
    server.play(cut, s3Error(412, 'PreconditionFailed'), source, source)
    expect((await service.copy('a', 'b', absent)).etag).toBe(md5('same'))
    server.play(cut, s3Error(412, 'PreconditionFailed'), (response, taken) =>
      answer(200, '', object(taken.target.endsWith('a') ? 'same' : 'other'))(response, taken),
    )
    expect(await kindOf(service.copy('a', 'b', absent))).toBe('precondition')

    server.play(cut, s3Error(412, 'PreconditionFailed'), answer(404))
    await service.remove('a', { ifMatch: md5('x') })
    server.play(cut, s3Error(412, 'PreconditionFailed'), source)
    expect(await kindOf(service.remove('a', { ifMatch: md5('x') }))).toBe('precondition')

    const parts = [{ number: 1, etag: md5('part') }]
    const own =
      createHash('md5')
        .update(Buffer.from(md5('part'), 'hex'))
        .digest('hex') + '-1'
    const upload = { key: 'a', id: 'u' }
    for (const code of ['NoSuchUpload', 'PreconditionFailed']) {
      const refused = s3Error(code === 'NoSuchUpload' ? 404 : 412, code)
      server.play(cut, refused, answer(200, '', object('x', own)))
      expect((await service.completeUpload(upload, parts, absent)).etag).toBe(own)
      server.play(cut, refused, answer(200, '', object('x', `${md5('other')}-1`)))
      expect(await kindOf(service.completeUpload(upload, parts, absent))).toBe(
        code === 'NoSuchUpload' ? 'not-found' : 'precondition',
      )
    }
  })
})

describe('a body that breaks off', () => {
  const content = 'abcdefghij'
  const whole = object(content)
  const part =
    (body: string, announced = body): Act =>
    (response, taken) => {
      const start = Number(/^bytes=(\d+)-/.exec(taken.headers.range ?? '')?.[1])
      const range = `bytes ${start}-${start + announced.length - 1}/${content.length}`
      const headers = { ...whole, 'content-length': String(announced.length), 'content-range': range }
      if (body === announced) answer(206, body, headers)(response, taken)
      else cutAfter(body, announced.length, { status: 206, headers })(response, taken)
    }
  const read = async (range?: { start: number; end: number }): Promise<string> => {
    const { bytes } = await service.get('k', range && { range })
    let text = ''
    for await (const chunk of bytes) text += Buffer.from(chunk).toString()
    return text
  }

  it('goes on where it was, of the same object', async () => {
    server.play(cutAfter('abc', 10, { headers: whole }), part('d', 'defghij'), cut, part('efghij'))
    expect(await read()).toBe(content)
    expect(server.taken.map(({ headers }) => [headers.range, headers['if-match']])).toEqual([
      [undefined, undefined],
      ['bytes=3-9', `"${md5(content)}"`],
      ['bytes=4-9', `"${md5(content)}"`],
      ['bytes=4-9', `"${md5(content)}"`],
    ])
  })

  it('goes on within its range', async () => {
    server.play(part('cd', 'cdefg'), part('efg'))
    expect(await read({ start: 2, end: 7 })).toBe('cdefg')
    expect(server.taken[1]?.headers.range).toBe('bytes=4-6')
  })

  it('is given up where the object is another by now, gone, or breaks off again and again', async () => {
    const first = cutAfter('abc', 10, { headers: whole })
    for (const act of [s3Error(412, 'PreconditionFailed'), s3Error(404, 'NoSuchKey'), part('', 'defghij')]) {
      server.play(first, act)
      const failure = await failureOf(read())
      expect(failure).toMatchObject({ kind: 'unavailable', retryAfterSeconds: 5 })
    }
    expect(server.taken.length).toBeLessThanOrEqual(6)
  })

  it('is given up where the service gives another object, or all of it, for the rest', async () => {
    const first = cutAfter('abc', 10, { headers: whole })
    for (const act of [
      answer(200, content, whole),
      answer(206, 'defghij', { ...object('x'), 'content-range': 'bytes 3-9/10' }),
    ]) {
      server.play(first, act)
      expect(await kindOf(read())).toBe('unavailable')
    }
  })
})

describe('the start', () => {
  it('takes no service that gives other bytes than were written, or forgets what it was told', async () => {
    server.play((response, taken) => {
      const list = '<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>'
      if (taken.target.includes('list-type')) answer(200, list)(response, taken)
      else if (taken.method === 'HEAD') answer(404)(response, taken)
      else if (taken.method === 'PUT') answer(200, '', { etag: md5('x') })(response, taken)
      else if (taken.headers['if-match']?.includes(md5('x')) === false) answer(412)(response, taken)
      else if (taken.method === 'GET') answer(200, 'x', object('x'))(response, taken)
      else answer(204)(response, taken)
    })
    const failure = await failureOf(open('', true))
    expect(failure.message).toMatch(/gives other bytes than were written/)
  })

  it.each([
    ['list', 's3:ListBucket'],
    ['PUT', 's3:PutObject'],
    ['HEAD', 's3:GetObject'],
  ])('says which right it lacks where %s is denied', async (denied, right) => {
    server.play((response, taken) => {
      const isList = taken.target.includes('list-type')
      if (isList ? denied === 'list' : taken.method === denied) s3Error(403, 'AccessDenied')(response, taken)
      else if (isList) answer(200, '<ListBucketResult/>')(response, taken)
      else answer(200, '', object(''))(response, taken)
    })
    const failure = await failureOf(open('', true))
    expect(failure.kind).toBe('unavailable')
    expect(failure.message).toContain(right)
  })

  it('takes a service at its word without a test, and sends nothing', async () => {
    const lines: string[] = []
    const settings = parseS3Url('s3://bucket?region=eu-west-1&server_side_encryption=aws:kms')
    const amazon = await openS3Service({ settings, selfTest: false, log: (line) => lines.push(line) })
    expect(amazon.abilities).toMatchObject({ conditionalPut: true, conditionalRemove: true, etagIsMd5: false })
    expect(lines).toEqual(['s3://bucket?region=eu-west-1 (not tested) judges all conditions; ETags are not MD5s'])
    expect(service.abilities.conditionalPut).toBe(false)
    expect(server.taken).toHaveLength(0)
    await amazon.close()
  })
})

describe('what is written', () => {
  it('carries the storage class and the encryption of the settings, and else neither', async () => {
    server.play(answer(200, '', { etag: '"e"' }))
    await service.put('k', [])
    expect(Object.keys(server.taken[0]?.headers ?? {}).filter((name) => /storage|encryption/.test(name))).toEqual([])
    await service.close()
    service = await open('&default_storage_class=GLACIER_IR&server_side_encryption=aws:kms&aws_sse_kms_key_id=key')
    const upload = '<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>'
    const copied = `<CopyObjectResult><ETag>"e"</ETag><LastModified>2026-11-22T23:00:00.999Z</LastModified></CopyObjectResult>`
    const put = answer(200, '', { etag: '"e"' })
    server.play(put, answer(200, upload), answer(200, copied), put)
    await service.put('k', [])
    await service.beginUpload('k')
    expect((await service.copy('a', 'k')).modified).toBe(Date.parse(modified))
    await service.putPart({ key: 'k', id: 'u' }, 1, [Buffer.from('x')])
    const sent = server.taken.map(({ headers }) => [
      headers['x-amz-storage-class'],
      headers['x-amz-server-side-encryption'],
      headers['x-amz-server-side-encryption-aws-kms-key-id'],
    ])
    const all = ['GLACIER_IR', 'aws:kms', 'key']
    expect(sent).toEqual([all, all, all, [undefined, undefined, undefined]])
  })

  it('goes to the host of the bucket where that is wanted', async () => {
    const settings = parseS3Url('s3://bucket/a?region=eu-west-1&access_key_id=a&secret_access_key=b')
    const amazon = await openS3Service({ settings, selfTest: false })
    const url = await amazon.presign({ method: 'GET', key: 'ü k', expiresSeconds: 300 })
    expect(url.origin + url.pathname).toBe('https://bucket.s3.eu-west-1.amazonaws.com/a/%C3%BC%20k')
    expect(url.searchParams.get('X-Amz-Expires')).toBe('300')
    await amazon.close()
  })

  it('is removed one by one where XML cannot name it', async () => {
    server.play(answer(200, '<DeleteResult/>'), answer(204), s3Error(403, 'AccessDenied'))
    expect(await service.removeMany(['a', 'b\u0001', 'c\r'])).toEqual([{ key: 'c\r', code: 'AccessDenied' }])
    expect(server.taken.map(({ method, target }) => `${method} ${target}`)).toEqual([
      'POST /bucket?delete=',
      'DELETE /bucket/base/b%01',
      'DELETE /bucket/base/c%0D',
    ])
    expect(server.taken[0]?.body.toString()).toContain('<Key>base/a</Key></Object></Delete>')
  })
})

describe('a listing', () => {
  it('says what was not removed, by the names that were asked for', async () => {
    const error = (key: string, code: string): string => `<Error><Key>${key}</Key><Code>${code}</Code></Error>`
    server.play(
      answer(200, `<DeleteResult>${error('base/a', 'AccessDenied')}${error('base/b', 'NoSuchKey')}</DeleteResult>`),
    )
    expect(await service.removeMany(['a', 'b', 'c'])).toEqual([{ key: 'a', code: 'AccessDenied' }])
  })

  it('is decoded where the service has encoded it, and only there', async () => {
    const contents = (key: string): string =>
      `<Contents><Key>${key}</Key><Size>1</Size><ETag>&quot;e&quot;</ETag><LastModified>2026-11-22T23:00:00.999Z</LastModified></Contents>`
    const page = (key: string, encoding: string): Act =>
      answer(200, `<ListBucketResult>${encoding}${contents(key)}</ListBucketResult>`)
    for (const [written, encoding, key] of [
      ['base/a%2Bb+c%25', '<EncodingType>url</EncodingType>', 'a+b c%'],
      ['base/a%2Bb+c%25', '', 'a%2Bb+c%25'],
    ] as const) {
      server.play(page(written, encoding))
      expect((await service.list({})).objects).toEqual([{ key, size: 1, etag: 'e', modified: Date.parse(modified) }])
    }
    server.play(page('base/%zz', '<EncodingType>url</EncodingType>'))
    expect(await kindOf(service.list({}))).toBe('unavailable')
    server.play(answer(200, `<ListBucketResult>${contents('elsewhere/a')}${contents('base/')}</ListBucketResult>`))
    expect((await service.list({})).objects).toEqual([])
  })
})

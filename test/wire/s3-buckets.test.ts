import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { childElements, parseXml, textOf } from '../../src/core/xml.js'
import type { XmlElement } from '../../src/core/xml.js'
import { eventually, startServer } from '../harness.js'
import type { Server } from '../harness.js'
import type { Answer } from '../raw-http.js'
import { presignedRequest, signedRequest } from '../s3-signer.js'
import type { S3Key } from '../s3-signer.js'

async function keyOf(server: Server, name: string, ...grants: readonly string[]): Promise<S3Key> {
  const flags = grants.flatMap((grant) => ['--grant', grant])
  const done = await server.cli(['s3-key', 'issue', name, ...flags, '--json'])
  expect(done.code, done.stderr).toBe(0)
  const { accessKeyId, secretAccessKey } = JSON.parse(done.stdout) as Record<string, string>
  server.useSecret(secretAccessKey ?? '')
  return { id: accessKeyId ?? '', secret: secretAccessKey ?? '' }
}

interface Asked {
  readonly query?: Readonly<Record<string, string>>
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
}

function ask(server: Server, key: S3Key, method: string, path: string, asked: Asked = {}): Promise<Answer> {
  const { query = {}, ...more } = asked
  const host = `127.0.0.1:${server.port}`
  const sent = signedRequest({ key, method, path, host, query: Object.entries(query), ...more })
  return server.request(sent.method, sent.target, { headers: sent.headers, body: sent.body, as: null })
}

function texts(answer: Answer, ...names: readonly string[]): readonly string[] {
  let found: readonly XmlElement[] = [parseXml(answer.body)]
  for (const name of names) found = found.flatMap((each) => childElements(each).filter((child) => child.name === name))
  return found.map(textOf)
}

function codeOf(answer: Answer): readonly [number, string | undefined] {
  return [answer.status, texts(answer, 'Code')[0]]
}

const v2 = { 'list-type': '2' }

describe('buckets and listings, by the real program', () => {
  it('are not for those who have not signed, or signed something else', async () => {
    await using server = await startServer({ config: 's3: { hosts: [s3.example.org] }\n' })
    await mkdir(join(server.root, 'photos'))
    const key = await keyOf(server, 'backup', 'rw:/**')
    const headers = { host: 's3.example.org' }
    for (const target of ['/', '/photos', '/photos?list-type=2', '/missing', '/photos?cors', '/photos?versions']) {
      const answer = await server.request('GET', target, { headers, as: null })
      expect([target, ...codeOf(answer)]).toEqual([target, 403, 'AccessDenied'])
    }
    for (const [method, target] of [
      ['PUT', '/mine'],
      ['DELETE', '/photos'],
      ['PUT', '/photos?cors'],
      ['DELETE', '/photos?cors'],
    ] as const)
      expect((await server.request(method, target, { headers, as: null })).status).toBe(403)
    const host = `127.0.0.1:${server.port}`
    const wrong = signedRequest({ key: { ...key, secret: 'wrong' }, path: '/photos', host, query: Object.entries(v2) })
    expect(codeOf(await server.request('GET', wrong.target, { headers: wrong.headers, as: null }))).toEqual([
      403,
      'SignatureDoesNotMatch',
    ])
    const right = signedRequest({ key, path: '/photos', host, query: Object.entries(v2) })
    const other = right.target.replace('list-type=2', 'list-type=2&prefix=a')
    expect(codeOf(await server.request('GET', other, { headers: right.headers, as: null }))).toEqual([
      403,
      'SignatureDoesNotMatch',
    ])
    expect((await ask(server, key, 'GET', '/photos', { query: v2 })).status).toBe(200)
  })

  it('take no configuration whose bytes are others than those signed', async () => {
    await using server = await startServer()
    const key = await keyOf(server, 'backup', 'rw:/**')
    expect((await ask(server, key, 'PUT', '/photos')).status).toBe(200)
    const host = `127.0.0.1:${server.port}`
    const rules = corsOf('https://app.example')
    const sent = signedRequest({ key, method: 'PUT', path: '/photos', host, query: [['cors', '']], body: rules })
    const body = rules.replace('app', 'bad')
    expect(codeOf(await server.request('PUT', sent.target, { headers: sent.headers, body, as: null }))).toEqual([
      400,
      'XAmzContentSHA256Mismatch',
    ])
    const made = signedRequest({ key, method: 'PUT', path: '/more', host, body: '<CreateBucketConfiguration/>' })
    const answer = await server.request('PUT', made.target, {
      headers: made.headers,
      body: '<CreateBucketConfigurationx/>'.slice(0, made.body.length),
      as: null,
    })
    expect(answer.status).toBe(400)
    expect(codeOf(await ask(server, key, 'GET', '/photos', { query: { cors: '' } }))).toEqual([
      404,
      'NoSuchCORSConfiguration',
    ])
    expect(texts(await ask(server, key, 'GET', '/'), 'Buckets', 'Bucket', 'Name')).toEqual(['photos'])
  })

  it('are made, listed and removed, and are the folders that WebDAV sees', async () => {
    await using server = await startServer()
    const key = await keyOf(server, 'backup', 'rw:/**')
    const admin = { as: ['admin', server.adminPassword] as const }
    expect((await ask(server, key, 'PUT', '/photos', { headers: { 'x-amz-acl': 'private' } })).status).toBe(200)
    expect(codeOf(await ask(server, key, 'PUT', '/photos'))).toEqual([409, 'BucketAlreadyOwnedByYou'])
    expect((await server.request('PROPFIND', '/photos/', { ...admin, headers: { Depth: '0' } })).status).toBe(207)
    expect((await server.request('MKCOL', '/photos/trip', admin)).status).toBe(201)
    expect((await server.request('MKCOL', '/photos/empty', admin)).status).toBe(201)
    expect((await server.request('PUT', '/photos/trip/1.jpg', { ...admin, body: 'jpeg' })).status).toBe(201)
    const top = await ask(server, key, 'GET', '/photos', { query: { ...v2, delimiter: '/' } })
    expect(texts(top, 'CommonPrefixes', 'Prefix')).toEqual(['empty/', 'trip/'])
    const all = await ask(server, key, 'GET', '/photos', { query: v2 })
    expect([texts(all, 'Contents', 'Key'), texts(all, 'Contents', 'Size')]).toEqual([['trip/1.jpg'], ['4']])
    expect(all.header('x-amz-request-id')).not.toBe('')
    expect((await ask(server, key, 'HEAD', '/photos')).header('x-amz-bucket-region')).toBe('us-east-1')
    expect(codeOf(await ask(server, key, 'DELETE', '/photos'))).toEqual([409, 'BucketNotEmpty'])
    expect((await server.request('DELETE', '/photos/trip/1.jpg', admin)).status).toBe(204)
    expect((await ask(server, key, 'DELETE', '/photos')).status).toBe(204)
    expect((await server.request('GET', '/photos/', admin)).status).toBe(404)
    for (const method of ['HEAD', 'GET', 'DELETE']) expect((await ask(server, key, method, '/photos')).status).toBe(404)
  })

  it('come in pages that a restart does not disturb, with the ETags and markers that S3 has given', async () => {
    await using server = await startServer()
    const key = await keyOf(server, 'backup', 'rw:/**')
    await ask(server, key, 'PUT', '/data')
    const names = ['a', 'a-/x', 'a.', 'a/', 'a0', 'b/c/d', 'é', '～', '😀']
    for (const name of names.slice(1))
      expect((await ask(server, key, 'PUT', `/data/${name}`, name.endsWith('/') ? {} : { body: 'x' })).status).toBe(200)
    const found: string[] = []
    let token: string | undefined
    do {
      const more: Readonly<Record<string, string>> = token === undefined ? {} : { 'continuation-token': token }
      const page = await ask(server, key, 'GET', '/data', { query: { ...v2, 'max-keys': '3', ...more } })
      found.push(...texts(page, 'Contents', 'Key'))
      token = texts(page, 'NextContinuationToken')[0]
      if (found.length !== 3) continue
      await server.stop()
      await server.restart()
    } while (token !== undefined)
    expect(found).toEqual(names.slice(1))
    const listed = await ask(server, key, 'GET', '/data', { query: { versions: '', prefix: 'a' } })
    expect(texts(listed, 'Version', 'Key')).toEqual(['a-/x', 'a.', 'a/', 'a0'])
    expect(texts(listed, 'Version', 'ETag')).toEqual([
      '"9dd4e461268c8034f5c8564e155c67a6"',
      '"9dd4e461268c8034f5c8564e155c67a6"',
      '"d41d8cd98f00b204e9800998ecf8427e"',
      '"9dd4e461268c8034f5c8564e155c67a6"',
    ])
  })

  it('show a caller what its grants lead to, in its home where it has one', async () => {
    await using server = await startServer({
      config: JSON.stringify({ identity: [{ catalog: { home: '/home/{user}' } }] }),
    })
    await server.addUser('ann', 'rw:/home/{user}/**')
    for (const path of ['home/ann/photos', 'home/bob/secret', 'top'])
      await mkdir(join(server.root, path), { recursive: true })
    await writeFile(join(server.root, 'home/ann/photos/1.jpg'), 'x')
    const ann = await keyOf(server, 'ann', 'rw:/home/ann/**')
    expect(texts(await ask(server, ann, 'GET', '/'), 'Buckets', 'Bucket', 'Name')).toEqual(['photos'])
    expect(texts(await ask(server, ann, 'GET', '/photos'), 'Contents', 'Key')).toEqual(['1.jpg'])
    for (const bucket of ['top', 'home', 'secret'])
      expect((await ask(server, ann, 'GET', `/${bucket}`)).status).toBe(404)
    expect((await ask(server, ann, 'PUT', '/docs')).status).toBe(200)
    await writeFile(join(server.root, 'home/ann/docs/a'), 'x')
    expect(texts(await ask(server, ann, 'GET', '/docs'), 'Contents', 'Key')).toEqual(['a'])
  })

  it('are for anybody where a grant says so', async () => {
    await using server = await startServer({
      config: 's3: { hosts: [s3.example.org] }\nanonymous: { grants: ["r:/open/**"] }\n',
    })
    for (const path of ['open/a', 'closed/a']) await mkdir(join(server.root, path), { recursive: true })
    await writeFile(join(server.root, 'open/a/1'), 'x')
    const list = (target: string): Promise<Answer> =>
      server.request('GET', target, { headers: { host: 's3.example.org' }, as: null })
    expect(texts(await list('/open?list-type=2'), 'Contents', 'Key')).toEqual(['a/1'])
    expect(texts(await list('/'), 'Buckets', 'Bucket', 'Name')).toEqual(['open'])
    for (const target of ['/closed', '/missing']) expect((await list(target)).status).toBe(403)
  })
})

describe('pages of other origins, by the real program', () => {
  const origin = 'https://app.example'

  it('come in by the rules of the bucket, on the S3 surface alone', async () => {
    await using server = await startServer({ config: 'cors: { origins: ["https://everywhere.example"] }\n' })
    const key = await keyOf(server, 'backup', 'rw:/**')
    const admin = { as: ['admin', server.adminPassword] as const }
    await ask(server, key, 'PUT', '/photos')
    await ask(server, key, 'PUT', '/plain')
    expect((await ask(server, key, 'PUT', '/photos', { query: { cors: '' }, body: corsOf(origin) })).status).toBe(200)

    const host = `127.0.0.1:${server.port}`
    const preflight = (target: string, from: string, headers: string): Promise<Answer> =>
      server.request('OPTIONS', target, {
        headers: {
          origin: from,
          'access-control-request-method': 'PUT',
          'access-control-request-headers': headers,
        },
        as: null,
      })
    const signing = 'authorization,x-amz-content-sha256,x-amz-date'
    await eventually('the rules count', async () => (await preflight('/photos/k', origin, signing)).status === 200)
    for (const [target, from] of [
      ['/photos/k', 'https://evil.example'],
      ['/plain/k', origin],
      ['/missing/k', origin],
      ['/', origin],
    ] as const) {
      const refused = await preflight(target, from, signing)
      expect([refused.status, refused.headers.get('access-control-allow-origin')]).toEqual([403, undefined])
    }
    // Without a sign that it is for S3 it is not, and the bucket has no say.
    const dav = await preflight('/photos/k', origin, 'content-type')
    expect(dav.headers.get('access-control-allow-origin')).toBeUndefined()
    const davAnswer = await server.request('GET', '/photos/', { ...admin, headers: { origin } })
    expect(davAnswer.headers.get('access-control-allow-origin')).toBeUndefined()
    const forged = await server.request('PUT', '/photos/k', { ...admin, headers: { origin }, body: 'x' })
    expect(forged.status).toBe(403)

    const allowed = await preflight('/photos/k', origin, signing)
    expect([allowed.status, allowed.headers.get('access-control-allow-origin')]).toEqual([200, [origin]])
    expect(allowed.header('access-control-allow-headers')).toBe('authorization, x-amz-content-sha256, x-amz-date')
    expect(allowed.header('access-control-max-age')).toBe('30')
    const signedUrl = presignedRequest({ key, method: 'PUT', path: '/photos/k', host })
    expect((await preflight(signedUrl.target, origin, 'content-type')).status).toBe(200)

    const put = await ask(server, key, 'PUT', '/photos/k', { headers: { origin }, body: 'x' })
    expect([put.status, put.headers.get('access-control-allow-origin')]).toEqual([200, [origin]])
    expect(put.header('access-control-expose-headers')).toBe('ETag')
    const missing = await ask(server, key, 'GET', '/photos/none', { headers: { origin } })
    expect([missing.status, missing.headers.get('access-control-allow-origin')]).toEqual([404, [origin]])
    const denied = await server.request('GET', signedUrl.target, { headers: { origin }, as: null })
    expect([denied.status, denied.headers.get('access-control-allow-origin')]).toEqual([403, [origin]])
    const quiet = await ask(server, key, 'GET', '/photos/k')
    expect(quiet.headers.get('access-control-allow-origin')).toBeUndefined()

    // Who may come in everywhere may do so here.
    const everywhere = await ask(server, key, 'GET', '/photos/k', { headers: { origin: 'https://everywhere.example' } })
    expect(everywhere.headers.get('access-control-allow-origin')).toEqual(['https://everywhere.example'])
    expect((await preflight('/plain/k', 'https://everywhere.example', signing)).status).toBe(204)

    expect((await ask(server, key, 'DELETE', '/photos', { query: { cors: '' } })).status).toBe(204)
    expect((await ask(server, key, 'GET', '/photos', { query: { cors: '' } })).status).toBe(404)
  })
})

function corsOf(origin: string): string {
  return `<CORSConfiguration><CORSRule><AllowedOrigin>${origin}</AllowedOrigin><AllowedMethod>GET</AllowedMethod><AllowedMethod>PUT</AllowedMethod><AllowedHeader>*</AllowedHeader><ExposeHeader>ETag</ExposeHeader><MaxAgeSeconds>30</MaxAgeSeconds></CORSRule></CORSConfiguration>`
}

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { signedPolicy } from '../s3-signer.js'
import { old, Target } from './s3-attack.js'

/** A form by hand, whose fields may come twice. */
function form(fields: readonly (readonly [name: string, value: string])[], file = 'mine'): Buffer {
  const parts = fields.map(([name, value]) => `--edge\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`) // prettier-ignore
  return Buffer.from(
    `${parts.join('')}--edge\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n${file}\r\n--edge--\r\n`,
  )
}

describe('where nothing but S3 is spoken', () => {
  let alone: Target

  beforeAll(async () => {
    alone = await Target.open('listen: [{ at: "127.0.0.1:0", surfaces: [s3] }]\n')
  })

  afterAll(async () => {
    await alone.server[Symbol.asyncDispose]()
  })

  const post = (target: string, body: Buffer) => {
    const headers = { host: alone.host, 'content-type': 'multipart/form-data; boundary=edge' }
    return alone.refused({ method: 'POST', target, headers, body })
  }

  function fieldsOf(key: string, name: keyof Target['keys'] = 'owner', ...more: readonly unknown[]) {
    const time = Date.now()
    const conditions = [{ bucket: 'b' }, ['starts-with', '$key', key], ['starts-with', '$x-amz-credential', ''], ['starts-with', '$x-amz-date', ''], { 'x-amz-algorithm': 'AWS4-HMAC-SHA256' }, ...more] // prettier-ignore
    const policy = { expiration: new Date(time + 60_000).toISOString(), conditions }
    return Object.entries({ key, ...signedPolicy(alone.keys[name], policy, time) })
  }

  it('a form does what its policy says and nothing else', async () => {
    const good = fieldsOf('new')
    expect(await post('/c', form(good))).toBe('403 AccessDenied')
    for (const query of ['uploads', 'delete', 'cors', 'uploadId=x', 'x-id=PutObject'])
      expect(await post(`/b?${query}`, form(good))).toBe('400 InvalidRequest')
    expect(await post('/b/new', form(good))).toMatch(/^40[0-5] /)
    expect(await post('/', form(good))).toBe('405 MethodNotAllowed')
    expect(await post('/b', form([...good, ['key', 'old']]))).toBe('400 InvalidArgument')
    expect(await post('/b', form([...good, ['KEY', 'old']]))).toBe('400 InvalidArgument')
    for (const [name, value] of [
      ['acl', 'public-read'],
      ['x-amz-meta-a', 'b'],
      ['content-type', 'text/html'],
      ['bucket', 'c'],
      ['x-amz-storage-class', 'STANDARD'],
    ] as const)
      // prettier-ignore
      expect([name, await post('/b', form([...good, [name, value]]))]).toEqual([name, '403 AccessDenied'])
    const moved = good.map(([name, value]) => [name, name === 'key' ? 'old' : value] as const)
    expect(await post('/b', form(moved))).toBe('403 AccessDenied')
    for (const key of ['../c/new', 'x/../../c/new', '/new', 'a//b', 'a\0b'])
      expect([key, await post('/b', form(fieldsOf(key)))]).toEqual([key, '400 InvalidArgument'])
    expect(await post('/b', form(fieldsOf('.postern-parts/x')))).toBe('403 AccessDenied')
    expect(await post('/b', form(fieldsOf('new', 'owner', ['content-length-range', 0, 3])))).toBe('400 EntityTooLarge')
    expect(await post('/b', form(fieldsOf('old', 'dropper')))).toBe('403 AccessDenied')
    expect(await post('/b', form(fieldsOf('new', 'reader')))).toBe('403 AccessDenied')
    expect(await post('/b', form([['key', 'new']]))).toBe('403 AccessDenied')
    const split = [...fieldsOf('new', 'owner', ['starts-with', '$x-amz-meta-a', '']), ['x-amz-meta-a', 'a\r\nSet-Cookie: b'] as const] // prettier-ignore
    expect(await post('/b', form(split))).toBe('400 InvalidArgument')
  })

  it('whoever is not known is nobody, whatever login they have elsewhere', async () => {
    const ask = (method: string, target: string, headers: Readonly<Record<string, string>> = {}) =>
      alone.refused({ method, target, headers: { host: alone.host, ...headers }, body: Buffer.alloc(0) })
    for (const [method, target] of [
      ['GET', '/'],
      ['GET', '/b'],
      ['GET', '/b/old'],
      ['PUT', '/b/new'],
      ['DELETE', '/b/old'],
      ['POST', '/b?delete'],
      ['POST', '/b/old?uploads'],
    ] as const)
      // prettier-ignore
      expect([method, target, await ask(method, target)]).toEqual([method, target, '403 AccessDenied'])
    const login = Buffer.from(`admin:${alone.server.adminPassword}`).toString('base64')
    expect(await ask('GET', '/b/old', { authorization: `Basic ${login}` })).toBe('400 InvalidRequest')
    expect(await ask('PROPFIND', '/b/', { authorization: `Basic ${login}` })).toBe('400 InvalidRequest')
    for (const target of ['/-/users', '/-/users/api', '/-/metrics', '/-/', '/-', '/-/principals'])
      expect([target, await ask('GET', target)]).toEqual([target, expect.stringMatching(/^40[34] /)])
  })
})

it('a page of another origin reaches none of our own pages by making its request look signed', async () => {
  await using open = await Target.open()
  for (const target of [
    '/-/users/api/realm/r/user/u',
    '/-/users/api/realm/r/user/u?X-Amz-Signature=x',
    '/-?X-Amz-Algorithm=x',
  ]) {
    // prettier-ignore
    const headers = { host: open.host, origin: 'https://elsewhere.example', 'content-type': 'text/plain' }
    const answer = await open.send({ method: 'POST', target, headers, body: Buffer.from('{}') })
    expect([target, answer.status]).toEqual([target, 403])
  }
})

it('callers without any signature may do what the configuration grants them, and nothing more', async () => {
  await using open = await Target.open(
    'listen: [{ at: "127.0.0.1:0", surfaces: [s3] }]\nanonymous: { grants: ["r:/b/**"] }\n',
  )
  const headers = { host: open.host }
  const got = await open.send({ method: 'GET', target: '/b/old', headers, body: Buffer.alloc(0) })
  expect([got.status, got.text]).toEqual([200, old])
  for (const [method, target] of [['PUT', '/b/old'], ['PUT', '/b/new'], ['DELETE', '/b/old'], ['GET', '/c/secret'], ['GET', '/c'], ['POST', '/b/old?uploads'], ['DELETE', '/b?cors'], ['DELETE', '/b/old?tagging']] as const) // prettier-ignore
      expect([method, target, await open.refused({ method, target, headers, body: Buffer.alloc(0) })]).toEqual([method, target, '403 AccessDenied']) // prettier-ignore
  const copy = { ...headers, 'x-amz-copy-source': '/c/secret' }
  expect(await open.refused({ method: 'PUT', target: '/b/new', headers: copy, body: Buffer.alloc(0) })).toBe('403 AccessDenied') // prettier-ignore
  const overridden = '/b/old?response-content-type=text/html'
  expect(await open.refused({ method: 'GET', target: overridden, headers, body: Buffer.alloc(0) })).toBe('400 InvalidRequest') // prettier-ignore
  const half = '/b/old?X-Amz-Algorithm=AWS4-HMAC-SHA256'
  expect(await open.refused({ method: 'GET', target: half, headers, body: Buffer.alloc(0) })).toBe('400 AuthorizationQueryParametersError') // prettier-ignore
})

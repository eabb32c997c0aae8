import { describe, expect, it } from 'vitest'
import type { Identity } from '../../auth/identity.js'
import { Failure } from '../../core/failure.js'
import type { HttpRequest } from '../../core/http.js'
import { createGuardPage } from './guard-page.js'

const alice: Identity = {
  name: 'alice',
  source: 'catalog',
  grants: ['r:/public/**', 'rw:/alice/**', 'create:/inbox/**'],
}

type Headers = Readonly<Record<string, string | readonly string[]>>

const nginx = (method: string, uri: string): Headers => ({ 'x-original-method': method, 'x-original-uri': uri })
const caddy = (method: string, uri: string): Headers => ({ 'x-forwarded-method': method, 'x-forwarded-uri': uri })

function request(
  headers: Headers,
  more: { readonly method?: string; readonly target?: string; readonly trusted?: boolean } = {},
): HttpRequest {
  return {
    method: more.method ?? 'GET',
    target: more.target ?? '/-/auth',
    headers: new Map(
      Object.entries(headers).map(([name, value]) => [name, typeof value === 'string' ? [value] : value]),
    ),
    body: (async function* () {})(),
    listener: 'main',
    origin: { scheme: 'http', authority: 'localhost' },
    peer: more.trusted === false ? { address: '192.0.2.1' } : { address: '192.0.2.1', trusted: true },
    signal: new AbortController().signal,
  }
}

async function ask(asked: HttpRequest, identity = alice, basePath = '') {
  const seen: HttpRequest[] = []
  const page = createGuardPage({
    authenticate: async (one) => {
      seen.push(one)
      return identity
    },
    basePath,
  })
  const outcome = await page(asked).then(
    ({ status, headers }) => ({ status, headers: Object.fromEntries(headers) }),
    (error: unknown) => {
      if (error instanceof Failure) return { status: error.kind, headers: {} }
      throw error
    },
  )
  return { ...outcome, seen }
}

const statusOf = async (headers: Headers, identity = alice): Promise<number | string> =>
  (await ask(request(headers), identity)).status

describe('who may ask', () => {
  it('nobody but a trusted proxy, whatever it says and shows', async () => {
    const asked = await ask(
      request({ ...nginx('GET', '/public/a'), 'x-forwarded-for': '127.0.0.1' }, { trusted: false }),
    )
    expect([asked.status, asked.seen]).toEqual(['denied', []])
  })

  it.each(['POST', 'PUT', 'DELETE', 'PROPFIND', 'OPTIONS'])('nobody by %s', async (method) => {
    expect((await ask(request(nginx('GET', '/public/a'), { method }))).status).toBe(405)
  })
})

describe('what is asked about', () => {
  it.each<[string, Headers]>([
    ['nothing', {}],
    ['no method', { 'x-original-uri': '/public/a' }],
    ['no path', { 'x-original-method': 'GET' }],
    ['an empty path', nginx('GET', '')],
    ['the method of another family', { 'x-original-uri': '/public/a', 'x-forwarded-method': 'GET' }],
    ['two paths', { ...nginx('GET', '/alice/a'), 'x-original-uri': ['/alice/a', '/public/a'] }],
    ['two methods', { ...nginx('GET', '/alice/a'), 'x-original-method': ['PUT', 'GET'] }],
    ['families that differ in the path', { ...nginx('GET', '/public/a'), ...caddy('GET', '/alice/a') }],
    ['families that differ in the method', { ...nginx('GET', '/alice/a'), ...caddy('PUT', '/alice/a') }],
    ['a method that the client adds', { ...caddy('PUT', '/alice/a'), 'x-original-method': 'GET' }],
    ['a path that the client adds', { ...nginx('GET', '/secret'), 'x-forwarded-uri': '/public/a' }],
  ])('%s is nothing to go by', async (_, headers) => {
    const asked = await ask(request(headers))
    expect([asked.status, asked.seen]).toEqual(['invalid', []])
  })

  it.each([
    '?prefix=/-/x',
    '?prefix=relative',
    '?prefix=/a&prefix=/b',
    '?prefix=/../a',
    '?prefix=/a%2f..%2fb',
    '?path=/a',
    '?Prefix=/a',
  ])('what is added as %s is refused', async (query) => {
    expect((await ask(request(nginx('GET', '/public/a'), { target: `/-/auth${query}` }))).status).toBe('invalid')
  })

  it('is the same from both families, and headers that only look alike count for nothing', async () => {
    expect(await statusOf({ ...nginx('GET', '/public/a'), ...caddy('GET', '/public/a') })).toBe(200)
    expect(await statusOf({ x_original_uri: '/public/a', x_original_method: 'GET' })).toBe('invalid')
    expect(
      await statusOf({ ...nginx('GET', '/secret'), 'x-rewrite-url': '/public/a', 'x-original-url': '/public/a' }),
    ).toBe('denied')
  })
})

describe('paths that are nobody’s right', () => {
  it.each([
    '/public/../alice/a',
    '/public/%2e%2e/secret',
    '/public/.%2e/secret',
    '/public/..%2fsecret',
    '/public%2fa',
    '/public/%5c..%5csecret',
    '/public/..\\secret',
    '/public/..;/secret',
    '/public/.;x=1/secret',
    '/public/%252e%252e/secret',
    '/public/%252fsecret',
    '/public/%00',
    '/public/%ff',
    '/public/./a',
    '/public/a#b',
    'public/a',
    'http://other/public/a',
    '/public-other/a',
    '/Public/a',
    '/-/users',
    '/%2d/users',
    '//-/users',
    '/',
    `/public/${'a'.repeat(5000)}`,
  ])('%s', async (uri) => {
    for (const family of [nginx, caddy]) expect(await statusOf(family('GET', uri))).toBe('denied')
  })

  it.each([
    '/public',
    '/public/',
    '/public/a',
    '//public//a',
    '/public/a?x=/../..',
    '/%70ublic/a',
    '/public/a%20b',
    '/public/..a',
    '/public/100%25',
  ])('but %s is', async (uri) => {
    for (const family of [nginx, caddy]) expect(await statusOf(family('GET', uri))).toBe(200)
  })
})

describe('methods', () => {
  it.each([
    ['GET', '/public/a', true],
    ['HEAD', '/public/a', true],
    ['OPTIONS', '/public/a', true],
    ['PROPFIND', '/public/a', true],
    ['REPORT', '/public/a', true],
    ['PUT', '/public/a', false],
    ['POST', '/public/a', false],
    ['DELETE', '/public/a', false],
    ['PATCH', '/public/a', false],
    ['MKCOL', '/public/a', false],
    ['PROPPATCH', '/public/a', false],
    ['LOCK', '/public/a', false],
    ['UNLOCK', '/public/a', false],
    ['PUT', '/alice/a', true],
    ['DELETE', '/alice/a', true],
    ['POST', '/inbox/a', true],
    ['PUT', '/inbox/a', false],
    ['GET', '/inbox/a', false],
    ['get', '/public/a', false],
    ['TRACE', '/public/a', false],
    ['CONNECT', '/public/a', false],
    ['BREW', '/alice/a', false],
    ['COPY', '/alice/a', false],
    ['MOVE', '/alice/a', false],
  ] as const)('%s %s: %s', async (method, uri, allowed) => {
    expect(await statusOf(nginx(method, uri))).toBe(allowed ? 200 : 'denied')
  })

  it.each([
    ['COPY', '/public/a', '/alice/a', true],
    ['COPY', '/public/a', 'https://other.example.org/alice/a', true],
    ['COPY', '/public/a', '/public/b', false],
    ['COPY', '/public/a', '/inbox/b', false],
    ['COPY', '/alice/a', '/alice/../secret', false],
    ['COPY', '/secret', '/alice/a', false],
    ['MOVE', '/alice/a', '/alice/b', true],
    ['MOVE', '/public/a', '/alice/a', false],
    ['MOVE', '/alice/a', '/public/a', false],
    ['MOVE', '/alice/a', 'http://h/-/x', false],
  ])('%s %s to %s: %s', async (method, uri, destination, allowed) => {
    expect(await statusOf({ ...nginx(method, uri), destination })).toBe(allowed ? 200 : 'denied')
  })

  it('need all rights that they could come to: whether something is there, another service knows', async () => {
    const only = (grant: string): Identity => ({ ...alice, grants: [grant] })
    expect(await statusOf(nginx('GET', '/a/b'), only('read:/a/**'))).toBe('denied')
    expect(await statusOf(nginx('GET', '/a/b'), only('list:/a/**'))).toBe('denied')
    expect(await statusOf(nginx('PUT', '/a/b'), only('replace:/a/**'))).toBe('denied')
    expect(await statusOf(nginx('PUT', '/a/b'), only('create,replace:/a/**'))).toBe(200)
  })
})

describe('a prefix', () => {
  const page = { target: '/-/auth?prefix=/public/app' }
  it.each([
    ['/a', 200],
    ['/', 200],
    ['/-/a', 200],
    ['/../../alice/a', 'denied'],
    ['/%2e%2e/%2e%2e/alice/a', 'denied'],
  ])('stands before the path: %s is %s', async (uri, status) => {
    expect((await ask(request(nginx('GET', uri), page))).status).toBe(status)
  })

  it('stands before the destination too', async () => {
    const target = '/-/auth?prefix=/alice'
    const asked = request({ ...nginx('MOVE', '/a'), destination: 'http://h/b' }, { target })
    const { status, seen } = await ask(asked)
    expect([status, seen[0]?.target, seen[0]?.headers.get('destination')]).toEqual([200, '/alice/a', ['/alice/b']])
    const outside = request({ ...nginx('MOVE', '/a'), destination: '/../public/b' }, { target })
    expect((await ask(outside)).status).toBe('denied')
  })
})

describe('what sources judge', () => {
  it('is the request that is asked about, with the credential and the address of its client', async () => {
    const { seen } = await ask(request({ ...caddy('PUT', '/alice//%61?x'), authorization: 'Basic x' }), alice, '/files')
    expect(seen[0]).toMatchObject({ method: 'PUT', target: '/files/alice/a', peer: { address: '192.0.2.1' } })
    expect(seen[0]?.headers.get('authorization')).toEqual(['Basic x'])
  })
})

describe('what is told', () => {
  const told = async (identity: Identity) => (await ask(request(nginx('GET', '/public/a')), identity)).headers
  const plain = {
    'Remote-User': 'alice',
    'Remote-Groups': '',
    'Remote-Source': 'catalog',
    'Cache-Control': 'no-store',
  }

  it('is who it is and in which groups', async () => {
    expect(await told(alice)).toEqual(plain)
    expect(await told({ ...alice, groups: ['staff', 'editors'] })).toEqual({
      ...plain,
      'Remote-Groups': 'staff,editors',
    })
    expect(await told({ ...alice, name: 'jörg' })).toMatchObject({
      'Remote-User': Buffer.from('jörg').toString('latin1'),
    })
  })

  it('no group that would be two, or break a line', async () => {
    expect(await told({ ...alice, groups: ['a,admin', 'b\r\nX: y', ' ', 'c'] })).toEqual({
      ...plain,
      'Remote-Groups': 'c',
    })
  })

  it.each(['alice\r\nRemote-Groups: admin', 'alice\0', ' admin', 'admin ', ''])('nobody is called %j', async (name) => {
    expect(await statusOf(nginx('GET', '/public/a'), { ...alice, name })).toBe('denied')
  })

  it('nothing of callers without a login, who are asked for one where their grants end', async () => {
    const anonymous: Identity = { name: 'anonymous', source: 'anonymous', grants: ['r:/public/**'] }
    expect(await told(anonymous)).toEqual({ ...plain, 'Remote-User': '', 'Remote-Source': '' })
    expect(await statusOf(nginx('GET', '/alice/a'), anonymous)).toBe('unauthenticated')
    expect(await statusOf(nginx('PUT', '/public/a'), anonymous)).toBe('unauthenticated')
  })
})

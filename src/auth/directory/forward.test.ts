import { createServer } from 'node:http'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Socket } from 'node:net'
import type { ServerResponse } from 'node:http'
import fc from 'fast-check'
import { afterEach, describe, expect, it } from 'vitest'
import { rawService, toyService } from '../../../test/auth-service.js'
import type { Heard, ToyService } from '../../../test/auth-service.js'
import { ManualClock } from '../../core/clock.js'
import type { Credential, RequestFacts, Verdict } from '../identity.js'
import type { CachedDirectory } from '../cached.js'
import { forwardDirectory } from './forward.js'
import type { ForwardOptions } from './forward.js'
import { isOpenToOthers, isServiceUrl, openAuthService } from './forward-service.js'

const alice: Credential = { kind: 'password', name: 'alice', password: 'right' }
const get = (target: string, more: Partial<RequestFacts> = {}): RequestFacts => ({ method: 'GET', target, ...more })
const clock = new ManualClock()

const endings: (() => unknown)[] = []
afterEach(async () => {
  for (const end of endings.splice(0)) await end()
})

/** A directory before a service that answers like this. */
async function before(
  answer: (heard: Heard, response: ServerResponse) => void,
  more: Partial<ForwardOptions> & { readonly timeoutSeconds?: number } = {},
): Promise<{ directory: CachedDirectory; service: ToyService }> {
  const service = await toyService(answer)
  endings.push(() => service.stop())
  return { directory: directoryAt(service.url, more), service }
}

async function beforeRaw(talk: (socket: Socket) => void, timeoutSeconds = 5): Promise<CachedDirectory> {
  const service = await rawService(talk)
  endings.push(() => service.stop())
  return directoryAt(service.url, { timeoutSeconds })
}

function directoryAt(
  url: string,
  { timeoutSeconds = 5, ...more }: Partial<ForwardOptions> & { readonly timeoutSeconds?: number } = {},
): CachedDirectory {
  const service = openAuthService({ url, timeoutSeconds })
  endings.push(() => service.close())
  return forwardDirectory({
    name: 'forward',
    service,
    clock,
    secret: new Uint8Array(32),
    cacheSeconds: 120,
    basePath: '',
    headers: new Map(),
    nameHeaders: ['remote-user', 'x-auth-request-user'],
    groupHeaders: ['remote-groups'],
    grants: ['rw:/home/{user}/**'],
    groupGrants: new Map([['editors', ['rw:/shared/**']]]),
    ...more,
  })
}

const reply =
  (status: number, headers: Readonly<Record<string, string | string[]>> = {}) =>
  (_heard: Heard, response: ServerResponse) =>
    void response.writeHead(status, headers).end()

function remembered(directory: CachedDirectory, credential: Credential, facts: RequestFacts) {
  return directory.remembered({ key: '', credential, facts })
}

function identityIn(verdict: Verdict) {
  if (verdict.kind !== 'identity') throw new Error(JSON.stringify(verdict))
  return verdict.identity
}

describe('what lets nobody in', () => {
  it.each([100, 199, 204.5, 300, 301, 302, 304, 307, 400, 404, 407, 418, 429, 500, 502, 503, 504, 999])(
    'the status %d is no verdict',
    async (status) => {
      const directory = await beforeRaw((socket) =>
        socket.end(`HTTP/1.1 ${status} x\r\nLocation: /auth?again\r\nContent-Length: 0\r\nRemote-User: alice\r\n\r\n`),
      )
      await expect(directory.check(alice, get('/'))).rejects.toMatchObject({ kind: 'unavailable' })
    },
  )

  it('a redirect is not followed, not even to a yes', async () => {
    const { directory, service } = await before((heard, response) =>
      heard.url === '/yes' ? response.writeHead(200).end() : response.writeHead(302, { location: '/yes' }).end(),
    )
    await expect(directory.check(alice, get('/'))).rejects.toMatchObject({ kind: 'unavailable' })
    expect(service.heard).toHaveLength(1)
  })

  it.each([
    ['nothing', ''],
    ['no HTTP', 'SSH-2.0-OpenSSH_9.2\r\n'],
    ['half a head', 'HTTP/1.1 200 OK\r\nRemote-User: al'],
    ['two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\n'],
    ['a length and chunks', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
    ['a NUL in a name', 'HTTP/1.1 200 OK\r\nRemote-User: al\0ice\r\n\r\n'],
    ['another protocol', 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n'],
    ['headers without end', `HTTP/1.1 200 OK\r\n${'X-Filler: 0123456789\r\n'.repeat(2000)}\r\n`],
    ['a long header', `HTTP/1.1 200 OK\r\nRemote-User: ${'a'.repeat(20_000)}\r\n\r\n`],
    ['two names', 'HTTP/1.1 200 OK\r\nRemote-User: alice\r\nRemote-User: admin\r\n\r\n'],
    ['two lists of groups', 'HTTP/1.1 200 OK\r\nRemote-Groups: a\r\nRemote-Groups: b\r\n\r\n'],
    ['a name with a line break', 'HTTP/1.1 200 OK\r\nRemote-User: alice\xe2\x80\xa8bob\r\n\r\n'],
    ['a name too long', `HTTP/1.1 200 OK\r\nRemote-User: ${'a'.repeat(257)}\r\n\r\n`],
    ['a control character in a name', 'HTTP/1.1 200 OK\r\nRemote-User: al\xc2\x9bice\r\n\r\n'],
  ])('%s is no verdict, and is not retried for ever', async (_, bytes) => {
    let talks = 0
    const directory = await beforeRaw((socket) => {
      talks += 1
      socket.end(Buffer.from(bytes, 'latin1'))
    })
    await expect(directory.check(alice, get('/'))).rejects.toMatchObject({ kind: 'unavailable' })
    expect(talks).toBeLessThanOrEqual(2)
  })

  it('a name that would widen a grant', async () => {
    const { directory } = await before(reply(200, { 'remote-user': '../bob' }))
    expect(await directory.check(alice, get('/'))).toEqual({ kind: 'refused', why: 'broken-grants' })
  })

  it('nobody there', async () => {
    const { service } = await before(reply(200))
    await service.stop()
    const directory = directoryAt(service.url)
    await expect(directory.check(alice, get('/'))).rejects.toMatchObject({ kind: 'unavailable', retryAfterSeconds: 5 })
  })

  it.each<[string, (socket: Socket) => unknown]>([
    ['stalls', () => undefined],
    [
      'drips its head',
      (socket) => {
        socket.write('HTTP/1.1 200 OK\r\n')
        const drip = setInterval(() => socket.write('X-A: b\r\n'), 20)
        socket.once('close', () => clearInterval(drip))
      },
    ],
    [
      'goes on with interim answers',
      (socket) => {
        const drip = setInterval(() => socket.write('HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n'), 20)
        socket.once('close', () => clearInterval(drip))
      },
    ],
  ])('a service that %s is left after its time', async (_, talk) => {
    const directory = await beforeRaw(talk, 1)
    const begun = performance.now()
    await expect(directory.check(alice, get('/'))).rejects.toMatchObject({ kind: 'unavailable' })
    expect(performance.now() - begun).toBeLessThan(3000)
  })

  it('a body without end costs nobody anything: the head is the answer, and the connection is closed', async () => {
    let closed: () => void = () => undefined
    const gone = new Promise<void>((resolve) => (closed = resolve))
    const directory = await beforeRaw((socket) => {
      socket.once('close', closed)
      socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n')
      const chunk = `4000\r\n${'x'.repeat(0x4000)}\r\n`
      const more = (): void => {
        while (!socket.destroyed && socket.write(chunk));
      }
      socket.on('drain', more)
      more()
    })
    expect((await directory.check(alice, get('/'))).kind).toBe('identity')
    await gone
  })

  it('too many questions at once: those over the limit are turned away at once', async () => {
    const { directory, service } = await before(() => undefined, { timeoutSeconds: 30 })
    const asked = Array.from({ length: 300 }, (_, at) =>
      directory.check(alice, get(`/${at}`)).catch((error: unknown) => error),
    )
    for (const turned of await Promise.all(asked.slice(256))) expect(turned).toMatchObject({ kind: 'unavailable' })
    expect(service.heard.length).toBeLessThanOrEqual(64)
    await service.stop()
    await Promise.all(asked)
  })
})

describe('refusals', () => {
  it('401 is a wrong login, with what the service asks for', async () => {
    const { directory } = await before(reply(401, { 'www-authenticate': ['Basic realm="theirs"', 'Negotiate'] }))
    expect(await directory.check(alice, get('/'))).toEqual({
      kind: 'refused',
      why: 'service-401',
      challenges: ['Basic realm="theirs"', 'Negotiate'],
    })
  })

  it('asks for nothing that a header should not carry', async () => {
    const { directory } = await before(
      reply(401, {
        'www-authenticate': [
          'Basic realm="é\u0080"',
          'x'.repeat(2000),
          '"',
          ...Array.from({ length: 9 }, () => 'Negotiate'),
        ],
      }),
    )
    expect(await directory.check(alice, get('/'))).toMatchObject({
      challenges: Array.from({ length: 4 }, () => 'Negotiate'),
    })
  })

  it('403 is a guess from a stranger, and a lack of rights in whoever may pass elsewhere', async () => {
    const { directory } = await before((heard, response) =>
      response.writeHead(heard.headers['x-original-uri'] === '/open' ? 200 : 403).end(),
    )
    expect(await directory.check(alice, get('/closed'))).toEqual({
      kind: 'refused',
      why: 'service-403',
      forbidden: true,
    })
    expect((await directory.check(alice, get('/open'))).kind).toBe('identity')
    await expect(directory.check(alice, get('/closed'))).rejects.toMatchObject({ kind: 'denied' })
    expect(await directory.check({ ...alice, password: 'guess' }, get('/closed'))).toMatchObject({ kind: 'refused' })
  })

  it('passes on when to come again', async () => {
    const { directory } = await before(reply(503, { 'retry-after': '77' }))
    await expect(directory.check(alice, get('/'))).rejects.toMatchObject({ retryAfterSeconds: 77 })
  })
})

describe('what the service is told', () => {
  it.each<[Credential, Readonly<Record<string, string>>]>([
    [
      { kind: 'password', name: 'jörg', password: 'a:b 😀' },
      { authorization: `Basic ${Buffer.from('jörg:a:b 😀').toString('base64')}` },
    ],
    [
      { kind: 'api-key', id: 'PUTFS_1', secret: 's3' },
      { 'x-api-key': 'PUTFS_1', 'x-api-secret': 's3' },
    ],
    [{ kind: 'bearer', token: 'a.b-c_d~e+f/g==' }, { authorization: 'Bearer a.b-c_d~e+f/g==' }],
  ])('%j', async (credential, headers) => {
    const { directory, service } = await before(reply(200), { headers: new Map([['x-proof', 'of postern']]) })
    await directory.check(credential, {
      method: 'PUT',
      target: '/a//b%20c/?x=1&y=é',
      address: '192.0.2.9',
      origin: { scheme: 'https', authority: 'files.example.org' },
    })
    const [heard] = service.heard
    expect([heard?.method, heard?.url]).toEqual(['GET', '/auth'])
    expect(heard?.headers).toEqual({
      ...headers,
      'x-proof': 'of postern',
      'x-original-method': 'PUT',
      'x-original-uri': '/a/b%20c/?x=1&y=%E9',
      'x-forwarded-method': 'PUT',
      'x-forwarded-uri': '/a/b%20c/?x=1&y=%E9',
      'x-forwarded-proto': 'https',
      'x-forwarded-host': 'files.example.org',
      'x-forwarded-for': '192.0.2.9',
      'x-real-ip': '192.0.2.9',
      host: `127.0.0.1:${service.port}`,
      connection: 'keep-alive',
    })
  })

  it.each<Credential>([
    { kind: 'password', name: 'alice:x', password: 'right' },
    { kind: 'password', name: 'alice\r\nX-Evil: 1', password: 'right' },
    { kind: 'password', name: 'alice', password: '\ud800' },
    { kind: 'password', name: 'alice', password: 'x'.repeat(100_000) },
    { kind: 'api-key', id: 'a\r\nRemote-User: admin', secret: 's' },
    { kind: 'api-key', id: 'a ', secret: 's' },
    { kind: 'api-key', id: '', secret: 's' },
    { kind: 'api-key', id: 'ключ', secret: 's' },
    { kind: 'bearer', token: 'a b' },
    { kind: 'bearer', token: '' },
    { kind: 'bearer', token: 'a\nb' },
  ])('nothing of %j, which no header can carry', async (credential) => {
    const { directory, service } = await before(reply(200))
    expect(await directory.check(credential, get('/'))).toMatchObject({ kind: 'refused' })
    expect(service.heard).toEqual([])
  })

  it('whatever is in a target, it is one header, of plain characters', async () => {
    const { directory, service } = await before(reply(200))
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }), async (path, query) => {
        const latin1 = (text: string): string => Buffer.from(text).toString('latin1')
        service.heard.length = 0
        const target = `/${encodeURIComponent(path.toWellFormed())}?${latin1(query).replaceAll('#', '')}`
        await directory.check(alice, get(target)).catch((error: unknown) => {
          expect(error).toMatchObject({ kind: 'invalid' })
        })
        for (const { raw, headers } of service.heard) {
          expect(headers['x-original-uri']).toMatch(/^\/[\x21-\x7e]*$/)
          expect(raw.filter((name, at) => at % 2 === 0 && /^x-original-uri$/i.test(name))).toHaveLength(1)
        }
      }),
      { numRuns: 50 },
    )
  })

  it('is the path below the base path, whichever way it came', async () => {
    const { directory, service } = await before(reply(200), { basePath: '/files', cacheSeconds: 0 })
    for (const target of ['/files/acme/a', '/acme/a', '/files//acme/%61']) await directory.check(alice, get(target))
    expect(service.heard.map(({ headers }) => headers['x-original-uri'])).toEqual(['/acme/a', '/acme/a', '/acme/a'])
  })

  it('COPY and MOVE are asked about at both ends, and both must be allowed', async () => {
    const { directory, service } = await before((heard, response) =>
      response.writeHead(heard.headers['x-original-uri']?.startsWith('/secret') === true ? 403 : 200).end(),
    )
    const move = (destination: string): RequestFacts => ({ method: 'MOVE', target: '/a', destination })
    expect((await directory.check(alice, move('http://h/b'))).kind).toBe('identity')
    for (const destination of ['/secret/a', 'http://h/secret/a', 'http://h//secret/%61', 'https://user@h:1/secret'])
      await expect(directory.check(alice, move(destination))).rejects.toMatchObject({ kind: 'denied' })
    expect(await remembered(directory, alice, move('http://h/b'))).toBeDefined()
    expect(await remembered(directory, alice, move('/secret/a'))).toBeUndefined()
    expect(
      service.heard.map(({ headers }) => [headers['x-original-method'], headers['x-original-uri']]).slice(0, 3),
    ).toEqual([
      ['MOVE', '/a'],
      ['PUT', '/b'],
      ['PUT', '/secret/a'],
    ])
  })
})

describe('who it is', () => {
  const who = async (headers: Readonly<Record<string, string>>, credential: Credential = alice) => {
    const { directory } = await before(reply(200, headers))
    return identityIn(await directory.check(credential, get('/')))
  }

  it('the answer says, else the credential', async () => {
    expect(await who({ 'remote-user': 'bob', 'x-auth-request-user': 'carol' })).toMatchObject({
      name: 'bob',
      source: 'forward',
      grants: ['rw:/home/bob/**'],
    })
    expect(await who({ 'remote-user': ' ', 'x-auth-request-user': 'carol' })).toMatchObject({ name: 'carol' })
    expect(await who({})).toMatchObject({ name: 'alice' })
    expect(await who({}, { kind: 'api-key', id: 'K1', secret: 's' })).toMatchObject({ name: 'K1' })
    expect(await who({ 'remote-user': Buffer.from('jörg').toString('latin1') })).toMatchObject({ name: 'jörg' })
  })

  it('the bearers of different tokens are different callers, and their names tell no token', async () => {
    const token = 'secret-token'
    const first = await who({}, { kind: 'bearer', token })
    expect(first.name).toMatch(/^token-[A-Za-z0-9]{16}$/)
    expect(await who({}, { kind: 'bearer', token })).toEqual(first)
    expect((await who({}, { kind: 'bearer', token: 'other' })).name).not.toBe(first.name)
  })

  it('groups add their grants; what is no group adds nothing', async () => {
    const identity = await who({ 'remote-groups': 'editors, staff,,__proto__,constructor' })
    expect(identity.groups).toEqual(['editors', 'staff', '__proto__', 'constructor'])
    expect(identity.grants).toEqual(['rw:/home/alice/**', 'rw:/shared/**'])
  })
})

describe('what is remembered', () => {
  it('a yes for one path, method, address, host or secret allows no other', async () => {
    const { directory, service } = await before(reply(200))
    const facts = get('/a?x', { address: '192.0.2.1', origin: { scheme: 'http', authority: 'h' } })
    await directory.check(alice, facts)
    expect(await remembered(directory, alice, facts)).toBeDefined()
    await directory.check(alice, facts)
    expect(service.heard).toHaveLength(1)
    const others: readonly (readonly [Credential, RequestFacts])[] = [
      [alice, { ...facts, target: '/b?x' }],
      [alice, { ...facts, target: '/a/?x' }],
      [alice, { ...facts, target: '/a?y' }],
      [alice, { ...facts, method: 'PUT' }],
      [alice, { ...facts, address: '192.0.2.2' }],
      [alice, { ...facts, origin: { scheme: 'https', authority: 'h' } }],
      [alice, { ...facts, origin: { scheme: 'http', authority: 'i' } }],
      [{ ...alice, password: 'righ' }, facts],
      [{ ...alice, name: 'bob' }, facts],
      [{ kind: 'bearer', token: 'right' }, facts],
    ]
    for (const [credential, other] of others) {
      expect(await remembered(directory, credential, other)).toBeUndefined()
      await directory.check(credential, other)
    }
    expect(service.heard).toHaveLength(1 + others.length)
  })

  it.each([
    [{}, 120, 10],
    [{ 'cache-control': 'max-age=60' }, 120, 60],
    [{ 'cache-control': 'private, max-age=600' }, 120, 120],
    [{ 'cache-control': 'max-age=60, no-store' }, 120, 0],
    [{ 'cache-control': 'No-Cache' }, 120, 0],
    [{ 'cache-control': 'max-age=0' }, 120, 0],
    [{ 'cache-control': 's-maxage=60' }, 120, 10],
    [{ 'cache-control': 'max-age=99999999999999' }, 120, 10],
    [{ 'cache-control': 'max-age=60' }, 0, 0],
    [{}, 5, 5],
  ])('%j with cacheSeconds %d: for %d seconds', async (headers, cacheSeconds, seconds) => {
    const { directory } = await before(reply(200, headers), { cacheSeconds })
    await directory.check(alice, get('/'))
    if (seconds > 0) {
      clock.advanceSeconds(seconds - 1)
      expect(await remembered(directory, alice, get('/'))).toBeDefined()
      clock.advanceSeconds(1)
    }
    expect(await remembered(directory, alice, get('/'))).toBeUndefined()
  })

  it('no refusal is', async () => {
    const { directory, service } = await before(reply(401, { 'cache-control': 'max-age=60' }))
    await directory.check(alice, get('/'))
    await directory.check(alice, get('/'))
    expect(service.heard).toHaveLength(2)
  })

  it('the same question, asked at once by many, is asked once', async () => {
    const waiting: ServerResponse[] = []
    const { directory, service } = await before((_, response) => {
      waiting.push(response)
      setImmediate(() => response.writeHead(200).end())
    })
    const verdicts = await Promise.all(Array.from({ length: 50 }, () => directory.check(alice, get('/'))))
    expect(new Set(verdicts.map(({ kind }) => kind))).toEqual(new Set(['identity']))
    expect(service.heard).toHaveLength(1)
  })
})

describe('connections', () => {
  it('one that the service closes between two questions is made anew', async () => {
    let questions = 0
    const directory = await beforeRaw((socket) => {
      questions += 1
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n')
      // The next question on this connection finds nobody.
      socket.once('data', () => socket.resetAndDestroy())
    })
    for (const path of ['/a', '/b', '/c']) expect((await directory.check(alice, get(path))).kind).toBe('identity')
    expect(questions).toBeGreaterThan(1)
  })

  it('go to a Unix socket', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'postern-'))
    const server = createServer((request, response) => response.writeHead(request.url === '/auth?x' ? 200 : 401).end())
    await new Promise<void>((resolve) => server.listen(join(folder, 'auth.sock'), resolve))
    endings.push(
      () => new Promise((resolve) => server.close(resolve)),
      () => rm(folder, { recursive: true }),
    )
    const directory = directoryAt(`http://unix:${folder}/auth.sock:/auth?x`)
    expect((await directory.check(alice, get('/'))).kind).toBe('identity')
    server.closeAllConnections()
  })

  it.each([
    ['http://127.0.0.1:9000/auth', true, false],
    ['http://[::1]/auth', true, false],
    ['http://localhost/auth', true, false],
    ['https://id.example.org/auth', true, false],
    ['http://id.example.org/auth', true, true],
    ['http://127.0.0.1.example.org/', true, true],
    ['http://unix:/run/auth.sock:/auth', true, false],
    ['http://unix:/run/auth.sock', false, false],
    ['http://user:secret@h/', false, false],
    ['http://h/#x', false, false],
    ['ftp://h/', false, false],
    ['/auth', false, false],
    ['http://h/\r\nX: y', false, false],
  ])('%s can be asked: %s; over an open network: %s', (url, can, open) => {
    expect(isServiceUrl(url)).toBe(can)
    if (can) expect(isOpenToOthers(url)).toBe(open)
  })
})

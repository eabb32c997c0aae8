import { createHmac, createPublicKey } from 'node:crypto'
import { exportJWK } from 'jose'
import type { JWK } from 'jose'
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { makeKey, toyIssuer } from '../../../test/issuer.js'
import type { IssuerKey, ToyIssuer } from '../../../test/issuer.js'
import { rawService, toyService } from '../../../test/auth-service.js'
import { ManualClock } from '../../core/clock.js'
import { cached, createCredentialKey } from '../cached.js'
import type { Directory, Verdict } from '../identity.js'
import { isSafeUrl, openIssuerKeys } from './issuer-keys.js'
import { openOidcDirectory, signatureAlgorithms } from './oidc.js'
import type { OidcOptions } from './oidc.js'

const facts = { method: 'GET', target: '/' }
let rsa: IssuerKey
let other: IssuerKey
let clock: ManualClock
let issuer: ToyIssuer
const endings: (() => unknown)[] = []

beforeAll(async () => {
  rsa = await makeKey('RS256', 'one')
  other = await makeKey('RS256', 'two')
})
beforeEach(async () => {
  clock = new ManualClock()
  issuer = await toyIssuer(now)
  issuer.keys = [rsa.publicJwk]
  endings.push(() => issuer.stop())
})
afterEach(async () => {
  for (const end of endings.splice(0)) await end()
})

const now = (): number => clock.now() / 1000

async function open(more: Partial<OidcOptions> = {}, keysUrl?: string): Promise<Directory> {
  const where = { issuer: more.issuer ?? issuer.issuer, allowHttp: false, timeoutSeconds: 1, clock }
  return await openOidcDirectory({
    name: 'oidc',
    keys: await openIssuerKeys({ ...where, ...(keysUrl !== undefined && { keysUrl }) }),
    clock,
    issuer: issuer.issuer,
    audience: ['postern'],
    algorithms: signatureAlgorithms,
    clockToleranceSeconds: 30,
    claims: new Map(),
    nameClaim: 'sub',
    groupsClaim: 'groups',
    grants: ['rw:/home/{user}/**'],
    groupGrants: new Map([['editors', ['rw:/shared/**']]]),
    ...more,
  })
}

async function ask(token: string, directory?: Directory): Promise<Verdict> {
  return await (directory ?? (await open())).check({ kind: 'bearer', token }, facts)
}

const encode = (value: unknown): string =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')

/** A token of any header and claims, with any signature. */
function forge(header: unknown, claims: unknown, signature: (text: string) => string = () => ''): string {
  const text = `${encode(header)}.${encode(claims)}`
  return `${text}.${signature(text)}`
}

const good = (): Readonly<Record<string, unknown>> => ({
  iss: issuer.issuer,
  aud: 'postern',
  sub: 'alice',
  iat: now(),
  exp: now() + 300,
})

describe('forged tokens', () => {
  it.each([
    'none',
    'None',
    'NONE',
    '',
    'HS256',
    'HS384',
    'HS512',
    'RS1',
    'dir',
    'A128KW',
    'RS256 ',
    'rs256',
    null,
    0,
    ['RS256'],
    undefined,
  ])('with the algorithm %j', async (alg) => {
    const publicPem = createPublicKey({ key: rsa.publicJwk as never, format: 'jwk' }).export({
      type: 'spki',
      format: 'pem',
    })
    const signatures = [
      () => '',
      (text: string) => createHmac('sha256', publicPem).update(text).digest('base64url'),
      (text: string) => createHmac('sha256', JSON.stringify(rsa.publicJwk)).update(text).digest('base64url'),
      (text: string) =>
        createHmac('sha256', Buffer.from(rsa.publicJwk.n ?? '', 'base64url'))
          .update(text)
          .digest('base64url'),
      (text: string) => createHmac('sha256', '').update(text).digest('base64url'),
    ]
    for (const signature of signatures)
      expect(await ask(forge({ alg, kid: 'one' }, good(), signature))).toMatchObject({
        kind: 'refused',
        why: 'algorithm',
      })
    expect(issuer.keysAsked()).toBe(0)
  })

  it('HS256 with a shared secret among the published keys', async () => {
    issuer.keys = [
      { kty: 'oct', k: encode('secret'), alg: 'HS256', kid: 'one' },
      { kty: 'oct', k: encode('secret'), kid: 'two' },
    ]
    for (const kid of ['one', 'two', undefined])
      for (const alg of ['HS256', 'RS256']) {
        const token = forge({ alg, kid }, good(), (text) =>
          createHmac('sha256', 'secret').update(text).digest('base64url'),
        )
        expect((await ask(token)).kind).toBe('refused')
      }
  })

  it('with a key of their own in the header, or where to find one', async () => {
    const evil = await toyService((_, response) => void response.end(JSON.stringify({ keys: [other.publicJwk] })))
    endings.push(() => evil.stop())
    const publicJwk: JWK = other.publicJwk
    for (const header of [
      { jwk: publicJwk },
      { jku: evil.url },
      { x5u: evil.url },
      { x5c: ['MIIB'] },
      { kid: evil.url },
      { kid: '../../../dev/null' },
      { kid: 'one' },
      { kid: undefined },
    ])
      expect((await ask(await issuer.sign(other, {}, header as object))).kind).toBe('refused')
    expect(evil.heard).toEqual([])
  })

  it('with a signature that is not of them', async () => {
    const token = await issuer.sign(rsa)
    const [header = '', claims = '', signature = ''] = token.split('.')
    const admin = encode({ ...good(), sub: 'admin' })
    for (const changed of [
      `${header}.${admin}.${signature}`,
      `${encode({ alg: 'RS256', kid: 'one', x: 1 })}.${claims}.${signature}`,
      `${encode({ alg: 'RS512', kid: 'one' })}.${claims}.${signature}`,
      `${encode({ alg: 'PS256', kid: 'one' })}.${claims}.${signature}`,
      `${header}.${claims}.`,
      `${header}.${claims}.${'A'.repeat(342)}`,
      `${header}.${claims}.${encode('short')}`,
    ])
      expect((await ask(changed)).kind).toBe('refused')
    expect((await ask(token)).kind).toBe('identity')
  })

  it('written otherwise: one token has one text', async () => {
    const token = await issuer.sign(rsa)
    const spare = token.slice(0, -1) + String.fromCharCode(token.charCodeAt(token.length - 1) + 1)
    for (const text of [
      spare,
      `${token}=`,
      `${token}.`,
      `.${token}`,
      token.replace('.', '..'),
      `${token} `,
      token.replaceAll('_', '/'),
      token.slice(0, -1),
    ])
      if (text !== token) expect((await ask(text)).kind).not.toBe('identity')
  })

  it.each([{ crit: ['exp'] }, { crit: ['b64'], b64: false }, { b64: false }])('with the header %j', async (more) => {
    const token = forge({ alg: 'RS256', kid: 'one', ...more }, good())
    expect((await ask(token)).kind).toBe('refused')
  })

  it('encrypted ones, nested ones, and what is no token', async () => {
    for (const text of [
      '',
      '.',
      '..',
      '....',
      'a.b.c',
      'x'.repeat(20_000),
      `${encode('[]')}.${encode('[]')}.x`,
      `${encode('null')}.${encode('null')}.x`,
      `${encode({ alg: 'RS256' })}..${encode('x')}`,
      'é.é.é',
      `${encode('\xff')}.${encode('{')}.`,
    ])
      expect(await ask(text)).toEqual({ kind: 'unknown' })
    expect(issuer.heard).toEqual([])
  })

  it('huge and deep ones cost nothing', async () => {
    const deep = forge(
      { alg: 'RS256' },
      `{"iss":${JSON.stringify(issuer.issuer)},"x":${'['.repeat(5000)}${']'.repeat(5000)}}`,
    )
    expect((await ask(deep)).kind).toBe('refused')
    expect(await ask(forge({ alg: 'RS256' }, { ...good(), x: 'x'.repeat(1_000_000) }))).toEqual({ kind: 'unknown' })
  })
})

describe('tokens of the issuer that are not good here', () => {
  const cases: readonly (readonly [what: string, claims: () => object, header: object])[] = [
    ['for another audience', () => ({ aud: 'other' }), {}],
    ['for other audiences', () => ({ aud: ['other', 'postern2', ['postern']] }), {}],
    ['for no audience', () => ({ aud: undefined }), {}],
    ['for an audience that is no text', () => ({ aud: { postern: true } }), {}],
    ['expired', () => ({ exp: now() - 31 }), {}],
    ['just expired', () => ({ exp: now() - 30 }), {}],
    ['without an end', () => ({ exp: undefined }), {}],
    ['whose end is no number', () => ({ exp: '9999999999' }), {}],
    ['not yet valid', () => ({ nbf: now() + 31 }), {}],
    ['whose beginning is no number', () => ({ nbf: 'soon' }), {}],
    ['made in the future', () => ({ iat: now() + 31 }), {}],
    ['without a name', () => ({ sub: undefined }), {}],
    ['whose name is no text', () => ({ sub: ['alice'] }), {}],
    ['whose name is empty', () => ({ sub: '' }), {}],
    ['whose name has a line break', () => ({ sub: 'alice\r\nRemote-User: admin' }), {}],
    ['whose name is a way up', () => ({ sub: '..' }), {}],
    ['whose name is a pattern', () => ({ sub: '*' }), {}],
    ['whose name is long', () => ({ sub: 'a'.repeat(257) }), {}],
    ['that are logout tokens', () => ({ events: { 'http://schemas.openid.net/event/backchannel-logout': {} } }), {}],
    ['that are logout tokens by their type', () => ({}), { typ: 'logout+jwt' }],
    ['that are proofs', () => ({}), { typ: 'dpop+jwt' }],
    ['whose type is no text', () => ({}), { typ: ['JWT'] }],
    ['bound to a key', () => ({ cnf: { jkt: 'x' } }), {}],
  ]
  it.each(cases)('%s', async (_, claims, header) => {
    expect(await ask(await issuer.sign(rsa, { ...claims() }, header))).toMatchObject({ kind: 'refused' })
  })

  it('whose end is beyond all numbers', async () => {
    const claims = JSON.stringify(good()).replace(/"exp":\d+/, '"exp":1e999')
    const { privateKey } = rsa
    const text = `${encode({ alg: 'RS256', kid: 'one' })}.${encode(claims)}`
    const signature = await crypto.subtle.sign('RSASSA-PKCS1-v1_5', privateKey, Buffer.from(text))
    expect(await ask(`${text}.${Buffer.from(signature).toString('base64url')}`)).toEqual({
      kind: 'refused',
      why: 'exp',
    })
  })

  it('without the claims that are asked for', async () => {
    const directory = await open({
      claims: new Map<string, string | boolean>([
        ['email_verified', true],
        ['tenant.id', 'acme'],
      ]),
    })
    const full = { email_verified: true, tenant: { id: ['other', 'acme'] } }
    expect((await ask(await issuer.sign(rsa, full), directory)).kind).toBe('identity')
    for (const claims of [
      {},
      { ...full, email_verified: 'true' },
      { ...full, email_verified: 1 },
      { ...full, tenant: 'acme' },
      { ...full, tenant: { id: 'other' } },
    ])
      expect((await ask(await issuer.sign(rsa, claims), directory)).kind).toBe('refused')
  })

  it('signed in a way that is not allowed', async () => {
    expect(await ask(await issuer.sign(rsa), await open({ algorithms: ['ES256'] }))).toEqual({
      kind: 'refused',
      why: 'algorithm',
    })
  })

  it.each(['https://id.example.org', '', 'x', undefined, ['{ISSUER}']])(
    'of the issuer %j are left to other sources',
    async (iss) => {
      const token = await issuer.sign(rsa, { iss: Array.isArray(iss) ? [issuer.issuer] : iss })
      expect(await ask(token)).toEqual({ kind: 'unknown' })
      for (const near of [`${issuer.issuer}/`, issuer.issuer.toUpperCase()])
        expect(await ask(await issuer.sign(rsa, { iss: near }))).toEqual({ kind: 'unknown' })
    },
  )
})

describe('good tokens', () => {
  it('name the caller, its groups and its grants, and say until when', async () => {
    const token = await issuer.sign(rsa, { groups: ['editors', 'staff', '', 7, '__proto__'] }, { typ: 'at+jwt' })
    expect(await ask(token)).toEqual({
      kind: 'identity',
      identity: {
        name: 'alice',
        source: 'oidc',
        grants: ['rw:/home/alice/**', 'rw:/shared/**'],
        groups: ['editors', 'staff', '__proto__'],
      },
      until: (now() + 330) * 1000,
    })
  })

  it.each([
    ['realm_access.roles', { realm_access: { roles: ['editors'] } }],
    ['https://example.org/groups', { 'https://example.org/groups': ['editors'] }],
    ['scope', { scope: 'openid editors' }],
    ['role', { role: 'editors' }],
  ])('have their groups in %s', async (groupsClaim, claims) => {
    const verdict = await ask(await issuer.sign(rsa, claims), await open({ groupsClaim }))
    expect(verdict).toMatchObject({ identity: { grants: ['rw:/home/alice/**', 'rw:/shared/**'] } })
  })

  it.each(['RS512', 'PS256', 'ES256', 'ES384', 'EdDSA'])('may be signed with %s', async (alg) => {
    const key = await makeKey(alg, 'k')
    issuer.keys = [rsa.publicJwk, key.publicJwk]
    expect((await ask(await issuer.sign(key))).kind).toBe('identity')
  })

  it('are found among keys without names', async () => {
    const bare = async ({ privateKey, publicJwk }: IssuerKey): Promise<IssuerKey> => {
      const rest = Object.fromEntries(Object.entries(publicJwk).filter(([name]) => name !== 'kid'))
      return { privateKey, publicJwk: rest }
    }
    const [first, second] = [await bare(rsa), await bare(other)]
    issuer.keys = [first.publicJwk, second.publicJwk]
    for (const key of [first, second]) expect((await ask(await issuer.sign(key))).kind).toBe('identity')
  })

  it('are not remembered beyond their end', async () => {
    const directory = cached(await open(), { clock, keyOf: createCredentialKey(), ttlSeconds: 3600 })
    const token = await issuer.sign(rsa)
    expect((await ask(token, directory)).kind).toBe('identity')
    clock.advanceSeconds(329)
    expect((await ask(token, directory)).kind).toBe('identity')
    clock.advanceSeconds(1)
    expect((await ask(token, directory)).kind).toBe('refused')
  })
})

describe('the keys of the issuer', () => {
  it('are asked for once, and again when there is a new one', async () => {
    const directory = await open()
    for (let at = 0; at < 3; at++) expect((await ask(await issuer.sign(rsa), directory)).kind).toBe('identity')
    expect(issuer.keysAsked()).toBe(1)
    issuer.keys = [other.publicJwk]
    clock.advanceSeconds(15)
    expect((await ask(await issuer.sign(other), directory)).kind).toBe('identity')
    expect((await ask(await issuer.sign(rsa), directory)).kind).toBe('refused')
    expect(issuer.keysAsked()).toBe(2)
  })

  it('a flood of unknown ones does not become a flood at the issuer', async () => {
    const directory = await open()
    const flood = await Promise.all(Array.from({ length: 200 }, (_, at) => issuer.sign(other, {}, { kid: `k${at}` })))
    await Promise.all(flood.map((token) => ask(token, directory)))
    for (const token of flood) expect((await ask(token, directory)).kind).toBe('refused')
    expect(issuer.keysAsked()).toBe(1)
    clock.advanceSeconds(15)
    await Promise.all(flood.map((token) => ask(token, directory)))
    expect(issuer.keysAsked()).toBe(2)
  })

  it('go on while the issuer is down, and unknown ones are not refused then', async () => {
    const directory = await open()
    await ask(await issuer.sign(rsa), directory)
    issuer.broken = 500
    for (const seconds of [15, 600, 86_400]) {
      clock.advanceSeconds(seconds)
      expect((await ask(await issuer.sign(rsa), directory)).kind).toBe('identity')
      await expect(ask(await issuer.sign(other), directory)).rejects.toMatchObject({ kind: 'unavailable' })
    }
  })

  it('that are withdrawn end when they are looked at again', async () => {
    const directory = await open()
    await ask(await issuer.sign(rsa), directory)
    issuer.keys = [other.publicJwk]
    clock.advanceSeconds(600)
    await ask(await issuer.sign(rsa), directory)
    await expect.poll(async () => (await ask(await issuer.sign(rsa), directory)).kind).toBe('refused')
  })

  it('an issuer that was down at first is asked again', async () => {
    issuer.broken = 503
    const directory = await open()
    for (let at = 0; at < 5; at++)
      await expect(ask(await issuer.sign(rsa), directory)).rejects.toMatchObject({ kind: 'unavailable' })
    expect(issuer.heard).toHaveLength(1)
    issuer.broken = undefined
    clock.advanceSeconds(15)
    expect((await ask(await issuer.sign(rsa), directory)).kind).toBe('identity')
  })

  it.each<[string, () => void]>([
    ['of another issuer', () => (issuer.discovery = { issuer: 'https://evil.example.org' })],
    ['without keys', () => (issuer.discovery = { jwks_uri: undefined })],
    ['with keys over plain HTTP elsewhere', () => (issuer.discovery = { jwks_uri: 'http://192.0.2.1/keys' })],
    ['with keys in a file', () => (issuer.discovery = { jwks_uri: 'file:///etc/passwd' })],
    ['longer than anybody needs', () => (issuer.discovery = { x: 'x'.repeat(300_000) })],
    ['with more keys than anybody has', () => (issuer.keys = Array.from({ length: 101 }, () => rsa.publicJwk))],
    ['with keys that are none', () => (issuer.keys = [7 as never])],
  ])('a discovery document %s is not believed', async (_, spoil) => {
    spoil()
    await expect(ask(await issuer.sign(rsa))).rejects.toMatchObject({ kind: 'unavailable' })
  })

  it('a redirect is not followed, silence is not waited for, and no body is read without end', async () => {
    const redirecting = await toyService(
      (_, response) => void response.writeHead(302, { location: `${issuer.issuer}/keys` }).end(),
    )
    const silent = await rawService(() => undefined)
    const endless = await rawService((socket) => {
      socket.write('HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n')
      const more = (): void => {
        while (!socket.destroyed && socket.write(`4000\r\n${' '.repeat(0x4000)}\r\n`));
      }
      socket.on('drain', more)
      more()
    })
    for (const service of [redirecting, silent, endless]) {
      endings.push(() => service.stop())
      await expect(ask(await issuer.sign(rsa), await open({}, service.url))).rejects.toMatchObject({
        kind: 'unavailable',
      })
    }
  })

  it('may be private ones by mistake, which count for nothing', async () => {
    issuer.keys = [{ ...(await exportJWK(rsa.privateKey)), alg: 'RS256', kid: 'one' }]
    expect((await ask(await issuer.sign(rsa))).kind).toBe('refused')
  })

  it.each([
    ['https://id.example.org', false, true],
    ['http://127.0.0.1:8080/x', false, true],
    ['http://[::1]/x', false, true],
    ['http://localhost/x', false, true],
    ['http://id.example.org', false, false],
    ['http://id.example.org', true, true],
    ['http://127.0.0.1.example.org', false, false],
    ['http://localhost.example.org', false, false],
    ['https://user:secret@id.example.org', false, false],
    ['https://id.example.org/#x', false, false],
    ['https://id.example.org/\n', false, false],
    ['file:///keys', true, false],
    ['data:application/json,{}', true, false],
  ])('from %s (plain HTTP allowed: %s): %s', (url, allowHttp, safe) => {
    expect(isSafeUrl(url, allowHttp)).toBe(safe)
  })
})

import { createHash } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Server } from '../harness.js'
import { eventually, run, startServer } from '../harness.js'

const sha256 = (text: string, form: 'base64' | 'hex' = 'base64'): string =>
  createHash('sha256').update(text).digest(form)

const front = 'front-token-of-the-CDN_1'
const next = 'front-token-of-the-CDN_2'
const sensor = 'client-token-of-a-sensor'
const replaced = 'client-token-of-a-sensor-2'
const expired = 'client-token-that-is-over'

const config = `
listen: ["127.0.0.1:0", { at: "127.0.0.1:0", surfaces: [http] }]
identity:
  - catalog
  - tokens:
      - { name: sensor, sha256: "${sha256(sensor)}", grants: ["r:/{user}/**"] }
      - { name: sensor, sha256: "${sha256(replaced, 'hex')}", grants: ["rw:/{user}/**"], expires: "2999-01-31" }
      - { name: old, sha256: "${sha256(expired)}", grants: ["rw:/**"], expires: 2020-01-31T12:00:00Z }
originLock: { header: X-CDN-Authorization, sha256: ["${sha256(front)}", "${sha256(next, 'hex')}"] }
cors: { origins: ["https://app.example.org"] }
anonymous: { grants: ["r:/public/**"] }
`

let server: Server

beforeAll(async () => {
  server = await startServer({ config, listensAsConfigured: true })
  for (const folder of ['sensor', 'public', 'other']) {
    await server.request('MKCOL', `/${folder}`, { headers: { 'X-Cdn-Authorization': `Bearer ${front}` } })
    await writeFile(join(server.root, folder, 'file'), folder)
  }
})

afterAll(async () => {
  await server[Symbol.asyncDispose]()
})

const through = { 'x-cdn-authorization': `Bearer ${front}` }
const bearer = (token: string) => ({ ...through, Authorization: `Bearer ${token}` })

describe('an origin behind a CDN, asked directly', () => {
  it.each([
    ['without the header', {}],
    ['with nothing in it', { 'X-Cdn-Authorization': '' }],
    ['without the scheme', { 'X-Cdn-Authorization': front }],
    ['with another scheme', { 'X-Cdn-Authorization': `Basic ${front}` }],
    ['with no token', { 'X-Cdn-Authorization': 'Bearer ' }],
    ['with a wrong token', { 'X-Cdn-Authorization': `Bearer ${front}x` }],
    ['with half of it', { 'X-Cdn-Authorization': `Bearer ${front.slice(0, -1)}` }],
    ['with the hash of it', { 'X-Cdn-Authorization': `Bearer ${sha256(front)}` }],
    ['with it twice', { 'X-Cdn-Authorization': [`Bearer ${front}`, `Bearer ${front}`] }],
    ['with a wrong one before', { 'X-Cdn-Authorization': ['Bearer x', `Bearer ${front}`] }],
    ['with two in a list', { 'X-Cdn-Authorization': `Bearer ${front}, Bearer ${next}` }],
    ['with it in another header', { Authorization: `Bearer ${front}` }],
    ['with it under another name', { X_Cdn_Authorization: `Bearer ${front}` }],
    ['in another case', { 'X-Cdn-Authorization': `Bearer ${front.toLowerCase()}` }],
  ] as readonly (readonly [string, Readonly<Record<string, string | readonly string[]>>])[])(
    '%s is refused before any login is looked at',
    async (_what, headers) => {
      for (const [method, path] of [
        ['GET', '/public/file'],
        ['GET', '/'],
        ['PROPFIND', '/'],
        ['PUT', '/planted'],
        ['OPTIONS', '/'],
        ['OPTIONS', '*'],
        ['GET', '/-/'],
        ['GET', '/-/metrics'],
        ['GET', '/-/health/../../public/file'],
        ['GET', '/%2d/health'],
        ['GET', '//-/health'],
        ['GET', '/nowhere/%zz'],
      ] as const) {
        const asAdmin = await server.request(method, path, { headers })
        expect([method, path, asAdmin.status]).toEqual([method, path, 403])
        expect(asAdmin.headers.get('www-authenticate')).toBeUndefined()
      }
      const stranger = await server.request('GET', '/public/file', { as: ['nobody', 'x'], headers })
      expect(stranger.status).toBe(403)
    },
  )

  it('answers no preflight of an allowed page either', async () => {
    const headers = { Origin: 'https://app.example.org', 'Access-Control-Request-Method': 'PUT' }
    expect((await server.request('OPTIONS', '/', { as: null, headers })).status).toBe(403)
    expect((await server.request('OPTIONS', '/', { as: null, headers: { ...headers, ...through } })).status).toBe(204)
  })

  it('is as closed on every other listener', async () => {
    const ports = [...server.stdout().matchAll(/^listening http:\/\/127\.0\.0\.1:(\d+)/gm)].map((found) =>
      Number(found[1]),
    )
    expect(ports).toHaveLength(2)
    for (const port of ports) {
      const url = `http://127.0.0.1:${port}/public/file`
      expect((await fetch(url)).status).toBe(403)
      expect((await fetch(url, { headers: through })).status).toBe(200)
    }
  })

  it('tells whether it is well', async () => {
    for (const page of ['/-/health', '/-/ready', '/-/health?from=balancer'])
      expect([page, (await server.request('GET', page, { as: null })).status]).toEqual([page, 200])
  })
})

describe('through the CDN', () => {
  it('everything is as ever, by the old token and the new', async () => {
    for (const token of [front, next]) {
      const headers = { 'X-CDN-AUTHORIZATION': `Bearer   ${token} ` }
      expect((await server.request('GET', '/other/file', { headers })).status).toBe(200)
      expect((await server.request('GET', '/other/file', { headers, as: null })).status).toBe(401)
      expect((await server.request('GET', '/public/file', { headers, as: null })).status).toBe(200)
      expect((await server.request('GET', '/other/file', { headers, as: ['admin', 'wrong'] })).status).toBe(401)
    }
  })

  it('tokens of the configuration are known by their hashes, and end', async () => {
    const get = async (path: string, token: string) =>
      (await server.request('GET', path, { as: null, headers: bearer(token) })).status
    expect(await get('/sensor/file', sensor)).toBe(200)
    expect(await get('/sensor/file', replaced)).toBe(200)
    expect(await get('/other/file', sensor)).toBe(403)
    for (const wrong of [expired, sha256(sensor), sha256(sensor, 'hex'), `${sensor}x`, sensor.toUpperCase(), front])
      expect([wrong, await get('/sensor/file', wrong)]).toEqual([wrong, 401])
    const put = { as: null, body: 'x' } as const
    expect((await server.request('PUT', '/sensor/new', { ...put, headers: bearer(sensor) })).status).toBe(403)
    expect((await server.request('PUT', '/sensor/new', { ...put, headers: bearer(replaced) })).status).toBe(201)
  })

  it('tokens that leave the configuration are refused once it is applied', async () => {
    expect((await server.request('GET', '/sensor/file', { as: null, headers: bearer(sensor) })).status).toBe(200)
    await writeFile(server.configFile, config.replace(sha256(sensor), sha256('another')))
    await eventually('the new configuration', () => server.stderr().includes('configuration applied: identity'))
    expect((await server.request('GET', '/sensor/file', { as: null, headers: bearer(sensor) })).status).toBe(401)
    expect((await server.request('GET', '/sensor/file', { as: null, headers: bearer(replaced) })).status).toBe(200)
  })

  it('the old token is refused once its hash is taken out, without a restart', async () => {
    const status = async (token: string) =>
      (await server.request('GET', '/other/file', { headers: { 'X-CDN-Authorization': `Bearer ${token}` } })).status
    expect([await status(front), await status(next)]).toEqual([200, 200])
    await writeFile(server.configFile, config.replace(`"${sha256(front)}", `, ''))
    await eventually('the new configuration', () => server.stderr().includes('originLock'))
    expect([await status(front), await status(next)]).toEqual([403, 200])
  })

  it('no token reaches a log', () => {
    for (const token of [front, next, sensor, replaced, expired]) {
      expect(server.stderr()).not.toContain(token)
      expect(server.stderr()).not.toContain(sha256(token))
    }
    expect(server.stderr()).toContain('"user":"tokens:sensor"')
  })
})

describe('the environment of s3-dropbox', () => {
  it('alone makes its client known, and refuses whoever comes past the CDN', async () => {
    await using dropbox = await startServer({
      env: { AUTH_TOKEN: sha256(sensor), CDN_TOKEN: sha256(front), CDN_TOKEN_HTTP_HEADER_NAME: 'X-CDN-Authorization' },
    })
    const status = async (path: string, headers: Readonly<Record<string, string>>) =>
      (await dropbox.request('GET', path, { as: null, headers })).status
    expect(await status('/', { Authorization: `Bearer ${sensor}` })).toBe(403)
    expect(await status('/', bearer(replaced))).toBe(401)
    expect(await status('/', bearer(sha256(sensor)))).toBe(401)
    // Known, and without a grant.
    expect(await status('/', bearer(sensor))).toBe(403)
    expect(await status('/-/health', {})).toBe(200)
    expect(dropbox.stderr()).not.toContain(sensor)
  })
})

describe('a wrong configuration', () => {
  it.each([
    [`originLock: { header: x-cdn, sha256: ["${front}"] }`, /originLock.*must be the SHA-256 of the token/],
    [`originLock: { header: x-cdn, sha256: ["${sha256(front, 'hex').toUpperCase()}"] }`, /must be the SHA-256/],
    [`originLock: { header: x-cdn, sha256: ["${sha256(front).slice(0, -2)}x="] }`, /must be the SHA-256/],
    [`originLock: { header: x-cdn, sha256: [] }`, /must not be empty/],
    [`originLock: { header: Authorization, sha256: ["${sha256(front)}"] }`, /originLock.*header of its own/],
    [`originLock: { header: User-Agent, sha256: ["${sha256(front)}"] }`, /header of its own/],
    [`originLock: { header: "x y", sha256: ["${sha256(front)}"] }`, /header of its own/],
    [`identity: [{ tokens: [{ name: a, sha256: "${sensor}", grants: [] }] }]`, /must be the SHA-256/],
    [`identity: [{ tokens: [{ name: a/b, sha256: "${sha256('x')}", grants: [] }] }]`, /must be a name/],
    [`identity: [{ tokens: [{ name: a, sha256: "${sha256('x')}", grants: ["all:/"] }] }]`, /grant "all:\/"/],
    [`identity: [{ tokens: [{ name: a, sha256: "${sha256('x')}", grants: [], expires: soon }] }]`, /must be a date/],
    [
      `identity: [{ tokens: [{ name: a, sha256: "${sha256('x')}", grants: [], expires: 2027-02-30 }] }]`,
      /must be a date/,
    ],
    [
      `identity: [{ tokens: [{ name: a, sha256: "${sha256('x')}", grants: [] }, { name: b, sha256: "${sha256('x', 'hex')}", grants: [] }] }]`,
      /is that of entry 0 already/,
    ],
  ])('%s', async (text, message) => {
    const file = join(server.state, 'wrong.yaml')
    await writeFile(file, text)
    const program = new URL('../../bin/postern.js', import.meta.url).pathname
    const { code, stderr } = await run(process.execPath, [program, 'check', '--config', file])
    expect([code, stderr]).toEqual([2, expect.stringMatching(message)])
    for (const token of [front, sensor]) expect(stderr).not.toContain(token)
  })
})

import { existsSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Caller, Server } from '../harness.js'
import { namesBelow, startServer } from '../harness.js'
import { hrefsOf, lock, lockInfo, propertyStatus, proppatch } from './dav.js'

let server: Server
let acme: Caller
let other: Caller
let reader: Caller
let dropper: Caller

beforeAll(async () => {
  server = await startServer()
  for (const name of ['acme', 'acme/inner', 'acme-other', 'Acme', 'other', 'inbox', 'deep/down/here'])
    await mkdir(join(server.root, name), { recursive: true })
  for (const name of ['acme/f', 'acme-other/f', 'Acme/f', 'other/f', 'deep/down/here/f', 'deep/secret', 'top'])
    await writeFile(join(server.root, name), name)
  acme = await server.addUser('acme', 'rw:/acme/**')
  other = await server.addUser('other', 'rw:/other/**', 'rw:/acme/inner/**')
  reader = await server.addUser('reader', 'r:/acme/**', 'r:/deep/down/**')
  dropper = await server.addUser('dropper', 'create:/inbox/**')
})

afterAll(async () => {
  await server[Symbol.asyncDispose]()
})

async function status(
  method: string,
  target: string,
  as: Caller,
  headers: Record<string, string> = {},
): Promise<number> {
  const body =
    method === 'PUT' ? 'changed' : method === 'PROPPATCH' ? proppatch('<Z:a/>') : method === 'LOCK' ? lockInfo() : ''
  return (await server.request(method, target, { as, headers, body })).status
}

describe('grants', () => {
  it.each(['/acme-other/f', '/Acme/f', '/other/f', '/top', '/acme-other', '/acmf', '/acme-other/../acme-other/f'])(
    'of /acme/** do not reach %s',
    async (target) => {
      for (const method of ['GET', 'HEAD', 'PUT', 'DELETE', 'PROPPATCH', 'LOCK', 'MKCOL', 'PROPFIND'])
        expect([method, [400, 403]]).toEqual([method, expect.arrayContaining([await status(method, target, acme)])])
    },
  )

  it.each(['/acme%2Ff', '/acme/..%2fother/f', '/acme/%2e%2e/other/f', '/acme/../other/f', '/acme/.%2e/other/f'])(
    'are judged on the canonical path: %s is 400',
    async (target) => {
      for (const method of ['GET', 'PUT', 'DELETE', 'PROPFIND'])
        expect([method, await status(method, target, acme)]).toEqual([method, 400])
    },
  )

  it('are judged after slashes are collapsed', async () => {
    expect(await status('GET', '//other/f', acme)).toBe(403)
    expect(await status('GET', '/acme//f', acme)).toBe(200)
    expect(await status('GET', '//acme/f', acme)).toBe(200)
  })

  it('keep what they protect as it was', async () => {
    for (const name of ['acme-other/f', 'Acme/f', 'other/f', 'top'])
      expect(await readFile(join(server.root, name), 'utf8')).toBe(name)
  })

  it.each(['COPY', 'MOVE'])('are needed at both ends of %s', async (method) => {
    const to = (path: string) => ({ Destination: server.url + path })
    expect(await status(method, '/other/f', acme, to('/acme/stolen'))).toBe(403)
    expect(await status(method, '/acme/f', acme, to('/other/planted'))).toBe(403)
    expect(await status(method, '/acme/f', acme, to('/acme-other/planted'))).toBe(403)
    expect(await status(method, '/acme/f', acme, to('/acme/../other/planted'))).toBe(400)
    expect(await status(method, '/acme/f', acme, to('/acme/%2e%2e/other/planted'))).toBe(400)
    expect(await status(method, '/acme/f', acme, to('/acme%2f..%2fother/planted'))).toBe(400)
    expect(await status(method, '/acme/f', reader, to('/acme/g'))).toBe(403)
    expect(existsSync(join(server.root, 'other/planted'))).toBe(false)
    expect(existsSync(join(server.root, 'acme/stolen'))).toBe(false)
    expect(await readFile(join(server.root, 'acme/f'), 'utf8')).toBe('acme/f')
  })

  it('of a reader change nothing', async () => {
    const before = await namesBelow(server.root)
    for (const method of ['PUT', 'DELETE', 'PROPPATCH', 'LOCK'])
      expect([method, await status(method, '/acme/f', reader)]).toEqual([method, 403])
    for (const method of ['PUT', 'MKCOL', 'LOCK'])
      expect([method, await status(method, '/acme/new', reader)]).toEqual([method, 403])
    expect(await namesBelow(server.root)).toEqual(before)
    expect(await status('GET', '/acme/f', reader)).toBe(200)
  })

  it('to create let nobody read, list or replace', async () => {
    expect(await status('PUT', '/inbox/a', dropper)).toBe(201)
    expect(await status('PUT', '/inbox/a', dropper)).toBe(403)
    expect(await status('GET', '/inbox/a', dropper)).toBe(403)
    expect(await status('DELETE', '/inbox/a', dropper)).toBe(403)
    expect(await status('PUT', '/inbox/a', dropper, { 'If-None-Match': '*' })).not.toBe(204)
    expect(await status('COPY', '/inbox/a', dropper, { Destination: '/inbox/b' })).toBe(403)
    const listing = await server.request('PROPFIND', '/inbox/', { as: dropper, headers: { Depth: '1' } })
    expect(hrefsOf(listing)).not.toContain('/inbox/a')
  })

  it('decide what a listing shows', async () => {
    const list = async (path: string, as: Caller, depth: string) =>
      [...hrefsOf(await server.request('PROPFIND', path, { as, headers: { Depth: depth } }))].sort()
    expect(await list('/', acme, '1')).toEqual(['/', '/acme/'])
    expect(await list('/', acme, 'infinity')).toEqual(['/', '/acme/', '/acme/f', '/acme/inner/'])
    expect(await list('/deep/', reader, '1')).toEqual(['/deep/', '/deep/down/'])
    const page = await server.request('GET', '/', { as: acme, headers: { Accept: 'text/html' } })
    expect([page.text.includes('acme-other'), page.text.includes('secret')]).toEqual([false, false])
  })

  it('let a tree be deleted only where they cover all of it', async () => {
    await writeFile(join(server.root, 'acme/inner/mine'), 'x')
    expect(await status('DELETE', '/acme', other)).toBe(403)
    expect(await status('DELETE', '/acme/inner', reader)).toBe(403)
    expect(existsSync(join(server.root, 'acme/inner/mine'))).toBe(true)
  })
})

describe('locks', () => {
  it('belong to who made them: the token alone is no proof', async () => {
    await writeFile(join(server.root, 'acme/inner/shared'), 'old')
    const path = '/acme/inner/shared'
    const token = await lock(server, path, { as: acme })
    expect(await status('PUT', path, other, { If: `(<${token}>)` })).toSatisfy(
      (code: number) => code === 423 || code === 412,
    )
    expect(await status('DELETE', path, other, { If: `(<${token}>)` })).toSatisfy(
      (code: number) => code === 423 || code === 412,
    )
    expect(await status('PROPPATCH', path, other, { If: `(<${token}>) (Not <DAV:no-lock>)` })).toBe(423)
    const refresh = await server.request('LOCK', path, { as: other, headers: { If: `(<${token}>)` } })
    expect([403, 412, 423]).toContain(refresh.status)
    expect(await status('UNLOCK', path, other, { 'Lock-Token': `<${token}>` })).toBe(403)
    expect(await status('UNLOCK', path, reader, { 'Lock-Token': `<${token}>` })).toBe(403)
    expect(await readFile(join(server.root, path), 'utf8')).toBe('old')
    expect(await status('PUT', path, acme, { If: `(<${token}>)` })).toBe(204)
    expect(await status('UNLOCK', path, acme, { 'Lock-Token': `<${token}>` })).toBe(204)
  })

  it('let the holder of a lock, and nobody else, write Win32 properties without the token', async () => {
    await writeFile(join(server.root, 'acme/inner/office'), 'x')
    const path = '/acme/inner/office'
    await lock(server, path, { as: acme })
    const body = proppatch('<Win32FileAttributes xmlns="urn:schemas-microsoft-com:">00000020</Win32FileAttributes>')
    const mine = await server.request('PROPPATCH', path, { as: acme, body })
    expect([mine.status, propertyStatus(mine, 'Win32FileAttributes')]).toEqual([207, 200])
    expect((await server.request('PROPPATCH', path, { as: other, body })).status).toBe(423)
    expect((await server.request('PROPPATCH', path, { as: acme, body: proppatch('<Z:a/>') })).status).toBe(423)
  })

  it('of two principals share a resource', async () => {
    await writeFile(join(server.root, 'acme/inner/both'), 'x')
    const path = '/acme/inner/both'
    const first = await lock(server, path, { as: acme, scope: 'shared' })
    const second = await lock(server, path, { as: other, scope: 'shared' })
    expect(await status('PUT', path, acme, { If: `(<${second}>)` })).not.toBe(204)
    expect(await status('PUT', path, acme, { If: `(<${first}>)` })).toBe(204)
    expect(await status('PUT', path, reader, { If: `(<${first}>)` })).toBe(403)
  })
})

describe('who is asking', () => {
  it('is asked of everyone, in one way', async () => {
    const answers = await Promise.all(
      [null, ['nobody', 'x'], ['acme', 'wrong']].map(
        async (as) => await server.request('GET', '/acme/f', { as: as as Caller }),
      ),
    )
    for (const answer of answers) {
      expect(answer.status).toBe(401)
      expect(answer.header('www-authenticate')).toMatch(/^Basic realm="[^"]+"/)
    }
    expect(answers[1]?.text).toBe(answers[2]?.text)
  })

  it.each([
    'Basic',
    'Basic !!!',
    'Basic ' + Buffer.from('nocolon').toString('base64'),
    'Digest username="acme"',
    'Bearer x',
    '\u{1}',
  ])('cannot be said by Authorization: %j', async (value) => {
    const answer = await server.request('GET', '/acme/f', { as: null, headers: { Authorization: value } })
    expect([400, 401]).toContain(answer.status)
  })

  it('is 401 for what is missing too, and 403 for what another owns, present or not', async () => {
    expect(await status('GET', '/missing', null)).toBe(401)
    expect(await status('GET', '/other/f', acme)).toBe(403)
    expect(await status('GET', '/other/missing', acme)).toBe(403)
  })

  it('changes at once by the command line', async () => {
    const guest = await server.addUser('guest', 'r:/acme/**')
    expect(await status('GET', '/acme/f', guest)).toBe(200)
    expect((await server.cli(['user', 'disable', 'guest'])).code).toBe(0)
    expect(await status('GET', '/acme/f', guest)).toBe(401)
    expect((await server.cli(['user', 'enable', 'guest'])).code).toBe(0)
    expect(await status('GET', '/acme/f', guest)).toBe(200)
    expect((await server.cli(['user', 'passwd', 'guest', '--password-stdin'], 'another\n')).code).toBe(0)
    expect(await status('GET', '/acme/f', guest)).toBe(401)
    expect(await status('GET', '/acme/f', ['guest', 'another'])).toBe(200)
    expect((await server.cli(['user', 'rm', 'guest'])).code).toBe(0)
    expect(await status('GET', '/acme/f', ['guest', 'another'])).toBe(401)
  })

  it('may not be named like a path', async () => {
    for (const name of ['..', '.', 'a/b', 'a\\..', ''])
      expect([name, (await server.cli(['user', 'add', name, '--password-stdin'], 'pw\n')).code]).not.toEqual([name, 0])
  })

  it('leaves no secret behind', async () => {
    await server.request('GET', '/acme/f', { as: ['acme', 'a very wrong password'] })
    expect(server.stderr()).not.toMatch(/password of acme|a very wrong password|correct horse|\$argon2/)
    expect(server.stderr()).not.toContain(Buffer.from('acme:password of acme').toString('base64'))
  })

  it('is slowed after ten failures of one name, but not who is known', async () => {
    await server.addUser('victim', 'r:/acme/**')
    expect(await status('GET', '/acme/f', ['victim', 'password of victim'])).toBe(200)
    const codes: number[] = []
    for (let n = 0; n < 12; n += 1) codes.push(await status('GET', '/acme/f', ['victim', `guess ${n}`]))
    expect(codes[0]).toBe(401)
    expect(codes.at(-1)).toBe(429)
    const slowed = await server.request('GET', '/acme/f', { as: ['victim', 'guess'] })
    expect(Number(slowed.header('retry-after'))).toBeGreaterThan(0)
    expect(await status('GET', '/acme/f', ['victim', 'password of victim'])).toBe(200)
  })
})

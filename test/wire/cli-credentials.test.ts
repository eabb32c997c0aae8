import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Finished, Server } from '../harness.js'
import { run, startServer } from '../harness.js'

const program = fileURLToPath(new URL('../../bin/postern.js', import.meta.url))
let server: Server

beforeAll(async () => {
  server = await startServer()
})

afterAll(async () => {
  await server[Symbol.asyncDispose]()
})

/** In a directory where there is no state. */
async function elsewhere(...args: readonly string[]): Promise<Finished> {
  const nowhere = join(server.state, 'nowhere')
  await mkdir(nowhere, { recursive: true })
  return run(process.execPath, [program, ...args], { cwd: nowhere })
}

describe('wrong usage', () => {
  it.each([
    [['key', 'issue'], /missing required argument 'name'/],
    [['key', 'issue', 'a'], /needs a grant.*--grant/],
    [['key', 'issue', 'a', '--grant', 'all:/'], /The grant "all:\/" is not right/],
    [['key', 'issue', 'a/b', '--grant', 'r:/**'], /A name has 1 to 64 characters/],
    [['s3-key', 'issue', '..', '--grant', 'r:/**'], /A name has 1 to 64 characters/],
    [['token', 'create', '--grant', 'r:/**'], /Say whom it is for: postern token create NAME/],
    [
      ['token', 'create', 'a', '--grant', 'r:/**', '--expires', 'soon'],
      /--expires must be a time from now such as 30d/,
    ],
    [['token', 'create', 'a', '--grant', 'r:/**', '--expires', '2020-01-31'], /is over already/],
    [['key', 'rotate', 'a', '--overlap', 'week'], /--overlap must be a time such as 12h/],
    [['token', 'create', '--s3-dropbox', 'name'], /takes no name/],
    [['token', 'create', '--s3-dropbox', '--grant', 'r:/**'], /takes no name, no --grant/],
    [['key', 'destroy', 'a'], /unknown command 'destroy'/],
    [['token', 'issue', 'a'], /unknown command 'issue'/],
  ])('%j', async (args, message) => {
    const { code, stderr, stdout } = await server.cli(args)
    expect(stderr).toMatch(message)
    expect([code, stdout]).toEqual([2, ''])
  })
})

describe('what cannot be done', () => {
  it.each(['key', 's3-key', 'token'])('%s that is not there, with where to look', async (kind) => {
    for (const verb of ['revoke', 'rotate']) {
      const { code, stderr } = await server.cli([kind, verb, 'nobody'])
      expect([code, stderr]).toEqual([1, expect.stringContaining(`"postern ${kind} list" shows them all`)])
    }
  })

  it('without a state, which is not made', async () => {
    const { code, stderr } = await elsewhere('key', 'issue', 'a', '--grant', 'r:/**')
    expect([code, stderr]).toEqual([1, expect.stringContaining('There is no state directory')])
    expect(existsSync(join(server.state, 'nowhere/data.postern'))).toBe(false)
  })

  it('by a name, where an id is meant', async () => {
    const made = JSON.parse((await server.cli(['token', 'create', 'named', '--grant', 'r:/**', '--json'])).stdout) as { id: string } // prettier-ignore
    const { code, stderr } = await server.cli(['token', 'revoke', 'named'])
    expect([code, stderr]).toEqual([1, expect.stringContaining(`It is a name; give the id: ${made.id}.`)])
  })
})

describe('what a person sees', () => {
  it('helps, with examples', async () => {
    for (const args of [
      ['key'],
      ['s3-key'],
      ['token'],
      ['key', 'issue'],
      ['key', 'rotate'],
      ['key', 'import'],
      ['s3-key', 'issue'],
      ['token', 'create'],
    ]) {
      // prettier-ignore
      const { code, stdout } = await server.cli([...args, '--help'])
      expect([args, code]).toEqual([args, 0])
      expect(stdout).toContain('Usage: postern')
      expect(stdout).toMatch(/Examples?:/)
    }
  })

  it('is shown a secret once, and a list without any', async () => {
    const key = (await server.cli(['key', 'issue', 'shown', '--grant', 'r:/a/**', '--expires', '30d'])).stdout
    const secret = /X-Api-Secret: (\S+)/.exec(key)?.[1] ?? ''
    const id = /X-Api-Key: (\S+)/.exec(key)?.[1] ?? ''
    expect(secret).toMatch(/^pstns_[0-9A-Za-z]{34}$/)
    const list = (await server.cli(['key', 'list'])).stdout
    expect(list).toMatch(new RegExp(`^${id}  shown +\\d{4}-\\d\\d-\\d\\dT[0-9:]+Z  r:/a/\\*\\*$`, 'm'))
    expect(list).not.toContain(secret)
    const json = JSON.parse((await server.cli(['key', 'list', '--json'])).stdout) as readonly object[]
    expect(json).toContainEqual({
      id,
      name: 'shown',
      grants: ['r:/a/**'],
      created: expect.any(String) as string,
      expires: expect.any(String) as string,
      expired: false,
    })
  })

  it('gets an S3 key in the form that S3 clients want', async () => {
    const { stdout } = await server.cli(['s3-key', 'issue', 'backup', '--grant', 'rw:/b/**', '--json'])
    expect(JSON.parse(stdout)).toEqual({
      accessKeyId: expect.stringMatching(/^PSTN[A-Z2-7]{16}$/) as string,
      secretAccessKey: expect.stringMatching(/^[A-Za-z0-9_]{40}$/) as string,
    })
  })
})

describe('postern token create --s3-dropbox', () => {
  const lines =
    /^Client token \(plain text\): {10}([\w-]{86})\nServer token \(hashed client token\): ([A-Za-z0-9+/]{43}=)\n$/

  it('prints the two lines of that system, without a state', async () => {
    const { code, stdout, stderr } = await elsewhere('token', 'create', '--s3-dropbox')
    expect([code, stderr]).toEqual([0, ''])
    const [, client = '', hashed] = lines.exec(stdout) ?? []
    expect(createHash('sha256').update(client).digest('base64')).toBe(hashed)
    expect((await elsewhere('token', 'create', '--s3-dropbox')).stdout).not.toContain(client)
  })

  it('stores nothing', async () => {
    const before = (await server.cli(['token', 'list', '--json'])).stdout
    await server.cli(['token', 'create', '--s3-dropbox'])
    expect((await server.cli(['token', 'list', '--json'])).stdout).toBe(before)
  })
})

describe('postern key import', () => {
  const acme = ['PUTFS_0123456789ABCDEF', 'a1'.repeat(32)] as const
  const invoices = ['PUTFS_FEDCBA9876543210', 'b2'.repeat(32)] as const
  const short = ['PUTFS_short', 'secret1'] as const
  const keysConf = (more = ''): string => `
map "$http_x_api_key:$http_x_api_secret" $key_ok {
    default 0;
    "${acme.join(':')}" 1;
    "${invoices.join(':')}" 1;
    "${short.join(':')}" 1;
    ${more}
}
map "$http_x_api_key:$request_method:$request_uri" $auth_ok {
    default 0;
    "~^${acme[0]}:[^:]+:/acme/" 1;
    "~^${invoices[0]}:(GET|HEAD):/acme/invoices/" 1;
}`
  const as = ([id, secret]: readonly [string, string]) => ({
    as: null,
    headers: { 'X-Api-Key': id, 'X-Api-Secret': secret },
  })

  async function imported(text: string, ...more: readonly string[]): Promise<Finished> {
    const file = join(server.state, 'keys.conf')
    await writeFile(file, text)
    return server.cli(['key', 'import', file, ...more])
  }

  it.each([
    ['no key', 'server { listen 80; }', 2],
    ['nothing', '', 2],
    ['half a file', keysConf().slice(0, 120), 2],
    ['no configuration', '{"keys": []}', 2],
  ])('refuses a file with %s', async (_what, text, expected) => {
    const { code, stdout, stderr } = await imported(text)
    expect([code, stdout]).toEqual([expected, ''])
    expect(stderr).toContain('keys.conf: ')
    expect(stderr).not.toContain(acme[1])
  })

  it('refuses a file that is not there', async () => {
    const { code, stderr } = await server.cli(['key', 'import', join(server.state, 'none')])
    expect([code, stderr]).toEqual([1, expect.stringContaining('cannot be read: it is not there')])
  })

  it('takes the keys over, with what each may do, and again without harm', async () => {
    await mkdir(join(server.root, 'acme/invoices'), { recursive: true })
    await mkdir(join(server.root, 'other'))
    await writeFile(join(server.root, 'acme/invoices/1'), 'one')
    await writeFile(join(server.root, 'other/f'), 'other')
    expect((await server.request('GET', '/acme/invoices/1', as(acme))).status).toBe(401)

    const first = await imported(keysConf())
    expect([first.code, first.stderr]).toEqual([0, ''])
    for (const [id] of [acme, invoices, short]) expect(first.stdout).toContain(`Imported ${id}.`)
    expect(first.stdout).toContain(`The secret of ${short[0]} is so short that it could be guessed`)
    for (const [, secret] of [acme, invoices, short]) expect(first.stdout).not.toContain(secret)

    const status = async (method: string, path: string, key: readonly [string, string]): Promise<number> =>
      (await server.request(method, path, { ...as(key), ...(method === 'PUT' && { body: 'x' }) })).status
    expect(await status('GET', '/acme/invoices/1', acme)).toBe(200)
    expect(await status('GET', '/acme/invoices/1', invoices)).toBe(200)
    expect(await status('PUT', '/acme/new', acme)).toBe(201)
    expect(await status('PUT', '/acme/invoices/new', invoices)).toBe(403)
    expect(await status('GET', '/other/f', acme)).toBe(403)
    expect(await status('GET', '/acme/invoices/../../other/f', acme)).toBe(400)
    expect(await status('GET', '/acme/invoices/1', short)).toBe(403)
    expect(await status('GET', '/acme/invoices/1', [acme[0], invoices[1]])).toBe(401)
    expect(await status('GET', '/acme/invoices/1', [acme[0], acme[1].toUpperCase()])).toBe(401)

    const again = await imported(keysConf(), '--json')
    expect([again.code, JSON.parse(again.stdout)]).toEqual([
      0,
      { imported: [], present: [acme[0], invoices[0], short[0]], refused: [], weak: [], problems: [] },
    ])
    expect((await server.cli(['key', 'revoke', acme[0]])).code).toBe(0)
    expect(await status('GET', '/acme/invoices/1', acme)).toBe(401)
    expect((await server.cli(['key', 'list'])).stdout).toMatch(new RegExp(`^${invoices[0]} .*map:…$`, 'm'))
  })

  it('says which keys it cannot take, takes the others, and fails', async () => {
    const { code, stdout } = await imported(keysConf('"two:aaaaaaaaaaaaaaaaaaaaaaaa" 1; "two:bbbbbbbbbbbbbbbbbbbbbbbb" 1; "a b:ccc" 1;')) // prettier-ignore
    expect(code).toBe(1)
    expect(stdout).toContain('Not imported: "two": it has several secrets')
    expect(stdout).toContain('Not imported: "a b": The id of a key has')
    expect(stdout).toContain(`Imported ${acme[0]}.`)
    expect(stdout).not.toMatch(/aaaaaaaa|bbbbbbbb|ccc/)
  })
})

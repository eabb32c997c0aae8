import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Server } from '../harness.js'
import { eventually, startServer } from '../harness.js'

const config = (hosts: string): string => `
hosts: [${hosts}]
trustedProxies: [127.0.0.2]
anonymous: { grants: ["rw:/**"] }
`

let server: Server

beforeAll(async () => {
  server = await startServer({ config: config('files.example.org, "[::1]"') })
  await writeFile(join(server.root, 'file'), 'content')
})

afterAll(async () => {
  await server[Symbol.asyncDispose]()
})

/** The status of a request with these Host headers. */
async function ask(host: string | readonly string[], method = 'GET', target = '/file', more = {}): Promise<number> {
  return (await server.request(method, target, { as: null, headers: { Host: host, ...more } })).status
}

describe('a server that knows its names', () => {
  it.each(['GET', 'HEAD', 'PUT', 'DELETE', 'PROPFIND', 'OPTIONS', 'LOCK'])(
    'answers no %s of a page that has come in by another one',
    async (method) => {
      for (const host of [
        'evil.example',
        '127.0.0.1',
        `127.0.0.1:${server.port}`,
        'files.example.org.evil.example',
        '',
      ])
        expect([host, await ask(host, method)]).toEqual([host, 400])
      expect(await ask('files.example.org')).toBe(200)
    },
  )

  it('answers by each of its own, on whatever port', async () => {
    for (const host of ['files.example.org', 'Files.Example.Org:8443', '[::1]', `[::1]:${server.port}`])
      expect([host, await ask(host)]).toEqual([host, 200])
  })

  it('goes by what it is asked for, not by what somebody says who is no trusted proxy', async () => {
    expect(await ask('evil.example', 'GET', '/file', { 'X-Forwarded-Host': 'files.example.org' })).toBe(400)
    expect(await ask('files.example.org', 'GET', '/file', { 'X-Forwarded-Host': 'evil.example' })).toBe(200)
    expect(await ask(['files.example.org', 'evil.example'])).toBe(400)
    // RFC 9112 §3.2.2: a target with a host in it is what is asked for.
    expect(await ask('files.example.org', 'GET', 'http://evil.example/file')).toBe(400)
    expect(await ask('evil.example', 'GET', 'http://files.example.org/file')).toBe(200)
  })

  it('tells by any name whether it is well', async () => {
    expect(await ask('10.0.0.7', 'GET', '/-/health')).toBe(200)
  })

  it('learns another name while it runs', async () => {
    await writeFile(server.configFile, config('new.example.org'))
    await eventually('the new name counts', async () => (await ask('new.example.org')) === 200)
    expect(await ask('files.example.org')).toBe(400)
  })
})

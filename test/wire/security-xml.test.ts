import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Server } from '../harness.js'
import { startServer } from '../harness.js'
import { freshFile, freshFolder, propfind, proppatch } from './dav.js'

let server: Server

beforeAll(async () => {
  server = await startServer()
})

afterAll(async () => {
  await server[Symbol.asyncDispose]()
})

async function stillServes(): Promise<void> {
  expect((await server.request('OPTIONS', '/')).status).toBe(200)
}

describe('XML', () => {
  const requests: ReadonlyArray<readonly [string, Record<string, string>]> = [
    ['PROPFIND', { Depth: '0' }],
    ['PROPPATCH', {}],
    ['LOCK', { Depth: '0' }],
    ['REPORT', { Depth: '0' }],
    ['MKCOL', { 'Content-Type': 'application/xml' }],
  ]
  const bombs: ReadonlyArray<readonly [string, string | Uint8Array, number]> = [
    ['over 1 MiB', `<propfind xmlns="DAV:"><!--${' '.repeat(1_100_000)}--></propfind>`, 413],
    ['a DOCTYPE', '<!DOCTYPE propfind><propfind xmlns="DAV:"><allprop/></propfind>', 400],
    [
      'entities',
      '<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]><propfind xmlns="DAV:"><prop><x>&b;</x></prop></propfind>',
      400,
    ],
    ['deeper than 64', `<propfind xmlns="DAV:"><prop>${'<a>'.repeat(100)}${'</a>'.repeat(100)}</prop></propfind>`, 400],
    ['invalid UTF-8', Buffer.from('<propfind xmlns="DAV:"><prop><a>\xff\xfe</a></prop></propfind>', 'latin1'), 400],
    ['a NUL', '<propfind xmlns="DAV:"><prop><a>\0</a></prop></propfind>', 400],
  ]
  for (const [method, headers] of requests) {
    it.each(bombs)(`${method} refuses %s`, async (_, body, status) => {
      const { path } = await freshFile(server)
      const target = method === 'MKCOL' ? `${path}-new` : path
      const fitting =
        typeof body === 'string' && method === 'PROPPATCH'
          ? body
              .replace(/(<\/?)propfind/g, '$1propertyupdate')
              .replace(/<(\/?)prop>/g, (_whole, end: string) => (end ? '</prop></set>' : '<set><prop>'))
          : body
      expect((await server.request(method, target, { headers, body: fitting })).status).toBe(status)
      await stillServes()
    })
  }

  it.each(['gzip', 'deflate', 'br', 'x-gzip', 'identity, gzip'])(
    'refuses Content-Encoding: %s with 415',
    async (coding) => {
      const body = gzipSync(`<propfind xmlns="DAV:"><!--${' '.repeat(200_000_000 / 100)}--><allprop/></propfind>`)
      const answer = await server.request('PROPFIND', '/', {
        headers: { Depth: '0', 'Content-Encoding': coding },
        body,
      })
      expect(answer.status).toBe(415)
    },
  )

  it('writes names back as XML, whatever they are', async () => {
    const { path, disk } = await freshFolder(server)
    await writeFile(join(disk, 'a\u0001b'), 'x')
    await writeFile(join(disk, ']]><evil>'), 'x')
    const answer = await server.request('PROPFIND', `${path}/`, {
      headers: { Depth: '1' },
      body: propfind('displayname'),
    })
    expect(answer.status).toBe(207)
    expect(answer.text).not.toContain('<evil')
    expect(answer.text).not.toMatch(/[\x00-\x08\x0b\x0c\x0e-\x1f]/)
  })

  it('does not let a property name break the answer', async () => {
    const { path } = await freshFile(server)
    const value = '<x:a xmlns:x="&quot;&lt;/D:prop&gt;">&lt;/D:prop&gt;</x:a>'
    expect((await server.request('PROPPATCH', path, { body: proppatch(value) })).status).toBe(207)
    const read = await server.request('PROPFIND', path, { headers: { Depth: '0' } })
    expect(read.text.match(/<(?:\w+:)?response>/g)).toHaveLength(1)
  })
})

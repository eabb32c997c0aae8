import { createHash, randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { Server } from '../harness.js'
import { run, startServer } from '../harness.js'
import { expectLitmusFindsNothing } from './litmus-run.js'
import { describeForeign } from './tools.js'

describeForeign('over TLS', ['program: litmus', 'program: curl', 'program: openssl'], () => {
  let server: Server
  let home: string

  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), 'postern-tls-'))
    server = await startServer({ args: ['--tls', 'self-signed', '--workers', '2'] })
  })

  afterAll(async () => {
    await server[Symbol.asyncDispose]()
    await rm(home, { recursive: true, force: true })
  })

  /** The version of HTTP and the status; the answer goes into a file. */
  async function curl(method: string, path: string, ...args: readonly string[]): Promise<string> {
    const login = ['-u', `admin:${server.adminPassword}`]
    const shown = ['-sk', '-o', join(home, 'answer'), '-D', join(home, 'headers'), '-w', '%{http_version} %{http_code}']
    const how = method === 'HEAD' ? ['-I'] : ['-X', method]
    const done = await run('curl', [...shown, ...login, ...how, ...args, server.url + path])
    return `${done.stdout} ${done.code}`
  }

  it('litmus finds nothing', async () => {
    await expectLitmusFindsNothing(`https://localhost:${server.port}/`, ['admin', server.adminPassword], home)
  })

  it('every method of WebDAV works over HTTP/2, and over HTTP/1.1 for those who want that', async () => {
    for (const [flag, version] of [
      ['--http2', '2'],
      ['--http1.1', '1.1'],
    ] as const) {
      const to = ['-H', `Destination: ${server.url}/f/b`]
      const lock = '<lockinfo xmlns="DAV:"><lockscope><exclusive/></lockscope><locktype><write/></locktype></lockinfo>'
      const patch = '<propertyupdate xmlns="DAV:"><set><prop><x xmlns="urn:x">1</x></prop></set></propertyupdate>'
      for (const [method, path, status, ...args] of [
        ['OPTIONS', '/', '200'],
        ['MKCOL', '/f', '201'],
        ['PUT', '/f/a', '201', '--data-binary', 'hello'],
        ['HEAD', '/f/a', '200'],
        ['PROPFIND', '/f/', '207', '-H', 'Depth: 1'],
        ['PROPPATCH', '/f/a', '207', '--data-binary', patch],
        ['COPY', '/f/a', '201', ...to],
        ['MOVE', '/f/a', '204', ...to],
        ['LOCK', '/f/b', '200', '--data-binary', lock],
        ['PUT', '/f/b', '423', '--data-binary', 'no'],
        ['DELETE', '/f', '207'],
        ['GET', '/f/b', '200'],
        ['GET', '/f/none', '404'],
      ] as const)
        expect(await curl(method, path, flag, ...args), `${method} ${path}`).toBe(`${version} ${status} 0`)
      const answered = await readFile(join(home, 'headers'), 'utf8')
      expect(answered).not.toMatch(version === '2' ? /^connection:/im : /^:status/m)
      expect(await curl('LOCK', '/f/b', flag, '--data-binary', lock)).toBe(`${version} 423 0`)
      const token = /opaquelocktoken:[^<]+|urn:uuid:[^<]+/.exec(await propfind(flag))?.[0]
      expect(await curl('UNLOCK', '/f/b', flag, '-H', `Lock-Token: <${token ?? ''}>`)).toBe(`${version} 204 0`)
      expect(await curl('DELETE', '/f', flag)).toBe(`${version} 204 0`)
    }
  })

  async function propfind(flag: string): Promise<string> {
    await curl('PROPFIND', '/f/b', flag, '-H', 'Depth: 0')
    return await readFile(join(home, 'answer'), 'utf8')
  }

  it('carries 64 MiB both ways over HTTP/2', async () => {
    const bytes = randomBytes(64 << 20)
    await writeFile(join(home, 'big'), bytes)
    expect(await curl('PUT', '/big', '--http2', '--data-binary', `@${join(home, 'big')}`)).toBe('2 201 0')
    expect(await curl('GET', '/big', '--http2')).toBe('2 200 0')
    const hash = (content: Uint8Array): string => createHash('sha256').update(content).digest('hex')
    expect(hash(await readFile(join(home, 'answer')))).toBe(hash(bytes))
  })

  it('answers an upload that it does not take, over HTTP/2 too', async () => {
    await writeFile(join(home, 'big'), Buffer.alloc(8 << 20))
    for (const expecting of ['Expect: 100-continue', 'Expect:']) {
      const upload = ['--http2', '-H', expecting, '--data-binary', `@${join(home, 'big')}`]
      expect(await curl('PUT', '/no/such/folder', ...upload)).toBe('2 409 0')
      expect(await curl('PUT', '/refused', ...upload, '-u', 'admin:wrong')).toBe('2 401 0')
    }
  })

  it('takes no older TLS than 1.2', async () => {
    const shake = (version: string): ReturnType<typeof run> =>
      run('openssl', ['s_client', '-connect', `127.0.0.1:${server.port}`, version, '-cipher', 'ALL:@SECLEVEL=0'])
    expect((await shake('-tls1_1')).stdout).not.toMatch(/Cipher is (?!\(NONE\))/)
    expect((await shake('-tls1_2')).stdout).toMatch(/Cipher is (?!\(NONE\))/)
  })
})

describeForeign('over a Unix socket', ['program: curl'], () => {
  it('curl reads and writes', async () => {
    const home = await mkdtemp(join(tmpdir(), 'postern-unix-'))
    await mkdir(join(home, 'run'))
    const socket = join(home, 'run', 'postern.sock')
    {
      await using server = await startServer({ args: ['--listen', `unix:${socket}`, '--workers', '2'] })
      const ask = async (...args: readonly string[]): Promise<string> => {
        const login = ['-u', `admin:${server.adminPassword}`]
        return (await run('curl', ['-s', '--unix-socket', socket, ...login, ...args, 'http://localhost/file'])).stdout
      }
      expect(await ask('-X', 'PUT', '--data-binary', 'over a socket')).toBe('')
      expect(await ask()).toBe('over a socket')
    }
    await rm(home, { recursive: true, force: true })
  })
})

import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { Agent } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { CreateBucketCommand, GetObjectCommand, ListObjectsV2Command, PutObjectCommand } from '@aws-sdk/client-s3'
import { getSignedUrl } from '@aws-sdk/s3-request-presigner'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { generate } from 'selfsigned'
import type { Finished, Server } from '../harness.js'
import { eventually, run, startServer } from '../harness.js'
import { expectLitmusFindsNothing } from './litmus-run.js'
import { configuration, freePort } from './deploy-files.js'
import { refusal, sdkClientOf } from './s3-sdk.js'
import { issueKey } from './s3-site.js'
import { describeForeign } from './tools.js'

interface Place {
  /** Where the proxy may keep its files. */
  readonly home: string
  readonly socket: string
  readonly port: number
}

/** What starts a proxy in the foreground. */
type Start = (place: Place) => Promise<readonly [command: string, args: readonly string[]]>

const startNginx: Start = async ({ home, socket, port }) => {
  const site = await configuration('nginx/postern.conf', {
    'unix:/run/postern/postern.sock': `unix:${socket}`,
    'listen 443 ssl': `listen 127.0.0.1:${port} ssl`,
    '/etc/ssl/postern/': `${home}/`,
  })
  const folders = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
  const temporary = folders.map((name) => `${name}_temp_path ${home}/${name};`).join('\n')
  await writeFile(join(home, 'site.conf'), site)
  await writeFile(
    join(home, 'nginx.conf'),
    `${process.getuid?.() === 0 ? 'user root;\n' : ''}daemon off; pid ${home}/pid; error_log stderr;\nevents {}\nhttp {\naccess_log off;\n${temporary}\ninclude ${home}/site.conf;\n}\n`,
  )
  return ['/usr/sbin/nginx', ['-p', home, '-c', join(home, 'nginx.conf')]]
}

const startHaproxy: Start = async ({ home, socket, port }) => {
  const text = await configuration('haproxy/postern.cfg', {
    'unix@/run/postern/postern.sock': `unix@${socket}`,
    'bind :443': `bind 127.0.0.1:${port}`,
    '/etc/ssl/postern/': `${home}/`,
  })
  await writeFile(join(home, 'haproxy.cfg'), text)
  return ['/usr/sbin/haproxy', ['-db', '-f', join(home, 'haproxy.cfg')]]
}

for (const [name, start] of [
  ['nginx', startNginx],
  ['haproxy', startHaproxy],
] as const)
  describeForeign(`behind ${name}`, [`program: ${name}`, 'program: litmus', 'program: curl'], () => {
    let server: Server
    let proxy: ChildProcess
    let port: number
    let home: string
    let said = ''
    const publicOrigin = 'https://files.example.org'

    beforeAll(async () => {
      home = await mkdtemp(join(tmpdir(), `postern-${name}-`))
      const socket = join(home, 'postern.sock')
      const { cert, private: key } = await generate([{ name: 'commonName', value: 'localhost' }], {
        algorithm: 'sha256',
        extensions: [{ name: 'subjectAltName', altNames: [{ type: 2, value: 'localhost' }] }],
      })
      await writeFile(join(home, 'cert.pem'), cert)
      await writeFile(join(home, 'key.pem'), key)
      await writeFile(join(home, 'both.pem'), `${cert}\n${key}`)
      server = await startServer({
        config: 'basePath: /files\ntrustedProxies: [unix]\n',
        args: ['--listen', `unix:${socket}`, '--workers', '2'],
      })
      port = await freePort()
      const [command, args] = await start({ home, socket, port })
      proxy = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] })
      for (const stream of [proxy.stdout, proxy.stderr])
        stream?.on('data', (bytes: Buffer) => (said += bytes.toString()))
      await eventually(`${name} answers`, async () => {
        if (proxy.exitCode !== null) throw new Error(`${name} ended: ${said}`)
        return (await curl('/files/-/health')).stdout === '200'
      })
    })

    afterAll(async () => {
      proxy.kill('SIGTERM')
      if (proxy.exitCode === null) await new Promise((resolve) => proxy.once('close', resolve))
      await server[Symbol.asyncDispose]()
      await rm(home, { recursive: true, force: true })
    })

    /** Asks through the proxy under its public name; prints the status. */
    async function curl(path: string, ...args: readonly string[]): Promise<Finished> {
      const where = ['--connect-to', `files.example.org:443:127.0.0.1:${port}`, '--path-as-is', publicOrigin + path]
      const login = ['-u', `admin:${server.adminPassword}`]
      return await run('curl', ['-sk', '-o', join(home, 'answer'), '-w', '%{http_code}', ...login, ...args, ...where])
    }

    it('litmus finds nothing', async () => {
      const folder = join(home, 'litmus')
      await mkdir(folder)
      await expectLitmusFindsNothing(`https://localhost:${port}/files/`, ['admin', server.adminPassword], folder)
    })

    it.each(['--http1.1', '--http2'])('copies and moves to the public origin, over %s', async (version) => {
      await writeFile(join(server.root, 'from'), 'x')
      const to = (origin: string): string[] => ['-H', `Destination: ${origin}/files/to`]
      expect((await curl('/files/from', version, '-X', 'COPY', ...to(publicOrigin))).stdout).toMatch(/^20[14]$/)
      expect(await readFile(join(server.root, 'to'), 'utf8')).toBe('x')
      expect((await curl('/files/from', version, '-X', 'MOVE', ...to(publicOrigin))).stdout).toBe('204')
      expect((await curl('/files/to', version, '-X', 'COPY', ...to('https://other.example'))).stdout).toBe('502')
    })

    it('tells clients their paths with the base path', async () => {
      await writeFile(join(server.root, 'named'), 'x')
      expect((await curl('/files/', '-X', 'PROPFIND', '-H', 'Depth: 1')).stdout).toBe('207')
      const answer = await readFile(join(home, 'answer'), 'utf8')
      expect(answer).toContain('/files/named<')
      expect(answer.match(/<(?:\w+:)?href>(?!\/files\/)/)).toBeNull()
    })

    it.each([
      ['--http1.1', '--data-binary'],
      ['--http2', '--data-binary'],
      ['--http1.1', '-T'],
    ])('carries 64 MiB both ways: %s %s', async (version, how) => {
      const bytes = randomBytes(64 << 20)
      await writeFile(join(home, 'big'), bytes)
      // Without a length HTTP/1.1 sends chunks.
      const chunked = how === '-T' ? ['-T', '-'] : ['-X', 'PUT', how, `@${join(home, 'big')}`]
      const args = how === '-T' ? ['-c', `exec curl "$@" < ${join(home, 'big')}`, 'curl'] : []
      const put = [...chunked, version, '-H', 'Expect:']
      const done =
        args.length === 0
          ? await curl('/files/big', ...put)
          : await run('sh', [
              ...args,
              ...['-sk', '-w', '%{http_code}', '-u', `admin:${server.adminPassword}`, ...put],
              ...['--connect-to', `files.example.org:443:127.0.0.1:${port}`, `${publicOrigin}/files/big`],
            ])
      expect(done.stdout).toMatch(/^20[14]$/)
      expect((await curl('/files/big', version)).stdout).toBe('200')
      const hash = (content: Uint8Array): string => createHash('sha256').update(content).digest('hex')
      expect(hash(await readFile(join(home, 'answer')))).toBe(hash(bytes))
    })

    it('lets signatures of S3 hold, made for the public name, port and path', async () => {
      const key = await issueKey(server, 'through-a-proxy', 'rw:/**')
      const client = sdkClientOf(`https://localhost:${port}/files`, key, {
        requestHandler: { httpsAgent: new Agent({ ca: await readFile(join(home, 'cert.pem')) }) },
      })
      const Bucket = 'signed'
      await client.send(new CreateBucketCommand({ Bucket }))
      for (const Key of ['a b+c %41 ü/d', "it's (1)!*"]) {
        await client.send(
          new PutObjectCommand({ Bucket, Key, Body: Readable.from([Buffer.from('some content')]), ContentLength: 12 }),
        )
        const { Body } = await client.send(new GetObjectCommand({ Bucket, Key }))
        expect(await Body?.transformToString()).toBe('some content')
        const url = await getSignedUrl(client, new GetObjectCommand({ Bucket, Key }))
        const got = await run('curl', ['-sk', '--path-as-is', url])
        expect(got.stdout).toBe('some content')
      }
      const { Contents } = await client.send(new ListObjectsV2Command({ Bucket }))
      expect(Contents?.map(({ Key }) => Key)).toEqual(['a b+c %41 ü/d', "it's (1)!*"])
      const stranger = sdkClientOf(
        `https://localhost:${port}/files`,
        { ...key, secretAccessKey: 'wrong' },
        {
          requestHandler: { httpsAgent: new Agent({ ca: await readFile(join(home, 'cert.pem')) }) },
        },
      )
      expect(await refusal(stranger.send(new ListObjectsV2Command({ Bucket })))).toEqual(['SignatureDoesNotMatch', 403])
    })

    it('does not let a client say who it is or where it came from', async () => {
      await writeFile(join(server.root, 'from'), 'x')
      const forged = [
        ...['-H', 'X-Forwarded-Host: evil.example', '-H', 'X-Forwarded-Proto: http', '-H', 'X-Forwarded-For: 6.6.6.6'],
        ...['-H', 'Forwarded: for=6.6.6.6;host=evil.example'],
      ]
      const to = (origin: string): string[] => ['-X', 'COPY', '-H', `Destination: ${origin}/files/to`]
      expect((await curl('/files/from', ...forged, ...to('http://evil.example'))).stdout).toBe('502')
      expect((await curl('/files/from', ...forged, ...to(publicOrigin))).stdout).toMatch(/^20[14]$/)
      await eventually('the log has it', () => server.stderr().includes('"COPY"'))
      expect(server.stderr()).not.toContain('"address":"6.6.6.6"')
      expect(server.stderr()).toContain('"address":"127.0.0.1"')
    })

    it.each([
      ['an encoded slash', '/files/a%2Fb', '400'],
      ['a way up', '/files/a/../b', '400'],
      ['what is not below the base path', '/filesystem', '404'],
    ])('neither hides nor opens: %s', async (_, path, status) => {
      expect((await curl(path)).stdout).toBe(status)
    })
  })

import { createHash, randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect } from 'vitest'
import type { Finished, Server } from '../harness.js'
import { run, startServer } from '../harness.js'

/** What `postern s3-key issue` shows. */
export interface S3Key {
  readonly accessKeyId: string
  readonly secretAccessKey: string
}

/** A server as clients of S3 see it. */
export interface S3Site {
  readonly server: Server
  /** `http://127.0.0.1:PORT` */
  readonly http: string
  /** `https://localhost:PORT`, with a certificate that the server made. */
  readonly https: string
  /** The file of that certificate. */
  readonly certificate: string
  /** May do everything. */
  readonly key: S3Key
  /** An empty folder, the client's home. */
  readonly home: string
  /** The environment of a client: this key, a home of its own, and nothing that this machine sets. */
  readonly env: NodeJS.ProcessEnv
  issue(name: string, ...grants: readonly string[]): Promise<S3Key>
  /** Runs a client in its home. */
  client(command: string, args: readonly string[], env?: NodeJS.ProcessEnv): Promise<Finished>
  /** The same, and it must succeed; gives what it printed. */
  ok(command: string, args: readonly string[], env?: NodeJS.ProcessEnv): Promise<string>
}

export interface S3SiteOptions {
  /** Lines of the configuration besides those that the site needs itself. */
  readonly config?: string
  /** Listens here too, without TLS. */
  readonly alsoAt?: string
}

/** One server for all tests of a `describe`, on free ports with and without TLS. */
export function withS3Site({ config = '', alsoAt }: S3SiteOptions = {}): S3Site {
  const box: { server?: Server; home?: string; key?: S3Key } = {}
  const server = (): Server => box.server!
  const home = (): string => box.home!
  const plain = ['127.0.0.1:0', ...(alsoAt === undefined ? [] : [alsoAt])]

  beforeAll(async () => {
    box.home = await mkdtemp(join(tmpdir(), 'postern-s3-client-'))
    box.server = await startServer({
      config: `${config}
listen: [${[...plain.map((at) => `{ at: "${at}", tls: false }`), '"127.0.0.1:0"'].join(', ')}]
tls: self-signed
`,
      listensAsConfigured: true,
    })
    box.key = await issueKey(box.server, 'tester', 'rw:/**')
  })
  afterAll(async () => {
    await box.server?.[Symbol.asyncDispose]()
    if (box.home !== undefined) await rm(box.home, { recursive: true, force: true })
  })

  const site: S3Site = {
    get server() {
      return server()
    },
    get http() {
      return server().url
    },
    get https() {
      const port = /^listening https:\/\/\S+:(\d+)\/?$/m.exec(server().stdout())?.[1]
      if (port === undefined) throw new Error(`no listener with TLS:\n${server().stdout()}`)
      return `https://localhost:${port}`
    },
    get certificate() {
      return join(server().state, 'tls-cert.pem')
    },
    get key() {
      return box.key!
    },
    get home() {
      return home()
    },
    get env() {
      return clientEnvironment(home(), box.key!)
    },
    issue: (name, ...grants) => issueKey(server(), name, ...grants),
    client: (command, args, env = site.env) => run(command, args, { cwd: home(), env }),
    ok: async (command, args, env = site.env) => {
      const done = await run(command, args, { cwd: home(), env })
      expect(
        done.code,
        `${command} ${args.join(' ')}\n${done.stdout}${done.stderr}${server().stderr().slice(-4000)}`,
      ).toBe(0)
      return done.stdout
    },
  }
  return site
}

/** A key as an administrator makes it. */
export async function issueKey(server: Server, name: string, ...grants: readonly string[]): Promise<S3Key> {
  const flags = grants.flatMap((grant) => ['--grant', grant])
  const done = await server.cli(['s3-key', 'issue', name, ...flags, '--json'])
  if (done.code !== 0) throw new Error(`postern s3-key issue failed: ${done.stderr}`)
  return JSON.parse(done.stdout) as S3Key
}

/** Where the programs of the system come first: another Python's `aws` may lie before them. */
export function clientEnvironment(home: string, { accessKeyId, secretAccessKey }: S3Key): NodeJS.ProcessEnv {
  return {
    PATH: `/usr/bin:/bin:/usr/sbin:/sbin:${process.env.PATH ?? ''}`,
    HOME: home,
    LC_ALL: 'C.UTF-8',
    AWS_ACCESS_KEY_ID: accessKeyId,
    AWS_SECRET_ACCESS_KEY: secretAccessKey,
    AWS_DEFAULT_REGION: 'us-east-1',
    AWS_EC2_METADATA_DISABLED: 'true',
    AWS_PAGER: '',
  }
}

/** The MD5 in hex: the ETag of what was put in one piece. */
export function md5(bytes: string | Uint8Array): string {
  return createHash('md5').update(bytes).digest('hex')
}

/** The ETag that S3 gives to what was put together of parts. */
export function multipartEtag(bytes: Uint8Array, partBytes: number): string {
  const digests: Buffer[] = []
  for (let at = 0; at < bytes.length; at += partBytes)
    digests.push(
      createHash('md5')
        .update(bytes.subarray(at, at + partBytes))
        .digest(),
    )
  return `${md5(Buffer.concat(digests))}-${digests.length}`
}

/** A file of random bytes; gives them. */
export async function randomFile(path: string, bytes: number): Promise<Buffer> {
  const content = randomBytes(bytes)
  await writeFile(path, content)
  return content
}

/** A small tree: folders within folders, names that need escapes, an empty file, one of 300 KB. */
export async function smallTree(at: string): Promise<void> {
  const files: Readonly<Record<string, string | Buffer>> = {
    'a.txt': 'a\n',
    empty: '',
    'with space & + %41 ü.txt': 'odd\n',
    'sub/b.txt': 'b\n',
    'sub/deeper/c.bin': randomBytes(300_000),
    "sub/deeper/quote's (1).txt": 'quoted\n',
  }
  for (const [name, content] of Object.entries(files)) {
    await mkdir(join(at, name, '..'), { recursive: true })
    await writeFile(join(at, name), content)
  }
}

/** Fails unless two trees hold the same files with the same bytes. */
export async function expectSameTree(one: string, other: string): Promise<void> {
  const found = await run('diff', ['-r', one, other])
  expect(found.stdout + found.stderr).toBe('')
  expect(found.code).toBe(0)
}

/** The file's bytes are those. */
export async function expectFile(path: string, bytes: Uint8Array): Promise<void> {
  expect((await readFile(path)).equals(bytes), path).toBe(true)
}

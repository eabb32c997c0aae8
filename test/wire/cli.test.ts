import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { get } from 'node:http'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Finished } from '../harness.js'
import { basic, eventually, run } from '../harness.js'
import { RawConnection } from '../raw-http.js'

const program = fileURLToPath(new URL('../../bin/postern.js', import.meta.url))
const started: ChildProcess[] = []
let home: string

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'postern-cli-'))
})

afterEach(() => {
  for (const child of started.splice(0)) child.kill('SIGKILL')
  rmSync(home, { recursive: true, force: true })
})

describe('the program', () => {
  it('goes on serving when whoever read its first lines has left', async () => {
    const listener = join(home, 'socket')
    const child = spawn(process.execPath, [program, 'serve', join(home, 'd'), '--listen', `unix:${listener}`], {
      env: { ...process.env, POSTERN_ADMIN_PASSWORD: 'pw' },
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    started.push(child)
    // Nobody reads any more before the first line is written.
    child.stdout.destroy()
    await eventually('a socket', () => existsSync(listener))
    for (let asked = 0; asked < 20; asked++) expect(await statusOfHealth(listener)).toBe(200)
    expect(child.exitCode).toBeNull()
  })

  it('helps, with examples, and says its version', async () => {
    for (const args of [
      ['--help'],
      ['serve', '--help'],
      ['user', '--help'],
      ['user', 'add', '--help'],
      ['check', '--help'],
    ]) {
      const { code, stdout } = await postern(args)
      expect([args, code]).toEqual([args, 0])
      expect(stdout).toContain('Usage: postern')
      if (args.length > 1) expect(stdout).toContain('Examples:')
    }
    expect((await postern(['--version'])).stdout).toMatch(/^\d+\.\d+\.\d+\n$/)
  })

  it.each([
    [[], /Usage: postern/],
    [['server'], /Did you mean serve/],
    [['serve', '--listen'], /argument missing/],
    [['serve', '--port', '80'], /unknown option '--port'/],
    [['serve', '--listen', 'here'], /^--listen: \[0\]: must be HOST:PORT, unix:PATH, systemd/],
    [['serve', '--durability', 'some'], /^--durability: must be one of: full, fast/],
    [['serve', '--tls', 'yes'], /^--tls: must be self-signed/],
    [['serve', '--config', 'none.yaml'], /^none\.yaml: cannot be read \(ENOENT\)/],
    [['serve', '--state', './data/state'], /^--state: must not lie inside the served directory/],
    [['user', 'add', 'alice', '--grant', 'all:/', '--password-stdin'], /The grant "all:\/" is not right/],
    [['check', 'GET', '/'], /postern check --as NAME METHOD PATH/],
    [['check', '--as', 'anonymous', 'FLY', '/'], /FLY is none of/],
  ])('%j is wrong usage', async (args, message) => {
    const { code, stderr } = await postern(args)
    expect(stderr).toMatch(message)
    expect(code).toBe(2)
    expect(existsSync(join(home, 'data'))).toBe(false)
  })
})

describe('postern serve', () => {
  it('without anything serves ./data, makes an admin and shows its password once', async () => {
    const first = await serve(['--listen', '127.0.0.1:0'])
    expect(first.stdout()).toMatch(/^listening http:\/\/127\.0\.0\.1:\d+\n/)
    const password = /the password (\S+)$/m.exec(first.stdout())?.[1] ?? ''
    expect(password.length).toBeGreaterThan(20)
    for (const word of ['mount_webdav', 'net use', 'gio mount', 'Finder']) expect(first.stdout()).toContain(word)
    expect(await status(first.port, 'admin', password)).toBe(200)
    expect(statSync(join(home, 'data.postern')).mode & 0o777).toBe(0o700)
    expect(await first.stop()).toBe(0)
    const second = await serve(['--listen', '127.0.0.1:0'])
    expect(second.stdout()).not.toContain('First start')
    expect(await status(second.port, 'admin', password)).toBe(200)
    expect(first.stderr() + second.stderr()).not.toContain(password)
  })

  it('takes the password of the admin from the environment and shows it nowhere', async () => {
    const server = await serve(['--listen', '127.0.0.1:0'], { POSTERN_ADMIN_PASSWORD: 'open sesame' })
    expect(await status(server.port, 'admin', 'open sesame')).toBe(200)
    await server.stop()
    expect(server.stdout() + server.stderr()).not.toContain('open sesame')
  })

  it('listens more than once, on sockets too, each on a line of its own', async () => {
    const socket = join(home, 'p.sock')
    const server = await serve(['--listen', '127.0.0.1:0', '--listen', `unix:${socket}`])
    expect(server.stdout().split('\n').slice(0, 2)).toEqual([
      `listening http://127.0.0.1:${server.port}`,
      `listening unix:${socket}`,
    ])
    await server.stop()
    expect(existsSync(socket)).toBe(false)
  })

  it('serves TLS with a certificate that it keeps', async () => {
    const fingerprint = async (): Promise<string> => {
      const server = await serve(['--listen', '127.0.0.1:0', '--tls', 'self-signed'])
      expect(server.stdout()).toMatch(/^listening https:\/\/127\.0\.0\.1:\d+\n/)
      const shown = /SHA-256 (\S+)/.exec(server.stdout())?.[1] ?? ''
      const { code, stdout } = await run('curl', [
        '-s',
        '--cacert',
        join(home, 'data.postern', 'tls-cert.pem'),
        `https://127.0.0.1:${server.port}/-/health`,
      ])
      expect([code, stdout]).toEqual([0, 'ok\n'])
      await server.stop()
      return shown
    }
    const first = await fingerprint()
    expect(first).toMatch(/^[0-9A-F]{2}(?::[0-9A-F]{2}){31}$/)
    expect(await fingerprint()).toBe(first)
    expect(statSync(join(home, 'data.postern', 'tls-key.pem')).mode & 0o777).toBe(0o600)
  })

  it('limits a listener to its surfaces', async () => {
    writeFileSync(
      join(home, 'postern.yaml'),
      'listen: [{ at: "127.0.0.1:0", surfaces: [http] }]\nlog: { requests: false }\n',
    )
    const server = await serve([], { POSTERN_ADMIN_PASSWORD: 'x' })
    expect(await status(server.port, 'admin', 'x', 'PROPFIND')).toBe(405)
    await server.stop()
    expect(server.stderr()).not.toContain('PROPFIND')
  })

  it('logs one line per request to standard error, without secrets', async () => {
    const server = await serve(['--listen', '127.0.0.1:0'], { POSTERN_ADMIN_PASSWORD: 'hush-hush' })
    const connection = await RawConnection.open(server.port)
    await connection.send(
      `GET /a%0Ab?token=geheim HTTP/1.1\r\nHost: a\r\nUser-Agent: x\x9b31m\r\nAuthorization: ${basic(['admin', 'hush-hush'])}\r\n\r\n`,
    )
    expect((await connection.answer()).status).toBe(404)
    connection.destroy()
    await server.stop()
    const lines = server.stderr().trim().split('\n')
    const line = JSON.parse(lines.find((each) => each.includes('a%0Ab')) ?? '{}') as Record<string, unknown>
    expect(line).toMatchObject({
      method: 'GET',
      path: '/a%0Ab',
      status: 404,
      user: 'catalog:admin',
      surface: 'webdav',
      agent: 'x\\u009b31m',
    })
    for (const secret of ['hush-hush', 'geheim', Buffer.from('admin:hush-hush').toString('base64')])
      expect(server.stderr()).not.toContain(secret)
  })

  it.each([
    ['an address in use', /is in use by another program/],
    ['a root that is a file', /is not a directory/],
    ['a state that is a file', /file stands in its way|is not a directory/],
  ])('says what to do about %s', async (what, message) => {
    const taken = createServer()
    const port = await new Promise<number>((resolve) => {
      taken.listen(0, '127.0.0.1', () => resolve((taken.address() as { readonly port: number }).port))
    })
    writeFileSync(join(home, 'file'), '')
    const args: Readonly<Record<string, readonly string[]>> = {
      'an address in use': ['serve', '--listen', `127.0.0.1:${port}`],
      'a root that is a file': ['serve', 'file', '--listen', '127.0.0.1:0'],
      'a state that is a file': ['serve', '--state', 'file', '--listen', '127.0.0.1:0'],
    }
    const { code, stderr, stdout } = await postern(args[what] ?? [])
    taken.close()
    expect(stderr).toMatch(message)
    expect(stderr).not.toMatch(/\n\s+at /)
    expect([code, stdout]).toEqual([1, ''])
  })

  it('finishes running requests on SIGTERM and ends at once on the second one', async () => {
    const server = await serve(['--listen', '127.0.0.1:0'], { POSTERN_ADMIN_PASSWORD: 'x' })
    const upload = async (): Promise<RawConnection> => {
      const connection = await RawConnection.open(server.port)
      await connection.send(
        `PUT /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\nAuthorization: ${basic(['admin', 'x'])}\r\n\r\n`,
      )
      return connection
    }
    const connection = await upload()
    const answering = connection.answer()
    await connection.send('ab')
    // The health page tells that the upload before it has been taken up.
    expect(await status(server.port, 'admin', 'x')).toBe(200)
    const stopping = server.stop()
    await connection.send('cd')
    expect((await answering).status).toBe(201)
    expect(await stopping).toBe(0)
    expect(readFileSync(join(home, 'data', 'slow'), 'utf8')).toBe('abcd')

    const again = await serve(['--listen', '127.0.0.1:0'])
    const stuck = await RawConnection.open(again.port)
    await stuck.send(
      `PUT /stuck HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nAuthorization: ${basic(['admin', 'x'])}\r\n\r\nab`,
    )
    expect(await status(again.port, 'admin', 'x')).toBe(200)
    again.signal('SIGTERM')
    await eventually('the server says that it stops', () => again.stderr().includes('stopping'))
    again.signal('SIGTERM')
    expect(await again.exited).toBe(1)
  })
})

describe('postern user', () => {
  it('manages users while the server runs, at once', async () => {
    const server = await serve(['--listen', '127.0.0.1:0'])
    const added = await postern(
      ['user', 'add', 'alice', '--grant', 'r:/**', '--grant', 'rw:/alice/**', '--password-stdin', '--json'],
      'secret\n',
    )
    expect(added).toMatchObject({ code: 0, stderr: '' })
    expect(JSON.parse(added.stdout)).toMatchObject({
      name: 'alice',
      grants: ['r:/**', 'rw:/alice/**'],
      disabled: false,
    })
    expect(await status(server.port, 'alice', 'secret')).toBe(200)
    expect(await status(server.port, 'alice', 'secret\n')).toBe(401)

    expect(await postern(['user', 'passwd', 'alice', '--password-stdin'], 'new\r\n')).toMatchObject({ code: 0 })
    expect(await status(server.port, 'alice', 'secret')).toBe(401)
    expect(await status(server.port, 'alice', 'new')).toBe(200)

    expect((await postern(['user', 'disable', 'alice'])).stdout).toBe('alice is disabled.\n')
    expect(await status(server.port, 'alice', 'new')).toBe(401)
    expect((await postern(['user', 'list'])).stdout).toMatch(/alice +disabled +r:\/\*\* rw:\/alice\/\*\*/)
    await postern(['user', 'enable', 'alice'])
    expect(await status(server.port, 'alice', 'new')).toBe(200)

    await postern(['user', 'grant', 'alice', '--grant', 'r:/other/**'])
    expect(await status(server.port, 'alice', 'new', 'GET', '/alice/')).toBe(403)

    expect((await postern(['user', 'rm', 'alice'])).code).toBe(0)
    expect(await status(server.port, 'alice', 'new')).toBe(401)
    const list = JSON.parse((await postern(['user', 'list', '--json'])).stdout) as readonly object[]
    expect(list).toEqual([
      { name: 'admin', home: '/', grants: ['rw:/**'], disabled: false, created: expect.any(String) as string },
    ])
  })

  it('fails with the reason, and never shows a hash', async () => {
    expect(await postern(['user', 'list'])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('no state directory') as string,
    })
    await (await serve(['--listen', '127.0.0.1:0'])).stop()
    expect(await postern(['user', 'rm', 'bob'])).toMatchObject({ code: 1, stderr: 'There is no user "bob".\n' })
    expect(await postern(['user', 'add', 'admin', '--password-stdin'], 'x')).toMatchObject({
      code: 1,
      stderr: 'There is a user "admin" already.\n',
    })
    expect(await postern(['user', 'add', 'a/b', '--password-stdin'], 'x')).toMatchObject({ code: 2 })
    expect(await postern(['user', 'add', 'bob', '--password-stdin'], '\n')).toMatchObject({
      code: 2,
      stderr: 'The password is empty.\n',
    })
    expect(await postern(['user', 'add', 'bob'])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('--password-stdin') as string,
    })
    expect((await postern(['user', 'list', '--json'])).stdout).not.toContain('argon2')
  })

  it.skipIf(process.geteuid?.() !== 0)('run as root leaves the state to its owner', async () => {
    await (await serve(['--listen', '127.0.0.1:0'])).stop()
    const state = join(home, 'data.postern')
    chmodSync(home, 0o755)
    const own = await run('chown', ['-R', '65534:65534', state])
    expect(own.code).toBe(0)
    expect(await postern(['user', 'add', 'bob', '--password-stdin'], 'x')).toMatchObject({ code: 0 })
    const listing = await run('find', [state, '-not', '-uid', '65534'])
    expect(listing.stdout).toBe('')
  })
})

describe('postern check', () => {
  it('says that all is well, or what is not', async () => {
    const file = join(home, 'postern.yaml')
    writeFileSync(file, 'root: ./files\n')
    expect(await postern(['check'])).toMatchObject({
      code: 0,
      stdout: expect.stringContaining(`${file}: ok`) as string,
    })
    writeFileSync(file, 'root: ./files\n\nsymlink: inside\n')
    expect(await postern(['check'])).toMatchObject({
      code: 2,
      stderr: 'postern.yaml:3: symlink: is not a setting; did you mean symlinks?\n',
    })
  })

  it('explains what a caller may do, by which grant of which source', async () => {
    writeFileSync(join(home, 'postern.yaml'), 'anonymous: { grants: ["r:/public/**"] }\nlisten: ["127.0.0.1:0"]\n')
    await (await serve([])).stop()
    await postern(
      ['user', 'add', 'alice', '--grant', 'r:/acme/**', '--grant', 'create:/acme/in/**', '--password-stdin'],
      'x',
    )
    const explain = async (...args: readonly string[]): Promise<readonly [number | null, string]> => {
      const { code, stdout } = await postern(['check', '--as', ...args])
      return [code, stdout]
    }
    expect(await explain('alice', 'PUT', '/acme/in/x')).toEqual([
      0,
      '  create (PUT of a new file): by create:/acme/in/** of catalog\n  replace (PUT of one that is there): no grant\nPUT /acme/in/x as alice: allowed\n',
    ])
    expect(await explain('alice', 'DELETE', '/acme/in/x')).toEqual([
      1,
      '  delete: no grant\nDELETE /acme/in/x as alice: denied\n',
    ])
    expect((await explain('alice', 'propfind', '/'))[0]).toBe(0)
    expect((await explain('alice', 'MOVE', '/acme/a'))[0]).toBe(1)
    expect((await explain('anonymous', 'GET', '/public/a'))[1]).toContain('by r:/public/** of anonymous')
    expect(await explain('bob', 'GET', '/')).toEqual([1, 'No source knows "bob". Asked: catalog.\n'])
    expect((await explain('admin', 'PUT', '/-/x'))[0]).toBe(1)
  })
})

interface Serving {
  readonly port: number
  readonly exited: Promise<number | null>
  stdout(): string
  stderr(): string
  signal(signal: NodeJS.Signals): void
  stop(): Promise<number | null>
}

function environment(more: Readonly<Record<string, string>> = {}): NodeJS.ProcessEnv {
  return { PATH: process.env.PATH, HOME: home, ...more }
}

function postern(args: readonly string[], stdin = ''): Promise<Finished> {
  return run(process.execPath, [program, ...args], { cwd: home, stdin, env: environment() })
}

/** Starts `postern serve` and waits until its banner is complete. */
async function serve(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Serving> {
  const child = spawn(process.execPath, [program, 'serve', ...args], { cwd: home, env: environment(env) })
  started.push(child)
  let stdout = ''
  let stderr = ''
  child.stderr.on('data', (bytes: Buffer) => (stderr += bytes.toString('utf8')))
  const exited = new Promise<number | null>((resolve) => child.once('close', resolve))
  await new Promise<void>((resolve, reject) => {
    child.stdout.on('data', (bytes: Buffer) => {
      stdout += bytes.toString('utf8')
      if (stdout.includes('davfs')) resolve()
    })
    child.once('close', () => reject(new Error(`ended early: ${stderr}`)))
  })
  return {
    port: Number(/^listening https?:\/\/127\.0\.0\.1:(\d+)$/m.exec(stdout)?.[1]),
    exited,
    stdout: () => stdout,
    stderr: () => stderr,
    signal: (signal) => void child.kill(signal),
    stop: async () => {
      child.kill('SIGTERM')
      return await exited
    },
  }
}

async function status(port: number, name: string, password: string, method = 'GET', target = '/'): Promise<number> {
  const connection = await RawConnection.open(port)
  await connection.send(
    `${method} ${target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: ${basic([name, password])}\r\n\r\n`,
  )
  const answer = await connection.answer({ method })
  connection.destroy()
  return answer.status
}

/** Asks a server on a Unix socket whether it is alive. */
async function statusOfHealth(socketPath: string): Promise<number | undefined> {
  return await new Promise((resolve, reject) => {
    get({ socketPath, path: '/-/health', agent: false }, (answer) => {
      answer.resume().once('end', () => resolve(answer.statusCode))
    }).once('error', reject)
  })
}

import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { Server } from '../harness.js'
import { namesBelow, run, startServer } from '../harness.js'
import { describeForeign } from './tools.js'

/** A server and an empty home directory for the client. */
function withServer(): { readonly server: Server; readonly home: string } {
  const box: { server?: Server; home?: string } = {}
  beforeAll(async () => {
    box.server = await startServer()
    box.home = await mkdtemp(join(tmpdir(), 'postern-client-'))
  })
  afterAll(async () => {
    await box.server?.[Symbol.asyncDispose]()
    if (box.home !== undefined) await rm(box.home, { recursive: true, force: true })
  })
  return {
    get server() {
      return box.server!
    },
    get home() {
      return box.home!
    },
  }
}

describeForeign('cadaver', ['program: cadaver'], () => {
  const box = withServer()

  async function cadaver(...lines: readonly string[]): Promise<string> {
    const { server, home } = box
    await writeFile(join(home, '.netrc'), `machine 127.0.0.1 login admin password "${server.adminPassword}"\n`, {
      mode: 0o600,
    })
    const script = [`open ${server.url}/`, ...lines, 'quit', ''].join('\n')
    const done = await run('cadaver', [], { cwd: home, env: { ...process.env, HOME: home }, stdin: script })
    expect(done.code).toBe(0)
    return done.stdout
  }

  it('uploads, lists, copies, moves, downloads and deletes', async () => {
    const { server, home } = box
    await writeFile(join(home, 'a b.txt'), 'hello from cadaver\n')
    const output = await cadaver(
      'mkcol new',
      'cd new',
      'put "a b.txt" "b ü.txt"',
      'move "b ü.txt" c.txt',
      'copy c.txt d.txt',
      'get d.txt e.txt',
      'ls',
      'delete c.txt',
    )
    expect(output).not.toMatch(/failed|Could not|[45]\d\d /)
    expect(output.match(/succeeded\./g)).toHaveLength(7)
    expect(await readFile(join(home, 'e.txt'), 'utf8')).toBe('hello from cadaver\n')
    expect(await namesBelow(server.root)).toEqual(['new', 'new/d.txt'])
    expect(await cadaver('rmcol new')).toContain('succeeded.')
    expect(await namesBelow(server.root)).toEqual([])
  })

  it('keeps properties and finds locks', async () => {
    const { home } = box
    await writeFile(join(home, 'p.txt'), 'x')
    const output = await cadaver(
      'put p.txt',
      'propset p.txt colour blue',
      'propget p.txt colour',
      'propnames p.txt',
      'lock p.txt',
      'discover p.txt',
      'put p.txt',
      'unlock p.txt',
      'propdel p.txt colour',
    )
    expect(output).not.toMatch(/failed|Could not|no locks found|[45]\d\d /)
    expect(output).toMatch(/Value of colour is: blue/)
    expect(output).toMatch(/Lock token <(?:urn:uuid|opaquelocktoken):[0-9a-f-]{36}>/)
    expect(output).toMatch(/Depth (?:0|infinity) on/)
  })
})

describeForeign('curl', ['program: curl'], () => {
  const box = withServer()

  async function curl(...args: readonly string[]): Promise<{ readonly status: number; readonly body: string }> {
    const login = `admin:${box.server.adminPassword}`
    const done = await run('curl', ['-sS', '-u', login, '-w', '\n%{http_code}', ...args], { cwd: box.home })
    expect(done.code, done.stderr).toBe(0)
    const cut = done.stdout.lastIndexOf('\n')
    return { status: Number(done.stdout.slice(cut + 1)), body: done.stdout.slice(0, cut) }
  }

  it('uploads with -T and makes nothing of a body that is refused after Expect: 100-continue', async () => {
    const { server, home } = box
    const big = Buffer.alloc(2_000_000, 'a')
    await writeFile(join(home, 'big'), big)
    expect((await curl('-T', 'big', `${server.url}/big`)).status).toBe(201)
    expect((await curl('-T', 'big', `${server.url}/big`)).status).toBe(204)
    expect((await readFile(join(server.root, 'big'))).equals(big)).toBe(true)
    const refused = await run(
      'curl',
      [
        ...['-sS', '-u', 'admin:wrong', '-T', 'big', '-H', 'Expect: 100-continue', '--expect100-timeout', '20'],
        ...['-o', '/dev/null', '-w', '%{http_code} %{size_upload}', `${server.url}/big`],
      ],
      { cwd: home },
    )
    expect(refused.stdout).toBe('401 0')
  })

  it('reads ranges and resumes downloads', async () => {
    const { server, home } = box
    await writeFile(join(server.root, 'digits'), '0123456789')
    const url = `${server.url}/digits`
    expect(await curl('--range', '2-4', url)).toEqual({ status: 206, body: '234' })
    expect(await curl('--range', '-3', url)).toEqual({ status: 206, body: '789' })
    const several = await curl('--range', '0-1,4-5', url)
    expect(several.status).toBe(206)
    expect(several.body).toMatch(
      /content-range: bytes 0-1\/10\r\n\r\n01\r\n[^]*content-range: bytes 4-5\/10\r\n\r\n45/i,
    )
    await writeFile(join(home, 'partial'), '01234')
    expect((await curl('-C', '-', '-o', 'partial', url)).status).toBe(206)
    expect(await readFile(join(home, 'partial'), 'utf8')).toBe('0123456789')
  })

  it('finds the scheme by itself with --anyauth', async () => {
    const { server } = box
    await writeFile(join(server.root, 'any'), 'any')
    expect(await curl('--anyauth', `${server.url}/any`)).toEqual({ status: 200, body: 'any' })
    await writeFile(join(box.home, 'up'), 'up')
    expect((await curl('--anyauth', '-T', 'up', `${server.url}/up`)).status).toBe(201)
    expect(await readFile(join(server.root, 'up'), 'utf8')).toBe('up')
  })

  it('deletes, and speaks of what is missing', async () => {
    const { server } = box
    await writeFile(join(server.root, 'gone'), 'x')
    expect((await curl('-X', 'DELETE', `${server.url}/gone`)).status).toBe(204)
    expect((await curl(`${server.url}/gone`)).status).toBe(404)
    expect(existsSync(join(server.root, 'gone'))).toBe(false)
  })

  it('sends and checks conditions', async () => {
    const { server } = box
    await writeFile(join(server.root, 'conditional'), 'one')
    const etag = /^etag: (\S+)\r$/im.exec((await curl('-I', `${server.url}/conditional`)).body)?.[1] ?? ''
    expect(etag).toMatch(/^"[^"]+"$/)
    const url = `${server.url}/conditional`
    expect((await curl('-H', `If-None-Match: ${etag}`, url)).status).toBe(304)
    expect((await curl('-X', 'PUT', '-d', 'two', '-H', 'If-Match: "stale"', url)).status).toBe(412)
    expect((await curl('-X', 'PUT', '-d', 'two', '-H', `If-Match: ${etag}`, url)).status).toBe(204)
    expect((await curl(url)).body).toBe('two')
  })
})

describeForeign('curl over TLS', ['program: curl'], () => {
  it('reads and writes with a certificate that the server made', async () => {
    await using server = await startServer({ args: ['--tls', 'self-signed'] })
    expect(server.url).toMatch(/^https:\/\//)
    const common = ['-sS', '-u', `admin:${server.adminPassword}`, '-w', ' %{http_code}']
    const put = await run('curl', [...common, '-k', '-T', '-', `${server.url}/t.txt`], { stdin: 'over tls' })
    expect(put.stdout).toMatch(/ 201$/)
    expect((await run('curl', [...common, '-k', `${server.url}/t.txt`])).stdout).toBe('over tls 200')
    const strict = await run('curl', [...common, `${server.url}/t.txt`])
    expect(strict.code, 'a client that checks refuses a self-signed certificate').toBe(60)
  })
})

describeForeign('gio and gvfs', ['program: gio', 'program: gvfsd-dav', 'program: dbus-run-session'], () => {
  const box = withServer()

  it('mounts, lists, copies, reads, renames and removes', async () => {
    const { server, home } = box
    const runtime = join(home, 'run')
    await mkdir(runtime, { mode: 0o700 })
    await writeFile(join(home, 'a.txt'), 'hello from gio\n')
    const share = `dav://127.0.0.1:${server.port}/`
    const script = [
      'set -eux',
      `printf 'admin\\n%s\\n' "$PASSWORD" | gio mount ${share}`,
      `gio mkdir '${share}ordner ä'`,
      `gio copy a.txt '${share}ordner ä/b.txt'`,
      `gio cat '${share}ordner ä/b.txt' | cmp - a.txt`,
      `gio rename '${share}ordner ä/b.txt' 'c d.txt'`,
      `gio move '${share}ordner ä/c d.txt' ${share}d.txt`,
      `gio copy ${share}d.txt back.txt && cmp back.txt a.txt`,
      `printf 'saved again' | gio save ${share}d.txt`,
      `test "$(gio cat ${share}d.txt)" = 'saved again'`,
      `gio info ${share}d.txt | grep -q 'standard::size: 11'`,
      `gio list ${share} | sort > listing`,
      `gio remove ${share}d.txt '${share}ordner ä'`,
      `gio mount -u ${share}`,
    ].join('\n')
    const done = await run('dbus-run-session', ['--', 'bash', '-c', script], {
      cwd: home,
      env: {
        ...process.env,
        HOME: home,
        XDG_RUNTIME_DIR: runtime,
        XDG_DATA_HOME: join(home, 'share'),
        LC_ALL: 'C.UTF-8',
        PASSWORD: server.adminPassword,
      },
    })
    expect(done.code, done.stderr + server.stderr()).toBe(0)
    expect(await readFile(join(home, 'listing'), 'utf8')).toBe('d.txt\nordner ä\n')
    expect(await namesBelow(server.root)).toEqual([])
  })
})

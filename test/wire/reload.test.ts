import { spawn, spawnSync } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect as connectTls } from 'node:tls'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Server } from '../harness.js'
import { basic, eventually, namesBelow, run, startServer } from '../harness.js'
import { connectToEach, KeepAlive, load } from '../keep-alive.js'
import { RawConnection } from '../raw-http.js'

const program = fileURLToPath(new URL('../../bin/postern.js', import.meta.url))
const everybodyReads = 'anonymous: { grants: ["r:/**"] }\n'
const one = { args: ['--durability', 'fast'] }
const two = { args: ['--durability', 'fast', '--workers', '2'] }

let home: string

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'postern-reload-'))
})

afterEach(() => rmSync(home, { recursive: true, force: true }))

/** As editors do it: another file in the place of the old one. */
function replace(file: string, text: string): void {
  writeFileSync(`${file}.new`, text)
  renameSync(`${file}.new`, file)
}

async function logged(server: Server, text: string | RegExp, count = 1): Promise<void> {
  await eventually(`the log says ${String(text)} (${count})`, () => server.stderr().split(text).length > count)
}

/** The status that somebody without a login gets. */
async function anonymously(server: Server, target = '/'): Promise<number> {
  return (await server.request('GET', target, { as: null })).status
}

async function freePort(): Promise<number> {
  const server = createServer()
  const port = await new Promise<number>((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve((server.address() as { readonly port: number }).port))
  })
  await new Promise((resolve) => server.close(resolve))
  return port
}

describe('a changed configuration that is wrong', () => {
  it.each([
    ['cors: { origins: [nowhere] }\n', 'postern.yaml:1: cors.origins[0]: must be an exact origin'],
    ['\nrooot: x\n', 'postern.yaml:2: rooot: is not a setting; did you mean root?'],
    ['anonymous: { grants: ["r:/**"] }\nlimits: {\n', 'postern.yaml:'],
    ['tls: { cert: none.pem, key: none.pem }\n', 'none.pem cannot be read'],
    ['', 'postern.yaml: is empty'],
    ['anonymous: { grants: ["fly:/**"] }\n', 'postern.yaml:1: anonymous.grants[0]: The grant'],
  ])('%j changes nothing, and the log says why', async (text, reason) => {
    await using server = await startServer({ ...one, config: everybodyReads })
    writeFileSync(server.configFile, text)
    await logged(server, reason)
    expect(server.stderr()).toContain('The configuration before this one goes on.')
    expect(await anonymously(server)).toBe(200)
    replace(server.configFile, 'uniform403: true\n')
    await logged(server, 'configuration applied: anonymous, uniform403')
    expect(await anonymously(server)).toBe(403)
  })

  it('and one that is gone changes nothing until it is back', async () => {
    await using server = await startServer({ ...one, config: everybodyReads })
    unlinkSync(server.configFile)
    await logged(server, 'cannot be read (ENOENT)')
    expect(await anonymously(server)).toBe(200)
    writeFileSync(server.configFile, 'basicRealm: other\n')
    await logged(server, 'configuration applied')
    expect((await server.request('GET', '/', { as: null })).header('www-authenticate')).toContain('other')
  })

  it('with an address that is taken changes nothing else either', async () => {
    const taken = createServer()
    const port = await new Promise<number>((resolve) => {
      taken.listen(0, '127.0.0.1', () => resolve((taken.address() as { readonly port: number }).port))
    })
    for (const options of [one, two]) {
      const own = await freePort()
      const config = `listen: ["127.0.0.1:${own}"]\n`
      await using server = await startServer({ ...options, config, listensAsConfigured: true })
      replace(server.configFile, `listen: ["127.0.0.1:${own}", "127.0.0.1:${port}"]\n${everybodyReads}`)
      await logged(server, 'in use by another program')
      expect(await anonymously(server)).toBe(401)
      replace(server.configFile, config + everybodyReads)
      await logged(server, 'configuration applied: anonymous')
      expect(await anonymously(server)).toBe(200)
    }
    taken.close()
  })
})

describe('a changed configuration', () => {
  it.each([
    ['one process', one],
    ['two workers', two],
  ])('holds from then on, with %s, and the log names keys only', async (_, options) => {
    await using server = await startServer({ ...options, config: 'basicRealm: before\n' })
    expect(await anonymously(server)).toBe(401)
    replace(server.configFile, 'basicRealm: after\nanonymous: { grants: ["r:/hush-hush/**"] }\nlog: { level: debug }\n')
    await logged(server, 'configuration applied: anonymous, basicRealm, log.level')
    const answer = await server.request('GET', '/other', { as: null })
    expect([answer.status, answer.header('www-authenticate')]).toEqual([401, expect.stringContaining('after')])
    expect(await anonymously(server, '/hush-hush/x')).toBe(404)
    expect(server.stderr()).not.toContain('hush-hush')
    replace(server.configFile, 'log: { level: info }\n')
    await logged(server, 'configuration applied', 2)
    expect(await anonymously(server, '/hush-hush/x')).toBe(401)
    expect(await server.stop()).toBe(0)
  })

  it('is read again at SIGHUP', async () => {
    await using server = await startServer({ ...two, config: everybodyReads })
    process.kill(server.pid, 'SIGHUP')
    await logged(server, 'nothing has changed')
    writeFileSync(server.configFile, 'uniform403: true\n')
    process.kill(server.pid, 'SIGHUP')
    await logged(server, 'configuration applied')
    expect(await anonymously(server)).toBe(403)
  })

  it('twenty times a second ends at the last', async () => {
    await using server = await startServer({ ...two, config: 'basicRealm: "0"\n' })
    for (let edit = 1; edit <= 40; edit += 1) {
      const text = edit % 4 === 0 ? 'basicRealm: [broken\n' : `basicRealm: "${edit}"\n`
      if (edit % 2 === 0) replace(server.configFile, text)
      else writeFileSync(server.configFile, text)
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    writeFileSync(server.configFile, 'basicRealm: "the last"\n')
    const connections = await connectToEach(server, 2)
    for (const connection of connections) {
      await eventually('the last one holds', async () => {
        const answer = await connection.request('GET', '/', { as: null })
        return answer.header('www-authenticate').includes('"the last"')
      })
      connection.destroy()
    }
  })

  it('of what cannot change while it serves says so, and the rest holds', async () => {
    await using server = await startServer({ config: 'limits: { idleSeconds: 5 }\n' })
    replace(server.configFile, `workers: 2\nlimits: { idleSeconds: 6, stopSeconds: 3 }\nlog: { format: pretty }\n${everybodyReads}`) // prettier-ignore
    await logged(server, 'configuration applied: anonymous, limits.stopSeconds')
    await logged(server, 'takes effect at the next start: limits.idleSeconds, log.format, workers')
    expect(await anonymously(server)).toBe(200)
  })

  it.each([
    ['one process', one],
    ['two workers', two],
  ])('fails no request under load, with %s', async (_, options) => {
    await using server = await startServer({ ...options, config: everybodyReads })
    const working = load(server, { connections: 8 })
    for (let change = 1; change <= 8; change += 1) {
      replace(server.configFile, `basicRealm: "${change}"\nhideQuotaFrom: []\n${change % 2 ? '' : everybodyReads}`)
      await logged(server, 'configuration applied', change)
      const before = working.answered()
      await eventually('the load goes on', () => working.answered() > before + 50)
    }
    const { answered, failed } = await working.end()
    expect(failed).toEqual([])
    expect(answered).toBeGreaterThan(400)
  })
})

describe('listeners', () => {
  it.each([
    ['one process', one],
    ['two workers', two],
  ])('come and go while the others go on, with %s', async (_, options) => {
    const [stays, goes, comes] = [await freePort(), await freePort(), await freePort()]
    const socket = join(home, 'p.sock')
    const config = `listen: ["127.0.0.1:${stays}", "127.0.0.1:${goes}"]\n`
    await using server = await startServer({ ...options, config, listensAsConfigured: true })
    expect(server.port).toBe(stays)
    const unchanged = await KeepAlive.open(server)
    const working = load(server, { connections: 4, folder: '' })
    const upload = await RawConnection.open(goes)
    await upload.send(
      `PUT /late HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\nAuthorization: ${basic(['admin', server.adminPassword])}\r\n\r\n`,
    )
    await upload.send(Buffer.alloc(1_000_000))
    await eventually('the upload has begun', async () =>
      (await namesBelow(server.root)).some((name) => name.includes('.postern-write-')),
    )
    const answering = upload.answer()

    const changed = `listen: ["127.0.0.1:${stays}", { at: "127.0.0.1:${comes}", surfaces: [http] }, "unix:${socket}"]\n`
    replace(server.configFile, changed)
    await logged(server, 'configuration applied: listen')
    await eventually('the new ones are announced', () => server.stdout().includes(`listening unix:${socket}\n`))
    expect(server.stdout()).toContain(`listening http://127.0.0.1:${comes}\n`)
    expect(server.stdout().split(`listening http://127.0.0.1:${stays}\n`)).toHaveLength(2)
    const fresh = await KeepAlive.open(server, comes)
    expect((await fresh.request('PROPFIND', '/')).status).toBe(405)
    expect((await fresh.request('GET', '/')).status).toBe(200)
    expect((await run('curl', ['-s', '--unix-socket', socket, 'http://localhost/-/health'])).stdout).toBe('ok\n')
    await expect(RawConnection.open(goes)).rejects.toThrow(/ECONNREFUSED/)
    expect((await unchanged.request('PROPFIND', '/', { headers: { Depth: '0' } })).status).toBe(207)
    await upload.send(Buffer.alloc(1_000_000))
    expect((await answering).status).toBe(201)

    // What a listener speaks changes without another socket.
    replace(server.configFile, `listen: [{ at: "127.0.0.1:${stays}", surfaces: [http] }]\n`)
    await logged(server, 'configuration applied: listen', 2)
    expect((await unchanged.request('PROPFIND', '/', { headers: { Depth: '0' } })).status).toBe(405)
    await expect(RawConnection.open(comes)).rejects.toThrow(/ECONNREFUSED/)
    await eventually('the socket is gone', async () => !(await namesBelow(home)).includes('p.sock'))
    expect((await working.end()).failed).toEqual([])
    for (const connection of [unchanged, fresh, upload]) connection.destroy()
    expect(await server.stop()).toBe(0)
  })

  it('may take the place of one another', async () => {
    const port = await freePort()
    for (const options of [one, two]) {
      const config = `listen: ["127.0.0.1:${port}"]\n`
      await using server = await startServer({ ...options, config, listensAsConfigured: true })
      replace(server.configFile, `listen: ["0.0.0.0:${port}"]\n`)
      await logged(server, 'configuration applied: listen')
      await eventually('it is announced', () => server.stdout().includes(`listening http://0.0.0.0:${port}\n`))
      expect((await server.request('GET', '/')).status).toBe(200)
      replace(server.configFile, `listen: ["127.0.0.1:${port}"]\ntls: self-signed\n`)
      await logged(server, 'configuration applied: listen, tls')
      expect((await run('curl', ['-sk', `https://127.0.0.1:${port}/-/health`])).stdout).toBe('ok\n')
    }
  })
})

describe('certificates', () => {
  async function make(name: string): Promise<{ readonly cert: string; readonly key: string }> {
    const [cert, key] = [join(home, `${name}.pem`), join(home, `${name}.key`)]
    const args = 'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2'.split(' ')
    const made = await run('openssl', [...args, '-subj', `/CN=${name}`, '-keyout', key, '-out', cert])
    expect(made.code).toBe(0)
    return { cert: readFileSync(cert, 'utf8'), key: readFileSync(key, 'utf8') }
  }

  /** The name in the certificate that a new connection is shown. */
  async function shown(port: number): Promise<string> {
    return await new Promise((resolve, reject) => {
      const socket = connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false }, () => {
        resolve(new X509Certificate(socket.getPeerCertificate().raw).subject.replace('CN=', ''))
        socket.destroy()
      })
      socket.on('error', reject)
    })
  }

  it.each([
    ['one process', one],
    ['two workers', two],
  ])('are taken from their files when these change, with %s', async (_, options) => {
    const [first, second, stranger] = [await make('first'), await make('second'), await make('stranger')]
    const [cert, key] = [join(home, 'cert.pem'), join(home, 'key.pem')]
    writeFileSync(cert, first.cert)
    writeFileSync(key, first.key)
    await using server = await startServer({ ...options, config: `tls: { cert: ${cert}, key: ${key} }\n` })
    expect(await shown(server.port)).toBe('first')
    const open = connectTls({ port: server.port, host: '127.0.0.1', rejectUnauthorized: false })
    await new Promise((resolve) => open.once('secureConnect', resolve))

    replace(key, second.key)
    replace(cert, second.cert)
    await logged(server, 'configuration applied: tls (certificate)')
    for (let attempt = 0; attempt < 6; attempt += 1) expect(await shown(server.port)).toBe('second')

    replace(cert, stranger.cert)
    await logged(server, 'is not the key of')
    unlinkSync(key)
    await logged(server, 'cannot be read')
    for (let attempt = 0; attempt < 6; attempt += 1) expect(await shown(server.port)).toBe('second')

    const answer = new Promise<string>((resolve) => open.once('data', (bytes: Buffer) => resolve(bytes.toString())))
    open.write('GET /-/health HTTP/1.1\r\nHost: a\r\n\r\n')
    expect(await answer).toMatch(/^HTTP\/1\.1 200 /)
    open.destroy()
    writeFileSync(key, stranger.key)
    await logged(server, 'configuration applied', 2)
    expect(await shown(server.port)).toBe('stranger')
    expect(server.stderr()).not.toContain('PRIVATE KEY')
  })
})

describe.skipIf(spawnSync('systemd-notify', ['--version']).status !== 0 || spawnSync('python3', ['-V']).status !== 0)(
  'systemd',
  () => {
    it.each([
      ['one process', one],
      ['two workers', two],
    ])('is told of start, reload and stop, with %s', async (_, options) => {
      const socket = join(home, 'notify')
      const receiver = spawn('python3', ['-uc', receive, socket])
      let told = ''
      receiver.stdout.on('data', (bytes: Buffer) => (told += bytes.toString()))
      await eventually('somebody listens to it', () => told.includes('bound'))
      const env = { NOTIFY_SOCKET: socket }
      await using server = await startServer({ ...options, env, config: everybodyReads })
      await eventually('it is told of the start', () => told.includes('READY=1'))
      replace(server.configFile, 'uniform403: true\n')
      await logged(server, 'configuration applied')
      await eventually('it is told that the reload is over', () => told.split('READY=1').length === 3)
      expect(await server.stop()).toBe(0)
      await eventually('it is told of the stop', () => told.includes('STOPPING=1'))
      receiver.kill()
      const words = [...told.matchAll(/(READY|RELOADING|STOPPING)=1/g)].map(([, word]) => word)
      expect(words).toEqual(['READY', 'RELOADING', 'READY', 'STOPPING'])
      expect(told).toContain(`MAINPID=${server.pid}\n`)
      expect(told).toMatch(/MONOTONIC_USEC=\d+/)
    })
  },
)

/** Prints what comes to a datagram socket, which Node cannot open. */
const receive = `
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
print("bound")
while True: print(s.recv(1000).decode())
`

describe('another root', () => {
  const started: ChildProcess[] = []
  afterEach(() => {
    for (const child of started.splice(0)) child.kill('SIGKILL')
  })

  it.each(['1', '2'])(
    'is served from then on; what was begun in the old one ends there, with %s worker(s)',
    async (workers) => {
      const file = join(home, 'postern.yaml')
      const rest = `state: ./state\nlisten: ["127.0.0.1:0"]\nworkers: ${workers}\n`
      writeFileSync(file, `root: ./old\n${rest}`)
      const env = { PATH: process.env.PATH, POSTERN_ADMIN_PASSWORD: 'x' }
      const child = spawn(process.execPath, [program, 'serve'], { cwd: home, env })
      started.push(child)
      const said = { stdout: '', stderr: '' }
      child.stdout.on('data', (bytes: Buffer) => (said.stdout += bytes.toString()))
      child.stderr.on('data', (bytes: Buffer) => (said.stderr += bytes.toString()))
      await eventually('it listens', () => said.stdout.includes('davfs'))
      const port = Number(/^listening http:\S+:(\d+)$/m.exec(said.stdout)?.[1])
      const authorization = basic(['admin', 'x'])
      const upload = await RawConnection.open(port)
      await upload.send(
        `PUT /f HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\nAuthorization: ${authorization}\r\n\r\n`,
      )
      await upload.send(Buffer.alloc(1_000_000))
      await eventually('the upload has begun', async () => (await namesBelow(join(home, 'old'))).length > 0)
      const answering = upload.answer()

      replace(file, `root: ./new\n${rest}`)
      await eventually('it is applied', () => said.stderr.includes('configuration applied: root'))
      writeFileSync(join(home, 'new', 'here'), 'new')
      const get = await RawConnection.open(port)
      await get.send(`GET /here HTTP/1.1\r\nHost: a\r\nAuthorization: ${authorization}\r\n\r\n`)
      expect((await get.answer()).text).toBe('new')
      get.destroy()
      await upload.send(Buffer.alloc(1_000_000))
      expect((await answering).status).toBe(201)
      upload.destroy()
      expect(await namesBelow(join(home, 'old'))).toEqual(['f'])
      expect(await namesBelow(join(home, 'new'))).toEqual(['here'])
      await eventually('the old one is let go', () => !openFiles(child.pid ?? 0).includes(join(home, 'old')))

      replace(file, `root: ./third\n${rest.replace('./state', './elsewhere')}`)
      await eventually('it says what waits', () => said.stderr.includes('takes effect at the next start: root, state'))
      child.kill('SIGTERM')
      expect(await new Promise((resolve) => child.once('close', resolve))).toBe(0)
    },
  )

  /** What the process and its children have open. */
  function openFiles(pid: number): readonly string[] {
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean)
    return [String(pid), ...children].flatMap((each) =>
      readdirSync(`/proc/${each}/fd`).flatMap((fd) => {
        try {
          return [readlinkSync(`/proc/${each}/fd/${fd}`)]
        } catch {
          return []
        }
      }),
    )
  }
})

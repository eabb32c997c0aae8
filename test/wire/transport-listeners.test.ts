import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { request } from 'node:http'
import { mkdtemp, rename, rm, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import type { Server as NetServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { eventually, run } from '../harness.js'

const program = fileURLToPath(new URL('../../bin/postern.js', import.meta.url))

let home: string
let running: ChildProcess | undefined
let said = ''

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'postern-listen-'))
  said = ''
})

afterEach(async () => {
  running?.kill('SIGTERM')
  if (running?.exitCode === null) await new Promise((resolve) => running?.once('close', resolve))
  running = undefined
  await rm(home, { recursive: true, force: true })
})

/** Starts the program with these listeners; `handed` are open sockets that it gets as systemd would give them. */
async function serve(
  config: string,
  options: { readonly workers?: number; readonly handed?: readonly (readonly [NetServer, string])[] } = {},
): Promise<readonly string[]> {
  const { workers = 1, handed = [] } = options
  await writeFile(join(home, 'postern.yaml'), config)
  const args = ['serve', join(home, 'data'), '--config', join(home, 'postern.yaml'), '--workers', String(workers)]
  const names = handed.map(([, name]) => name).join(':')
  const env = { ...process.env, POSTERN_ADMIN_PASSWORD: 'pw', LISTEN_FDS: String(handed.length), LISTEN_FDNAMES: names }
  const descriptors = handed.map(([server]) => descriptorOf(server))
  // The shell becomes the program, and so has the number that LISTEN_PID must name.
  running = spawn('sh', ['-c', 'LISTEN_PID=$$ exec "$@"', 'sh', process.execPath, program, ...args], {
    env,
    stdio: ['ignore', 'pipe', 'pipe', ...descriptors],
  })
  running.stdout?.on('data', (bytes: Buffer) => (said += bytes.toString()))
  running.stderr?.on('data', (bytes: Buffer) => (said += bytes.toString()))
  await eventually('it serves or ends', () => /^Serving /m.test(said) || running?.exitCode !== null, 20_000)
  return [...said.matchAll(/^listening (\S+)$/gm)].map(([, url = '']) => url)
}

function descriptorOf(server: NetServer): number {
  const { _handle: handle } = server as unknown as { readonly _handle: { readonly fd: number } }
  return handle.fd
}

async function opened(where: { readonly port: number; readonly host: string } | { readonly path: string }) {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(where, resolve))
  return server
}

async function health(where: { readonly socketPath: string } | { readonly url: string }): Promise<number> {
  return await new Promise((resolve, reject) => {
    const { hostname, port } = 'url' in where ? new URL(where.url) : { hostname: 'localhost', port: '' }
    const target = 'url' in where ? { host: hostname.replace(/^\[(.*)\]$/, '$1'), port } : where
    const sent = request({ ...target, path: '/-/health', agent: false }, (answer) => {
      answer.resume()
      resolve(answer.statusCode ?? 0)
    })
    sent.on('error', reject).end()
  })
}

describe.each([1, 2])('with %i workers', (workers) => {
  it('a Unix socket has the mode that was asked for, and goes with the server', async () => {
    const path = join(home, 'socket')
    expect(await serve(`listen: [{ at: "unix:${path}", mode: "620" }]\n`, { workers })).toEqual([`unix:${path}`])
    expect((await stat(path)).mode & 0o777).toBe(0o620)
    for (let n = 0; n < 4; n += 1) expect(await health({ socketPath: path })).toBe(200)
    running?.kill('SIGTERM')
    await eventually('it has ended', () => running?.exitCode !== null)
    expect(running?.exitCode).toBe(0)
    await expect(stat(path)).rejects.toThrow(/ENOENT/)
  })

  it('IPv6 is one more address', async () => {
    const [six = '', four = ''] = await serve('listen: ["[::1]:0", "127.0.0.1:0"]\n', { workers })
    expect(six).toMatch(/^http:\/\/\[::1\]:\d+$/)
    expect([await health({ url: six }), await health({ url: four })]).toEqual([200, 200])
  })

  it('sockets that systemd opened are taken, by name or all', async () => {
    const path = join(home, 'handed')
    const tcp = await opened({ port: 0, host: '127.0.0.1' })
    const unix = await opened({ path })
    const handed = [
      [tcp, 'web'],
      [unix, 'local'],
    ] as const
    const urls = await serve('listen: ["systemd:web", "systemd:local"]\n', { workers, handed })
    const port = (tcp.address() as { readonly port: number }).port
    expect(urls).toHaveLength(2)
    expect(urls[0]).toBe(`http://127.0.0.1:${port}`)
    // Closing a Unix socket removes the name that it was made with.
    await rename(path, `${path}-kept`)
    await Promise.all([tcp, unix].map((server) => new Promise((resolve) => server.close(resolve))))
    for (let n = 0; n < 4; n += 1) {
      expect(await health({ url: urls[0] ?? '' })).toBe(200)
      expect(await health({ socketPath: `${path}-kept` })).toBe(200)
    }
  })
})

describe('sockets of systemd', () => {
  it('that were not handed over are missed, by name', async () => {
    await serve('listen: ["systemd:web"]\n')
    await eventually('it has ended', () => running?.exitCode !== null)
    expect(running?.exitCode).not.toBe(0)
    expect(said).toContain('systemd has handed over no socket for systemd:web')
  })

  it('that were meant for another process are not taken', async () => {
    const done = await run(process.execPath, [program, 'serve', join(home, 'data'), '--listen', 'systemd'], {
      env: { ...process.env, LISTEN_PID: '1', LISTEN_FDS: '1' },
    })
    expect(done.code).not.toBe(0)
    expect(done.stderr).toContain('systemd has handed over no socket')
  })
})

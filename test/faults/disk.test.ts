import { chmod, mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { describeForeign } from '../foreign/tools.js'
import { eventually, namesBelow, run, startServer } from '../harness.js'

async function mount(...args: readonly string[]): Promise<void> {
  const done = await run('mount', args)
  if (done.code !== 0) throw new Error(`mount ${args.join(' ')}: ${done.stderr}`)
}

/** A directory that is removed afterwards, with whatever is mounted on its `root`. */
async function scratch(): Promise<AsyncDisposable & { readonly root: string }> {
  const home = await mkdtemp(join(tmpdir(), 'postern-disk-'))
  const root = join(home, 'root')
  await mkdir(root)
  return {
    root,
    [Symbol.asyncDispose]: async () => {
      await run('umount', ['-l', root])
      await rm(home, { recursive: true, force: true })
    },
  }
}

describeForeign('a full disk', ['right: root', 'right: mount'], () => {
  it('is 507 with or without a length, and the old content stays', async () => {
    await using place = await scratch()
    await mount('-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', place.root)
    await using server = await startServer({ root: place.root })
    const old = Buffer.alloc(100_000, 'o')
    expect((await server.request('PUT', '/f', { body: old })).status).toBe(201)
    const chunk = Buffer.alloc(100_000, 'n')
    const attempts = [
      ['with a length', { body: Buffer.alloc(2_000_000, 'n') }],
      ['in chunks', { chunks: Array.from({ length: 20 }, () => chunk) }],
    ] as const
    for (const [how, request] of attempts) {
      for (const path of ['/f', '/new']) {
        const answer = await server.request('PUT', path, request)
        expect([how, path, answer.status]).toEqual([how, path, 507])
        expect(answer.text).not.toMatch(/ENOSPC/)
        await eventually('no temp file is left', async () => (await namesBelow(place.root)).length === 1)
        expect((await readFile(join(place.root, 'f'))).equals(old)).toBe(true)
      }
    }
    expect((await server.request('PUT', '/fits', { body: Buffer.alloc(500_000, 'f') })).status).toBe(201)
    const copy = await server.request('COPY', '/fits', { headers: { Destination: '/copy' } })
    expect(copy.status).toBe(507)
    await eventually('no copy is left', async () => (await namesBelow(place.root)).length === 2)
    expect((await server.request('DELETE', '/fits')).status).toBe(204)
    expect((await server.request('PUT', '/f', { body: 'small' })).status).toBe(204)
  })

  it('says before the body that it does not fit', async () => {
    await using place = await scratch()
    await mount('-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', place.root)
    await using server = await startServer({ root: place.root })
    const connection = await server.connect()
    const login = Buffer.from(`admin:${server.adminPassword}`).toString('base64')
    await connection.send(
      `PUT /big HTTP/1.1\r\nHost: x\r\nAuthorization: Basic ${login}\r\nExpect: 100-continue\r\nContent-Length: 5000000\r\n\r\n`,
    )
    const answer = await connection.answer()
    expect([answer.status, answer.interim]).toEqual([507, []])
    connection.destroy()
  })
})

describeForeign('a read-only root', ['right: root', 'right: mount'], () => {
  it('is 403 for every write, and serves', async () => {
    await using place = await scratch()
    await writeFile(join(place.root, 'f'), 'old')
    await mkdir(join(place.root, 'd'))
    await mount('--bind', place.root, place.root)
    await mount('-o', 'remount,ro,bind', place.root)
    await using server = await startServer({ root: place.root })
    const to = { headers: { Destination: '/g' } }
    const statuses = [
      (await server.request('PUT', '/f', { body: 'new' })).status,
      (await server.request('PUT', '/new', { body: 'new' })).status,
      (await server.request('MKCOL', '/c')).status,
      (await server.request('COPY', '/f', to)).status,
      (await server.request('MOVE', '/f', to)).status,
      (await server.request('COPY', '/d', to)).status,
      (await server.request('MOVE', '/d', to)).status,
    ]
    expect(statuses).toEqual([403, 403, 403, 403, 403, 403, 403])
    expect((await server.request('DELETE', '/f')).status).toBe(403)
    expect([403, 207]).toContain((await server.request('DELETE', '/d')).status)
    expect((await server.request('GET', '/f')).text).toBe('old')
    expect(await namesBelow(place.root)).toEqual(['d', 'f'])
  })
})

// The kernel refuses root nothing by mode bits; for root the test above stands for this one.
if (process.getuid?.() !== 0) {
  it('a folder that may not be written is 403', async () => {
    await using server = await startServer()
    await writeFile(join(server.root, 'f'), 'old')
    await chmod(server.root, 0o555)
    try {
      expect((await server.request('PUT', '/f', { body: 'new' })).status).toBe(403)
      expect((await server.request('PUT', '/new', { body: 'new' })).status).toBe(403)
      expect((await server.request('GET', '/f')).text).toBe('old')
    } finally {
      await chmod(server.root, 0o755)
    }
  })
}

it('a root that was deleted is 503 until there is one again', async () => {
  await using server = await startServer()
  await writeFile(join(server.root, 'f'), 'here')
  await rm(server.root, { recursive: true })
  expect((await server.request('GET', '/f')).status).toBe(503)
  expect((await server.request('PUT', '/f', { body: 'x' })).status).toBe(503)
  expect((await server.request('PROPFIND', '/', { headers: { Depth: '1' } })).status).toBe(503)
  await mkdir(server.root)
  expect((await server.request('GET', '/f')).status).toBe(404)
  expect((await server.request('PUT', '/f', { body: 'x' })).status).toBe(201)
  expect(await namesBelow(server.root)).toEqual(['f'])
})

it('a root that is gone is 503 with Retry-After until it is back', async () => {
  await using server = await startServer()
  await writeFile(join(server.root, 'f'), 'here')
  expect((await server.request('GET', '/f')).status).toBe(200)
  await rename(server.root, server.root + '.away')
  // An open descriptor goes on leading there; the name is looked at again within moments.
  await eventually('503', async () => (await server.request('GET', '/f')).status === 503)
  const gone = await server.request('GET', '/f')
  expect(Number(gone.header('retry-after'))).toBeGreaterThan(0)
  expect((await server.request('PUT', '/g', { body: 'x' })).status).toBe(503)
  expect((await server.request('PROPFIND', '/', { headers: { Depth: '1' } })).status).toBe(503)
  expect((await server.request('DELETE', '/f')).status).toBe(503)
  expect((await server.request('GET', '/-/health', { as: null })).status).toBe(200)
  await rename(server.root + '.away', server.root)
  expect((await server.request('GET', '/f')).text).toBe('here')
  expect((await server.request('PUT', '/g', { body: 'x' })).status).toBe(201)
  expect(await namesBelow(server.root)).toEqual(['f', 'g'])
})

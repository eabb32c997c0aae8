import { execFileSync, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Server } from '../harness.js'
import { namesBelow, startServer } from '../harness.js'
import { freshFile, freshFolder, hrefsOf, isRefusal, lockInfo } from './dav.js'

let server: Server

beforeAll(async () => {
  server = await startServer()
  await writeFile(join(server.root, '..', 'secret.txt'), 'outside')
})

afterAll(async () => {
  await server[Symbol.asyncDispose]()
})

describe('traversal', () => {
  it.each([
    '/../secret.txt',
    '/..%2fsecret.txt',
    '/%2e%2e/secret.txt',
    '/%2E%2E%2Fsecret.txt',
    '/.%2e/secret.txt',
    '/a/../../secret.txt',
    '/..%5csecret.txt/../x',
    '/%252e%252e/secret.txt',
    '/..%c0%afsecret.txt',
    '/%c0%ae%c0%ae/secret.txt',
    '/%u002e%u002e/secret.txt',
    '/..;/secret.txt',
    '/%ef%bc%8e%ef%bc%8e/secret.txt',
    '/....//secret.txt',
    '//../secret.txt',
    '/./secret.txt',
    '/secret.txt%00.txt',
  ])('%s reaches nothing', async (target) => {
    for (const method of ['GET', 'PUT', 'DELETE', 'MKCOL', 'PROPFIND', 'LOCK', 'UNLOCK', 'PATCH', 'PROPPATCH']) {
      const answer = await server.request(method, target, { body: method === 'PUT' ? 'x' : '' })
      expect([method, answer.status, answer.text.includes('outside')]).toEqual([
        method,
        expect.toSatisfy((code: number) => code >= 400 && code < 500),
        false,
      ])
    }
    expect(await readFile(join(server.root, '..', 'secret.txt'), 'utf8')).toBe('outside')
    expect((await namesBelow(server.root)).filter((name) => name.includes('secret'))).toEqual([])
  })

  it('treats a backslash as a letter', async () => {
    expect((await server.request('PUT', '/%5c..%5cletters.txt', { body: 'x' })).status).toBe(201)
    expect(await namesBelow(server.root)).toEqual(['\\..\\letters.txt'])
    expect((await server.request('GET', '/\\..\\letters.txt')).text).toBe('x')
    expect((await server.request('DELETE', '/%5C..%5Cletters.txt')).status).toBe(204)
  })

  it('is no way out for a Destination', async () => {
    const { path, disk } = await freshFile(server)
    for (const to of [
      '/../x',
      '/%2e%2e/x',
      '/..%2fx',
      '/a%00',
      '/a%2f..%2f..%2fx',
      '/%ff',
      '//../x',
      `${server.url}/../x`,
    ])
      expect([to, (await server.request('COPY', path, { headers: { Destination: to } })).status]).toEqual([to, 400])
    expect(existsSync(join(server.root, '..', 'x'))).toBe(false)
    expect(await readFile(disk, 'utf8')).toBe('0123456789')
  })
})

describe('what is no plain file or folder', () => {
  it('is absent: links, fifos, sockets, devices', async () => {
    const { path, disk } = await freshFolder(server)
    await symlink(join(server.root, '..', 'secret.txt'), join(disk, 'link'))
    await symlink('..', join(disk, 'up'))
    execFileSync('mkfifo', [join(disk, 'fifo')])
    const socket = createServer().listen(join(disk, 'socket'))
    await new Promise((resolve) => socket.once('listening', resolve))
    try {
      for (const name of ['link', 'up', 'fifo', 'socket']) {
        const target = `${path}/${name}`
        expect([name, (await server.request('GET', target)).status]).toEqual([name, 404])
        expect([name, (await server.request('PROPFIND', target, { headers: { Depth: '0' } })).status]).toEqual([
          name,
          404,
        ])
        expect([name, (await server.request('PUT', target, { body: 'x' })).status]).toEqual([name, 403])
        const copy = { headers: { Destination: target } }
        await server.request('PUT', `${path}/plain`, { body: 'plain' })
        expect([name, (await server.request('COPY', `${path}/plain`, copy)).status]).toEqual([name, 403])
        expect([name, (await server.request('MKCOL', target)).status]).toEqual([name, expect.toSatisfy(isRefusal)])
        expect([name, (await server.request('DELETE', target)).status]).toEqual([name, expect.toSatisfy(isRefusal)])
        expect([name, (await server.request('LOCK', target, { body: lockInfo() })).status]).toEqual([
          name,
          expect.toSatisfy(isRefusal),
        ])
      }
      expect((await server.request('GET', `${path}/up/${path.slice(1)}/plain`)).status).toBe(404)
      const listing = await server.request('PROPFIND', `${path}/`, { headers: { Depth: 'infinity' } })
      expect([...hrefsOf(listing)].sort()).toEqual([`${path}/`, `${path}/plain`])
      expect(await namesBelow(disk)).toEqual(['fifo', 'link', 'plain', 'socket', 'up'])
    } finally {
      socket.close()
    }
  })

  it('is not followed when it is swapped in under running requests', async () => {
    const { path, disk } = await freshFolder(server)
    await mkdir(join(server.root, '..', 'outside'), { recursive: true })
    await writeFile(join(server.root, '..', 'outside', 'f'), 'outside')
    await mkdir(join(disk, 'real'))
    await writeFile(join(disk, 'real', 'f'), 'inside')
    const swap =
      'i=0; while [ $i -lt 3000 ]; do ln -sfn ../../outside link; mv -T link dir 2>/dev/null; rm -f dir; cp -r real dir; rm -rf dir; i=$((i+1)); done'
    const swapper = spawn('bash', ['-c', swap], { cwd: disk, stdio: 'ignore' })
    const gone = new Promise((resolve) => swapper.once('close', resolve))
    try {
      for (let n = 0; n < 300; n += 1) {
        const read = await server.request('GET', `${path}/dir/f`)
        expect(read.text).not.toBe('outside')
        await server.request('PUT', `${path}/dir/planted`, { body: 'planted' })
      }
    } finally {
      swapper.kill('SIGKILL')
      await gone
    }
    expect(await namesBelow(join(server.root, '..', 'outside'))).toEqual(['f'])
  })
})

describe("the server's own files", () => {
  it.each(['.postern-upload-1', '.postern-', '.postern-tmp'])('are out of reach under %s', async (name) => {
    const { path, disk } = await freshFolder(server)
    await writeFile(join(disk, 'plain'), 'plain')
    await writeFile(join(disk, name), 'own')
    expect((await server.request('GET', `${path}/${name}`)).status).toBe(404)
    const listing = await server.request('PROPFIND', `${path}/`, { headers: { Depth: '1' } })
    expect(hrefsOf(listing)).not.toContain(`${path}/${name}`)
    for (const method of ['PUT', 'MKCOL', 'LOCK']) {
      const answer = await server.request(method, `${path}/${name}`, { body: method === 'LOCK' ? lockInfo() : '' })
      expect([method, answer.status]).toEqual([method, expect.toSatisfy(isRefusal)])
    }
    for (const method of ['COPY', 'MOVE']) {
      const headers = { Destination: `${path}/${name}` }
      expect((await server.request(method, `${path}/plain`, { headers })).status).toSatisfy(isRefusal)
    }
    expect(await readFile(join(disk, name), 'utf8')).toBe('own')
  })

  it('lie under /-/, where no file can be', async () => {
    expect((await server.request('GET', '/-/health', { as: null })).status).toBe(200)
    expect((await server.request('PUT', '/-/x', { body: 'x' })).status).toSatisfy(isRefusal)
    expect((await server.request('MKCOL', '/-')).status).toSatisfy(isRefusal)
    expect((await server.request('PUT', '/-', { body: 'x' })).status).toSatisfy(isRefusal)
    const { path } = await freshFile(server)
    for (const to of ['/-', '/-/x', '/%2D/x'])
      expect((await server.request('COPY', path, { headers: { Destination: to } })).status).toSatisfy(isRefusal)
    expect(existsSync(join(server.root, '-'))).toBe(false)
  })
})

import { spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import { createServer } from 'node:net'
import type { Server as NetServer } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import type { Server } from '../harness.js'
import { basic, eventually, namesBelow, startServer } from '../harness.js'
import { connectToEach, load, workerOf } from '../keep-alive.js'
import { RawConnection } from '../raw-http.js'

const program = fileURLToPath(new URL('../../bin/postern.js', import.meta.url))

function listenSomewhere(server: NetServer): Promise<number> {
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve((server.address() as { readonly port: number }).port))
  })
}

async function freePort(): Promise<number> {
  const server = createServer()
  const port = await listenSomewhere(server)
  await new Promise((resolve) => server.close(resolve))
  return port
}

function childrenOf(pid: number): readonly number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number)
}

/** More than is kept in memory before a file is begun. */
const half = 1_000_000

/** The beginning of a PUT of so many bytes that waits for the rest. */
async function beginUpload(server: Server, path: string, length: number): Promise<RawConnection> {
  const connection = await RawConnection.open(server.port)
  await connection.send(
    `PUT ${path} HTTP/1.1\r\nHost: a\r\nContent-Length: ${length}\r\nAuthorization: ${basic(['admin', server.adminPassword])}\r\n\r\n`,
  )
  return connection
}

/** Sends so many zeros. */
async function sendZeros(connection: RawConnection, length: number): Promise<void> {
  const piece = Buffer.alloc(1024 * 1024)
  for (let sent = 0; sent < length; sent += piece.length) await connection.send(piece.subarray(0, length - sent))
}

async function uploadHasBegun(server: Server): Promise<void> {
  await eventually('an upload has begun', async () =>
    (await namesBelow(server.root)).some((name) => name.includes('.postern-write-')),
  )
}

describe('a worker that is killed under load', () => {
  it('fails its own requests only, is replaced, and leaves nothing behind', async () => {
    await using server = await startServer({ args: ['--workers', '2', '--durability', 'fast'] })
    const [one, other] = await connectToEach(server, 2)
    if (one === undefined || other === undefined) throw new Error('there are not two workers')
    const [victim, survivor] = childrenOf(server.pid)
    if (victim === undefined || survivor === undefined) throw new Error('there are not two processes')
    const uploads = await Promise.all(
      ['/a', '/b', '/c', '/d', '/e', '/f'].map((path) => beginUpload(server, path, 2 * half)),
    )
    for (const upload of uploads) await sendZeros(upload, half)
    await eventually('all uploads have begun', async () => {
      return (
        (await namesBelow(server.root)).filter((name) => name.includes('.postern-write-')).length === uploads.length
      )
    })
    const working = load(server, { connections: 8 })
    await eventually('the load is going on', () => working.answered() > 200)
    process.kill(victim, 'SIGKILL')
    await eventually('another took its place', () => server.stderr().includes('serves again'))
    const before = working.answered()
    await eventually('the load goes on', () => working.answered() > before + 200)
    const { failed } = await working.end()
    // Each connection has one request at a time, so the dead worker takes no more than one along of each.
    expect(failed.length).toBeLessThanOrEqual(8)
    expect(failed.filter((line) => !/ended|closed|ECONNRESET|EPIPE/.test(line))).toEqual([])

    const number = Number(/"worker":(\d+),"msg":"worker \d+ ended by SIGKILL; another takes its place"/.exec(server.stderr())?.[1]) // prettier-ignore
    expect([1, 2]).toContain(number)
    const [alive, dead] = number === 1 ? [other, one] : [one, other]
    expect(await workerOf(server, alive)).toBe(3 - number)
    await expect(dead.request('GET', '/')).rejects.toThrow()

    let finished = 0
    for (const upload of uploads) {
      const answering = upload.answer().then((answer) => answer.status, () => 0) // prettier-ignore
      await sendZeros(upload, half).catch(() => undefined)
      const status = await answering
      expect([0, 201]).toContain(status)
      if (status === 201) finished += 1
      upload.destroy()
    }
    await eventually(
      'what it was writing is swept',
      async () => !(await namesBelow(server.root)).some((name) => name.startsWith('.postern-')),
      20_000,
    )
    const files = (await namesBelow(server.root)).filter((name) => /^[a-f]$/.test(name))
    expect(files).toHaveLength(finished)
    expect(childrenOf(server.pid)).toHaveLength(2)
    for (const connection of await connectToEach(server, 2)) {
      expect((await connection.request('GET', '/-/ready')).status).toBe(200)
      connection.destroy()
    }
    alive.destroy()
    dead.destroy()
    expect(await server.stop()).toBe(0)
  })

  it('again and again is replaced each time, and both at once too', async () => {
    const port = await freePort()
    const config = `listen: ["127.0.0.1:${port}"]\nworkers: 2\n`
    await using server = await startServer({ config, listensAsConfigured: true })
    let replaced = 0
    for (const atOnce of [1, 1, 2]) {
      for (const pid of childrenOf(server.pid).slice(0, atOnce)) process.kill(pid, 'SIGKILL')
      replaced += atOnce
      await eventually(
        'those in their places serve',
        () => server.stderr().split('serves again').length === replaced + 1,
        20_000,
      )
      expect(childrenOf(server.pid)).toHaveLength(2)
      expect((await server.request('GET', '/')).status).toBe(200)
    }
  })

  it('does not outlive its primary', async () => {
    await using server = await startServer({ args: ['--workers', '2'] })
    const workers = childrenOf(server.pid)
    expect(workers).toHaveLength(2)
    await server.kill9()
    await eventually('the workers are gone', () => workers.every((pid) => !existsSync(`/proc/${pid}`)))
    await server.restart()
    expect((await server.request('GET', '/')).status).toBe(200)
  })
})

describe('a worker that cannot start', () => {
  it('ends the program with the reason', async () => {
    const taken = createServer()
    const port = await listenSomewhere(taken)
    await expect(startServer({ args: ['--workers', '2', '--listen', `127.0.0.1:${port}`] })).rejects.toThrow(
      /ended with 1:\n\n127\.0\.0\.1:\d+ is in use by another program\. Stop that one/,
    )
    taken.close()
  })

  it('because something kills it ends the program with its number', async () => {
    await using server = await startServer()
    await server.stop()
    const args = ['serve', server.root, '--state', server.state, '--listen', '127.0.0.1:0', '--workers', '2']
    const child = spawn(process.execPath, [program, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
    let stdout = ''
    let stderr = ''
    child.stdout.on('data', (bytes: Buffer) => (stdout += bytes.toString()))
    child.stderr.on('data', (bytes: Buffer) => (stderr += bytes.toString()))
    const ended = new Promise((resolve) => child.once('close', resolve))
    let first: number | undefined
    while (first === undefined) {
      first = childrenOf(child.pid ?? 0)[0]
      await new Promise((resolve) => setImmediate(resolve))
    }
    process.kill(first, 'SIGKILL')
    expect(await ended).toBe(1)
    expect([stdout, stderr]).toEqual(['', 'Worker 1 could not start: it ended by SIGKILL.\n'])
  })
})

describe('a stop signal', () => {
  const gibibyte = 1024 ** 3

  it.each(['1', '2'])('in the middle of an upload of 1 GiB lets it finish, with %s worker(s)', async (workers) => {
    await using server = await startServer({ args: ['--workers', workers, '--durability', 'fast'] })
    const idle = await RawConnection.open(server.port)
    const upload = await beginUpload(server, '/big', gibibyte)
    await sendZeros(upload, gibibyte / 2)
    await uploadHasBegun(server)
    const answering = upload.answer({ deadlineMs: 50_000 })
    server.terminate()
    await eventually('the server says that it stops', () => server.stderr().includes('stopping'))
    await eventually('nobody listens any more', async () => {
      const refused = await RawConnection.open(server.port).catch(() => undefined)
      refused?.destroy()
      return refused === undefined
    })
    // An idle connection is closed although the upload goes on.
    await expect(idle.answer()).rejects.toThrow()
    await sendZeros(upload, gibibyte / 2)
    const answer = await answering
    expect([answer.status, answer.header('connection')]).toEqual([201, 'close'])
    expect(await server.exited()).toBe(0)
    expect((await stat(join(server.root, 'big'))).size).toBe(gibibyte)
    expect(await namesBelow(server.root)).toEqual(['big'])
    const log = await stat(join(server.state, 'catalog.sqlite-wal')).catch(() => undefined)
    expect(log?.size ?? 0).toBe(0)
    idle.destroy()
    upload.destroy()
  })

  it.each(['1', '2'])('ends at limits.stopSeconds what does not end by itself, with %s worker(s)', async (workers) => {
    await using server = await startServer({ args: ['--workers', workers], config: 'limits: { stopSeconds: 1 }\n' })
    const upload = await beginUpload(server, '/never', 2 * half)
    await sendZeros(upload, half)
    await uploadHasBegun(server)
    const began = Date.now()
    expect(await server.stop()).toBe(0)
    expect(Date.now() - began).toBeGreaterThan(900)
    expect(await namesBelow(server.root)).toEqual([])
    upload.destroy()
  })

  it('given twice ends workers and all at once', async () => {
    await using server = await startServer({ args: ['--workers', '2'] })
    const workers = childrenOf(server.pid)
    const upload = await beginUpload(server, '/stuck', 2 * half)
    await sendZeros(upload, half)
    await uploadHasBegun(server)
    server.terminate()
    await eventually('the server says that it stops', () => server.stderr().includes('stopping'))
    server.terminate()
    expect(await server.exited()).toBe(1)
    await eventually('the workers are gone', () => workers.every((pid) => !existsSync(`/proc/${pid}`)))
    upload.destroy()
  })

  it.each(['1', '2'])('under load fails no request that was begun, with %s worker(s)', async (workers) => {
    await using server = await startServer({ args: ['--workers', workers, '--durability', 'fast'] })
    const working = load(server, { connections: 8 })
    await eventually('the load is going on', () => working.answered() > 300)
    server.terminate()
    expect(await server.exited()).toBe(0)
    const { failed } = await working.end()
    // What is sent on an idle connection just when it is closed gets no byte of an answer, and may be sent again
    // (RFC 9112 §9.6); everything else is about connections that nobody takes any more.
    const halfAnswered = failed.filter((line) => !/waiting for an answer|ECONNREFUSED|ECONNRESET|EPIPE/.test(line))
    expect(halfAnswered).toEqual([])
    const written = (await namesBelow(server.root)).filter((name) => !name.startsWith('load-'))
    expect(written).toEqual([])
  })
})

import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Server } from '../harness.js'
import { eventually, namesBelow, run, startServer } from '../harness.js'
import { connectToEach, KeepAlive, load } from '../keep-alive.js'
import { lockInfo, propfind, propertyStatus, proppatch, tokenOf } from './dav.js'

let server: Server
let each: readonly KeepAlive[]

beforeAll(async () => {
  server = await startServer({ args: ['--workers', '2', '--durability', 'fast'] })
  each = await connectToEach(server, 2)
})

afterAll(async () => {
  for (const connection of each) connection.destroy()
  await server[Symbol.asyncDispose]()
})

/** The connection to the first and to the second worker. */
function both(): readonly [KeepAlive, KeepAlive] {
  const [one, other] = each
  if (one === undefined || other === undefined) throw new Error('there are not two workers')
  return [one, other]
}

describe('what is known to one worker', () => {
  it('a user disabled by the command line is refused by all, on the very next request', async () => {
    const as = await server.addUser('alice', 'rw:/**')
    for (let round = 0; round < 3; round += 1) {
      for (const connection of both())
        for (let again = 0; again < 2; again += 1)
          expect((await connection.request('GET', '/', { as })).status).toBe(200)
      expect((await server.cli(['user', 'disable', 'alice'])).code).toBe(0)
      for (const connection of both()) expect((await connection.request('GET', '/', { as })).status).toBe(401)
      expect((await server.cli(['user', 'enable', 'alice'])).code).toBe(0)
    }
  })

  it('a lock binds the other, which may also release it', async () => {
    const [one, other] = both()
    const locked = await one.request('LOCK', '/locked.txt', { headers: { Depth: '0' }, body: lockInfo() })
    expect(locked.status).toBe(201)
    const token = tokenOf(locked)
    expect((await other.request('PUT', '/locked.txt', { body: 'x' })).status).toBe(423)
    expect((await other.request('LOCK', '/locked.txt', { headers: { Depth: '0' }, body: lockInfo() })).status).toBe(423)
    const headers = { If: `(<${token}>)` }
    expect((await other.request('PUT', '/locked.txt', { body: 'x', headers })).status).toBe(204)
    expect((await other.request('UNLOCK', '/locked.txt', { headers: { 'Lock-Token': `<${token}>` } })).status).toBe(204)
    expect((await one.request('PUT', '/locked.txt', { body: 'y' })).status).toBe(204)
  })

  it('properties, digests and sync tokens are those of the other', async () => {
    const [one, other] = both()
    expect((await one.request('PUT', '/props.txt', { body: 'p', headers: { 'Content-Type': 'text/x-mine' } })).status).toBe(201) // prettier-ignore
    expect((await one.request('PROPPATCH', '/props.txt', { body: proppatch('<Z:colour>red</Z:colour>') })).status).toBe(207) // prettier-ignore
    const body = '<?xml version="1.0"?><D:propfind xmlns:D="DAV:"><D:allprop/></D:propfind>'
    const found = await other.request('PROPFIND', '/props.txt', { headers: { Depth: '0' }, body })
    expect(found.text).toContain('red')
    expect(propertyStatus(found, 'colour')).toBe(200)
    expect((await other.request('GET', '/props.txt')).header('content-type')).toContain('text/x-mine')
    const named = { headers: { Depth: '0' }, body: propfind('getetag') }
    expect((await one.request('PROPFIND', '/props.txt', named)).text).toBe((await other.request('PROPFIND', '/props.txt', named)).text) // prettier-ignore
  })

  it('failed logins of a name count together', async () => {
    const as = ['mallory', 'guess'] as const
    for (let attempt = 0; attempt < 10; attempt += 1) {
      const connection = both()[attempt % 2] ?? both()[0]
      expect((await connection.request('GET', '/', { as })).status).toBe(401)
    }
    for (const connection of both()) expect((await connection.request('GET', '/', { as })).status).toBe(429)
  })
})

describe('two workers at once', () => {
  it('let one of many create a file', async () => {
    const clients = [...each, ...(await Promise.all(Array.from({ length: 6 }, () => KeepAlive.open(server))))]
    for (let round = 0; round < 25; round += 1) {
      const answers = await Promise.all(
        clients.map((client, number) =>
          client.request('PUT', `/only-${round}`, { headers: { 'If-None-Match': '*' }, body: `by ${number}` }),
        ),
      )
      const winners = answers.flatMap(({ status }, number) => (status === 201 ? [number] : []))
      expect(winners).toHaveLength(1)
      expect(answers.filter(({ status }) => status === 412)).toHaveLength(clients.length - 1)
      expect((await server.request('GET', `/only-${round}`)).text).toBe(`by ${String(winners[0])}`)
    }
    for (const client of clients.slice(2)) client.destroy()
  })

  it('lose none of 2,000 cycles of LOCK, PUT and UNLOCK over 8 connections', async () => {
    const lost: string[] = []
    await Promise.all(
      Array.from({ length: 8 }, async (_, number) => {
        const client = await KeepAlive.open(server)
        const path = `/cycle-${number}`
        for (let cycle = 0; cycle < 250; cycle += 1) {
          const locked = await client.request('LOCK', path, { headers: { Depth: '0' }, body: lockInfo() })
          const token = tokenOf(locked)
          const headers = { If: `(<${token}>)` }
          const put = await client.request('PUT', path, { headers, body: String(cycle) })
          const unlocked = await client.request('UNLOCK', path, { headers: { 'Lock-Token': `<${token}>` } })
          if (locked.status > 201 || put.status > 204 || unlocked.status !== 204)
            lost.push(`${path} ${cycle}: ${locked.status} ${put.status} ${unlocked.status}`)
        }
        if ((await client.request('GET', path)).text !== '249') lost.push(`${path}: the last write is not there`)
        client.destroy()
      }),
    )
    expect(lost).toEqual([])
  })

  it('keep a counter right that all of them change under a lock', async () => {
    expect((await server.request('PUT', '/counter', { body: '0' })).status).toBe(201)
    await Promise.all(
      Array.from({ length: 6 }, async () => {
        const client = await KeepAlive.open(server)
        for (let done = 0; done < 20;) {
          const locked = await client.request('LOCK', '/counter', { headers: { Depth: '0' }, body: lockInfo() })
          if (locked.status === 423) continue
          expect(locked.status).toBe(200)
          const token = tokenOf(locked)
          const next = String(Number((await client.request('GET', '/counter')).text) + 1)
          expect((await client.request('PUT', '/counter', { headers: { If: `(<${token}>)` }, body: next })).status).toBe(204) // prettier-ignore
          expect((await client.request('UNLOCK', '/counter', { headers: { 'Lock-Token': `<${token}>` } })).status).toBe(204) // prettier-ignore
          done += 1
        }
        client.destroy()
      }),
    )
    expect((await server.request('GET', '/counter')).text).toBe('120')
  })

  it('log whole lines, each with the number of its worker', async () => {
    const working = load(server, { connections: 8 })
    await eventually('the load has done something', () => working.answered() > 400)
    expect((await working.end()).failed).toEqual([])
    const lines = server.stderr().trimEnd().split('\n')
    const workers = lines.map((line) => (JSON.parse(line) as { readonly worker?: number }).worker)
    expect(new Set(workers)).toEqual(new Set([1, 2]))
  })
})

describe('the start of several workers', () => {
  it('says once where they listen, when all are ready, and makes one admin', async () => {
    const socket = join(server.state, 'p.sock')
    await using twice = await startServer({ args: ['--workers', '3', '--listen', '127.0.0.1:0', '--listen', `unix:${socket}`] }) // prettier-ignore
    // The listening lines are there: from now on each worker says so.
    for (const connection of await connectToEach(twice, 3)) {
      expect((await connection.request('GET', '/-/ready')).status).toBe(200)
      connection.destroy()
    }
    await eventually('the banner is complete', () => twice.stdout().includes('davfs'))
    const lines = twice.stdout().split('\n')
    expect(lines.filter((line) => line.startsWith('listening '))).toHaveLength(3)
    expect(lines.filter((line) => line.includes('First start'))).toHaveLength(1)
    const overSocket = await run('curl', ['-s', '--unix-socket', socket, 'http://localhost/-/health'])
    expect(overSocket.stdout).toBe('ok\n')
    expect(await twice.stop()).toBe(0)
    expect((await namesBelow(server.state)).includes('p.sock')).toBe(false)
  })

  it('sweeps what a crash has left, once', async () => {
    await using fresh = await startServer()
    await fresh.stop()
    const left = '.postern-trash-0123456789abcdef0'
    await mkdir(join(fresh.root, left))
    await writeFile(join(fresh.root, left, 'file'), 'x')
    await using swept = await startServer({ root: fresh.root, args: ['--workers', '2'] })
    await eventually('the leftovers are gone', async () => !(await namesBelow(fresh.root)).includes(left))
    await eventually('the log says so', () => swept.stderr().includes('removed what a crash'))
    expect(swept.stderr().split('removed what a crash')).toHaveLength(2)
  })

  it('is refused for a number that is none', async () => {
    for (const number of ['0', 'two', '65', '-1', '1.5'])
      await expect(startServer({ args: ['--workers', number] })).rejects.toThrow(/--workers: must be a whole number from 1 to 64/) // prettier-ignore
  })
})

import { createHmac } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { startDynamodb } from '../dynalite-server.js'
import { EventSource } from '../event-source.js'
import { startServer } from '../harness.js'
import type { Caller, Server } from '../harness.js'

const sources: EventSource[] = []

afterEach(() => {
  for (const source of sources.splice(0)) source.close()
})

async function follow(server: Server, query = '', as: Caller = ['admin', server.adminPassword], lastId?: string) {
  const source = await EventSource.open(`${server.url}/-/events${query}`, {
    as,
    ...(lastId !== undefined && { lastId }),
  })
  sources.push(source)
  if (source.status === 200) await expect.poll(() => source.events[0]?.event).toBe('ready')
  return source
}

describe.each([1, 2])('changes, told by a server of %i processes', (workers) => {
  let server: Server

  beforeAll(async () => {
    server = await startServer({ config: JSON.stringify({ workers, anonymous: { grants: ['r:/public/**'] } }) })
  })

  afterAll(() => server[Symbol.asyncDispose]())

  it('of all surfaces come within a second, in the order of what was done', async () => {
    const source = await follow(server)
    await server.request('MKCOL', '/acme')
    await server.request('PUT', '/acme/a', { body: 'x' })
    await server.request('PUT', '/acme/a', { body: 'yz' })
    await server.request('PATCH', '/acme/a', { body: '!', headers: { 'X-Update-Range': 'append', 'Content-Type': 'application/x-sabredav-partialupdate' } }) // prettier-ignore
    await server.request('COPY', '/acme/a', { headers: { Destination: `${server.url}/acme/b` } })
    await server.request('MOVE', '/acme/b', { headers: { Destination: `${server.url}/acme/c` } })
    await server.request('DELETE', '/acme')
    const end = performance.now()
    const told = ['created /acme', 'created /acme/a', 'changed /acme/a', 'changed /acme/a', 'created /acme/b', 'moved /acme/c', 'removed /acme'] // prettier-ignore
    // Each of several processes tells what it has done itself, in its own time.
    if (workers === 1) await expect.poll(() => source.told).toEqual(told)
    else await expect.poll(() => [...source.told].sort()).toEqual(told.sort())
    expect(source.events.at(-1)?.data).toMatchObject({ mine: true })
    expect((source.events.at(-1)?.at ?? Infinity) - end).toBeLessThan(1000)
  })

  it('are those that a listing would show to who follows', async () => {
    const ann = await server.addUser('ann', 'rw:/ann/**')
    const source = await follow(server, '', ann)
    const open = await follow(server, '', null)
    for (const path of ['/ann', '/bob', '/public']) await server.request('MKCOL', path)
    await server.request('PUT', '/bob/secret', { body: 'x' })
    await server.request('PUT', '/public/p', { body: 'x' })
    await server.request('PUT', '/ann/a', { body: 'x' })
    await server.request('MOVE', '/ann/a', { headers: { Destination: `${server.url}/bob/a` } })
    await server.request('MOVE', '/bob/a', { headers: { Destination: `${server.url}/ann/b` } })
    await expect
      .poll(() => [...source.told].sort())
      .toEqual(['created /ann', 'created /ann/a', 'created /ann/b', 'removed /ann/a'])
    expect(source.events.at(-1)?.data).toMatchObject({ mine: false })
    expect(JSON.stringify(source.events)).not.toMatch(/bob|admin/)
    await expect.poll(() => open.told).toContain('created /public/p')
    expect(open.told.filter((each) => !each.includes('/public'))).toEqual([])
  })

  it('go on where somebody was, and only below what they ask for', async () => {
    await server.request('MKCOL', '/here')
    const source = await follow(server, '?below=/here')
    await server.request('PUT', '/here/1', { body: 'x' })
    await server.request('PUT', '/elsewhere', { body: 'x' })
    await expect.poll(() => source.told.filter((each) => each !== 'created /here')).toEqual(['created /here/1'])
    const last = source.events.at(-1)?.id
    source.close()
    await server.request('PUT', '/here/2', { body: 'x' })
    const again = await follow(server, '?below=/here', undefined, last)
    await server.request('PUT', '/here/3', { body: 'x' })
    // What other processes did in the last seconds may come again.
    const before = ['created /here', 'created /here/1']
    await expect
      .poll(() => again.told.filter((each) => workers === 1 || !before.includes(each)).sort())
      .toEqual(['created /here/2', 'created /here/3'])
    const lost = await follow(server, '', undefined, 'no-such-id')
    await expect.poll(() => lost.events.map(({ event }) => event)).toContain('reset')
  })

  it('are had by asking now and again, too', async () => {
    const ask = async (query: string) => {
      const { status, body } = await server.request('GET', `/-/events${query}`, {
        headers: { Accept: 'application/json' },
      })
      expect(status).toBe(200)
      return JSON.parse(body.toString()) as {
        readonly events: readonly Record<string, unknown>[]
        readonly last: string
      }
    }
    const { last } = await ask('')
    const waiting = ask(`?since=${last}&wait=20`)
    await server.request('PUT', '/polled', { body: 'x' })
    let { events, last: next } = await waiting
    while (workers > 1 && !events.some(({ path }) => path === '/polled'))
      ({ events, last: next } = await ask(`?since=${next}&wait=20`))
    expect(events.at(-1)).toMatchObject({ kind: 'created', path: '/polled', type: 'file', size: 1, mine: true })
    if (workers === 1) expect(events).toHaveLength(1)
    expect((await ask(`?since=${next}&below=/none`)).events).toEqual([])
  })

  it('are told to nobody any more whose account is disabled, at once', async () => {
    const eve = await server.addUser('eve', 'r:/**')
    const source = await follow(server, '', eve)
    await server.cli(['user', 'disable', 'eve'])
    await server.request('PUT', '/after', { body: 'x' })
    await source.ended
    expect(source.told).toEqual([])
    expect((await follow(server, '', eve)).status).toBe(401)
  })

  it.each([
    ['POST', '/-/events', 405],
    ['GET', '/-/events/x', 404],
    ['GET', '/-/events?below=/../etc', 400],
    ['GET', '/-/events?wait=soon', 400],
    ['GET', '/-/events?bellow=/x', 400],
  ])('are asked for as they should: %s %s', async (method, target, status) => {
    const answer = await server.request(method, target)
    expect(answer.status).toBe(status)
    expect(answer.headers.get('content-type')).toContain('application/problem+json')
  })

  it('are told to so many at a time', async () => {
    const fay = await server.addUser('fay', 'r:/**')
    for (let n = 0; n < 64 * workers; n += 1) {
      const source = await EventSource.open(`${server.url}/-/events`, { as: fay })
      sources.push(source)
    }
    const refused = await Promise.all(Array.from({ length: 8 }, () => EventSource.open(`${server.url}/-/events`, { as: fay }))) // prettier-ignore
    sources.push(...refused)
    expect(refused.map(({ status }) => status)).toContain(429)
  })
})

describe('who follows what happens', () => {
  it('holds up no stop', async () => {
    const server = await startServer()
    const source = await follow(server)
    const began = performance.now()
    await server.stop()
    expect(performance.now() - began).toBeLessThan(10_000)
    await source.ended
    await server[Symbol.asyncDispose]()
  })

  it('hears of another instance within a second', async () => {
    const dynamodb = await startDynamodb()
    const servers: Server[] = []
    try {
      await dynamodb.prepare('events')
      const config = {
        catalog: { dynamodb: { table: 'events', region: 'eu-west-1', endpoint: dynamodb.endpoint } },
        secret: { env: 'FILES_SECRET' },
      }
      const env = { FILES_SECRET: Buffer.alloc(32, 5).toString('base64'), AWS_ACCESS_KEY_ID: 'a', AWS_SECRET_ACCESS_KEY: 'b' } // prettier-ignore
      for (let n = 0; n < 2; n += 1) {
        const root = servers[0]?.root
        servers.push(await startServer({ config: JSON.stringify(config), env, ...(root !== undefined && { root }) }))
      }
      const [one, other] = servers
      if (one === undefined || other === undefined) throw new Error('they did not start')
      const source = await follow(other, '', ['admin', one.adminPassword])
      for (let n = 0; n < 5; n += 1) {
        await one.request('MKCOL', `/d${n}`)
        const done = performance.now()
        await expect.poll(() => source.told).toContain(`created /d${n}`)
        expect((source.events.at(-1)?.at ?? Infinity) - done).toBeLessThan(1000)
      }
    } finally {
      for (const server of servers) await server[Symbol.asyncDispose]()
      await dynamodb.stop()
    }
  })
})

describe('a webhook', () => {
  it('is told of changes, also of those that came while it was away', async () => {
    const key = Buffer.alloc(32, 9)
    const taken: { readonly headers: IncomingHttpHeaders; readonly text: string }[] = []
    let status = 503
    const receiver = createServer((request, response) => {
      const pieces: Buffer[] = []
      request.on('data', (piece: Buffer) => pieces.push(piece))
      request.on('end', () => {
        taken.push({ headers: request.headers, text: Buffer.concat(pieces).toString() })
        response.writeHead(status).end()
      })
    })
    receiver.listen(0, '127.0.0.1')
    await once(receiver, 'listening')
    const url = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/hook`
    const server = await startServer({
      config: JSON.stringify({ webhooks: [{ name: 'index', url, secret: { env: 'HOOK_SECRET' }, below: '/docs' }] }),
      env: { HOOK_SECRET: `whsec_${key.toString('base64')}` },
    })
    try {
      await server.request('MKCOL', '/docs')
      await server.request('PUT', '/other', { body: 'x' })
      await expect.poll(() => taken.length).toBeGreaterThan(0)
      status = 204
      await expect.poll(() => taken.length, { timeout: 20_000 }).toBeGreaterThan(1)
      const [first, second] = taken
      expect(second?.headers['webhook-id']).toBe(first?.headers['webhook-id'])
      const { headers, text } = second ?? { headers: {}, text: '' }
      const signed = `${String(headers['webhook-id'])}.${String(headers['webhook-timestamp'])}.${text}`
      expect(headers['webhook-signature']).toBe(`v1,${createHmac('sha256', key).update(signed).digest('base64')}`)
      expect(JSON.parse(text)).toMatchObject({
        type: 'files.changed',
        data: { changes: [{ kind: 'created', path: '/docs', type: 'directory', by: 'catalog:admin' }] },
      })
    } finally {
      await server[Symbol.asyncDispose]()
      receiver.close()
    }
  })

  it.each([
    ['{ name: a, url: "ftp://x", secret: whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= }', 'https://hooks'],
    ['{ name: a, url: "https://x", secret: abc }', 'whsec_'],
    ['{ name: a, url: "https://x", secret: { env: NO_SUCH } }', 'the secret of a must be like whsec_'],
  ])('must be told of properly: %s', async (hook, message) => {
    await expect(startServer({ config: `webhooks: [${hook}]` })).rejects.toThrow(message)
  })
})

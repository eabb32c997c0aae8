import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { startServer } from '../harness.js'
import type { Caller, Server } from '../harness.js'

async function limited(rateLimits: object, workers = 1): Promise<Server> {
  const server = await startServer({ config: JSON.stringify({ rateLimits, workers, trustedProxies: ['127.0.0.1'] }) })
  await writeFile(join(server.root, 'f'), 'x'.repeat(1000))
  return server
}

interface Asked {
  readonly from?: string
  readonly as?: Caller
  readonly target?: string
}

/** How many of the requests get in, and what the first one is told that does not. */
async function ask(server: Server, times: number, { from, as, target = '/f' }: Asked = {}) {
  const headers = from === undefined ? {} : { 'X-Forwarded-For': from }
  let count = 0
  let refused
  for (let time = 0; time < times; time++) {
    const answer = await server.request('GET', target, { headers, ...(as !== undefined && { as }) })
    if (answer.status === 200) count += 1
    else refused ??= answer
  }
  return { count, refused }
}

describe('rate limits', () => {
  it('refuse an address that asks for too much with 429, and nobody else', async () => {
    await using server = await limited({ address: { requestsPerSecond: 3 } })
    const { count, refused } = await ask(server, 60, { from: '203.0.113.5' })
    expect(count).toBeGreaterThanOrEqual(30)
    expect(count).toBeLessThan(45)
    expect(refused?.status).toBe(429)
    expect(Number(refused?.header('retry-after'))).toBeGreaterThanOrEqual(1)
    expect((await ask(server, 5, { from: '203.0.113.6' })).count).toBe(5)
    expect((await ask(server, 60)).count).toBe(60)
    expect((await ask(server, 5, { from: '203.0.113.5', target: '/-/health' })).count).toBe(5)
  })

  it('count an IPv6 network as one', async () => {
    await using server = await limited({ address: { requestsPerSecond: 1 } })
    const { count } = await ask(server, 15, { from: '2001:db8::1' })
    expect(count).toBeGreaterThanOrEqual(10)
    expect((await ask(server, 1, { from: '2001:db8::ffff' })).count).toBe(0)
    expect((await ask(server, 1, { from: '2001:db8:0:1::1' })).count).toBe(1)
  })

  it('refuse an identity wherever it comes from, by requests and by bytes', async () => {
    await using server = await limited({ identity: { requestsPerSecond: 0, bytesPerSecond: 500 } })
    const alice = await server.addUser('alice', 'r:/**')
    const bob = await server.addUser('bob', 'r:/**')
    const { count, refused } = await ask(server, 12, { as: alice })
    expect(count).toBeGreaterThanOrEqual(5)
    expect(count).toBeLessThan(9)
    expect(refused?.status).toBe(429)
    expect((await ask(server, 2, { as: bob })).count).toBe(2)
  })

  it('hold for all workers together', async () => {
    await using server = await limited({ address: { requestsPerSecond: 16 } }, 2)
    const { count } = await ask(server, 400, { from: '203.0.113.5' })
    expect(count).toBeGreaterThanOrEqual(160)
    expect(count).toBeLessThan(300)
  })
})

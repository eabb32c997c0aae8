import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { Server } from '../harness.js'
import { startServer } from '../harness.js'
import type { KeepAlive } from '../keep-alive.js'
import { connectToEach } from '../keep-alive.js'

let server: Server
let workers: readonly KeepAlive[]

beforeAll(async () => {
  const config = 'trustedProxies: [127.0.0.1]\n'
  server = await startServer({ args: ['--workers', '2', '--durability', 'fast'], config })
  workers = await connectToEach(server, 2)
})

afterAll(async () => {
  for (const connection of workers) connection.destroy()
  await server[Symbol.asyncDispose]()
})

let addresses = 0

/** From an address of its own, so that only the name counts. */
async function login(worker: number, as: readonly [string, string]): Promise<{ status: number; wait: number }> {
  const headers = { 'X-Forwarded-For': `192.0.2.${addresses++ % 250}` }
  const answer = await workers[worker]!.request('GET', '/', { as, headers })
  return { status: answer.status, wait: Number(answer.headers.get('retry-after') ?? 0) }
}

it('failures at one worker slow the name at all, twice as long each time, but not who is known', async () => {
  const right = await server.addUser('alice', 'r:/**')
  expect((await login(0, right)).status).toBe(200)
  for (let failure = 0; failure < 10; failure++)
    expect((await login(failure % 2, ['alice', `a wrong password ${failure}`])).status).toBe(401)
  // Now it is slowed everywhere: the right password is not even looked at where it is not remembered.
  expect(await login(1, right)).toEqual({ status: 429, wait: 1 })
  expect((await login(0, right)).status).toBe(200)
  const waits: number[] = []
  for (let failure = 0; failure < 3; failure++) {
    let answer = await login(1, ['alice', `another wrong password ${failure}`])
    while (answer.status === 429) answer = await login(1, ['alice', `another wrong password ${failure}`])
    expect(answer.status).toBe(401)
    waits.push((await login(0, ['alice', 'and another wrong one'])).wait)
  }
  expect(waits).toEqual([2, 4, 8])
})

it('runs no hash for who is slowed: a refusal costs a fraction of a check', async () => {
  await server.addUser('bob', 'r:/**')
  const begun = performance.now()
  for (let failure = 0; failure < 10; failure++) await login(0, ['bob', `a wrong password ${failure}`])
  const check = (performance.now() - begun) / 10
  const refusals: number[] = []
  for (let refused = 0; refused < 300; refused++) {
    const start = performance.now()
    const { status } = await login(refused % 2, ['bob', `a wrong password, again ${refused}`])
    if (status === 429) refusals.push(performance.now() - start)
  }
  expect(refusals.length).toBeGreaterThan(250)
  refusals.sort((one, other) => one - other)
  expect(refusals[refusals.length >> 1]).toBeLessThan(check / 3)
})

it('the audit log tells it once for a name and an address, of each worker', () => {
  const lines = readFileSync(join(server.state, 'audit.log'), 'utf8').trim().split('\n')
  const told = lines.filter((line) => line.includes('"login-throttled"')).map((line) => /"name":"(\w+)".*"address":"([\d.]+)"/.exec(line)?.[0]) // prettier-ignore
  expect(told.length).toBeGreaterThan(0)
  for (const one of new Set(told)) expect(told.filter((other) => other === one).length).toBeLessThanOrEqual(2)
})

import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { startServer } from '../harness.js'
import type { Server } from '../harness.js'

type Line = Readonly<Record<string, unknown>>

const auditOf = ({ state }: Server): readonly Line[] =>
  readFileSync(join(state, 'audit.log'), 'utf8')
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Line)
const logins = (server: Server, name: string): readonly Line[] =>
  auditOf(server).filter((line) => String(line['event']).startsWith('login') && line['name'] === name)
const command = expect.stringMatching(/^command:\S/) as string
const time = expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/) as string
const address = '127.0.0.1'

it('has a login once, each refusal with its reason, and nothing of passwords', async () => {
  await using server = await startServer()
  const [, password] = await server.addUser('alice', 'rw:/alice/**')
  for (let request = 0; request < 3; request++)
    await server.request('PROPFIND', '/alice/', { as: ['alice', password], headers: { Depth: '0' } })
  for (const as of [
    ['alice', 'some other password'],
    ['nobody\u200b', password],
  ] as const)
    expect((await server.request('GET', '/', { as })).status).toBe(401)
  await server.cli(['user', 'disable', 'alice'])
  expect((await server.request('GET', '/alice/', { as: ['alice', password] })).status).toBe(401)
  await server.cli(['user', 'enable', 'alice'])
  await server.request('GET', '/alice/', { as: ['alice', password] })
  await server.request('GET', '/', { as: null, headers: { Authorization: 'Basic !!!' } })
  const login = { time, event: 'login', name: 'alice', source: 'catalog', with: 'password', address }
  const refused = { time, event: 'login-failed', name: 'alice', source: 'catalog', address }
  expect(logins(server, 'alice')).toEqual([
    login,
    { ...refused, why: 'wrong-password' },
    { ...refused, why: 'disabled' },
    login,
  ])
  expect(logins(server, 'nobody\\u{200b}')).toEqual([
    { time, event: 'login-failed', name: 'nobody\\u{200b}', why: 'unknown-name', address },
  ])
  expect(logins(server, '')).toEqual([{ time, event: 'login-failed', name: '', why: 'malformed', address }])
  expect(statSync(join(server.state, 'audit.log')).mode & 0o777).toBe(0o600)
})

it('has every change of an account and of a key, and who made it', async () => {
  await using server = await startServer()
  await server.addUser('alice', 'rw:/alice/**')
  await server.cli(['user', 'grant', 'alice', '--grant', 'r:/**'])
  await server.cli(['user', 'passwd', 'alice', '--password-stdin'], 'another password\n')
  await server.cli(['user', 'add', 'alice', '--password-stdin'], 'of nobody at all\n')
  const made = await server.cli(['key', 'issue', 'reports', '--grant', 'r:/**', '--expires', '30d', '--json'])
  const { id, secret } = JSON.parse(made.stdout) as { id: string; secret: string }
  expect((await server.request('GET', '/', { as: null, headers: { 'X-Api-Key': id, 'X-Api-Secret': secret } })).status).toBe(200) // prettier-ignore
  const rotated = await server.cli(['key', 'rotate', id, '--json'])
  const { id: next } = JSON.parse(rotated.stdout) as { id: string }
  await server.cli(['key', 'revoke', next])
  await server.cli(['user', 'rm', 'alice'])
  const user = { time, event: 'user-changed', source: 'catalog', user: 'alice', by: command }
  const key = { time, event: 'key-changed', kind: 'key', source: 'catalog', name: 'reports', grants: ['r:/**'], by: command } // prettier-ignore
  const expires = time
  expect(auditOf(server)).toEqual([
    { ...user, what: 'made', user: 'admin', grants: ['rw:/**'] },
    { ...user, what: 'made', grants: ['rw:/alice/**'] },
    { ...user, what: 'changed', why: 'grants', grants: ['r:/**'] },
    { ...user, what: 'changed', why: 'password' },
    { ...key, what: 'issued', id, expires },
    { time, event: 'login', name: 'reports', source: 'catalog', with: 'api-key', address },
    { ...key, what: 'rotated', id: next, replaces: id, expires },
    { ...key, what: 'revoked', id: next, expires },
    { ...user, what: 'removed' },
  ])
})

it('says once that somebody is slowed down', async () => {
  await using server = await startServer({ config: 'rateLimits: { identity: { requestsPerSecond: 1 } }\n' })
  await server.addUser('alice', 'r:/**')
  for (let attempt = 0; attempt < 14; attempt++)
    await server.request('GET', '/', { as: ['alice', `a wrong password, the ${attempt}th`] })
  const slowed = logins(server, 'alice').filter(({ event }) => event === 'login-throttled')
  expect(slowed).toEqual([{ time, event: 'login-throttled', name: 'alice', why: 'too-many-failures', address }])
  for (let request = 0; request < 30; request++) await server.request('GET', '/')
  expect(auditOf(server).filter(({ event }) => event === 'rate-limited')).toEqual([
    { time, event: 'rate-limited', why: 'identity', name: 'catalog:admin', address },
  ])
})

it('a log that shows a secret fails the test that used it', async () => {
  const server = await startServer()
  const secret = 'a token that stands in a path'
  server.useSecret(secret)
  await server.request('GET', `/${encodeURIComponent(secret)}`)
  await expect(server[Symbol.asyncDispose]()).rejects.toThrow(/^standard error holds a secret/)
})

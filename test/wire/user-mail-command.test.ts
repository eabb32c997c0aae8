import { describe, expect, it } from 'vitest'
import { startServer } from '../harness.js'

describe('the address of a user', () => {
  it('can be nothing but one mailbox', async () => {
    await using server = await startServer()
    await server.addUser('alice', 'rw:/**')
    for (const address of [
      '',
      'alice',
      'a@b@c',
      'Alice <a@b.org>',
      'a@b.org,c@d.org',
      'a@b.org\nBcc: c@d.org',
      'a b@c.org',
      `${'x'.repeat(65)}@b.org`,
    ]) {
      const { code, stderr } = await server.cli(['user', 'mail', 'alice', address])
      expect([address, code, stderr]).toEqual([address, 2, expect.stringContaining('is no address') as string])
    }
    expect((await server.cli(['user', 'mail', 'nobody-knows', 'a@b.org'])).stderr).toContain('There is no user')
    const other = await server.cli(['user', 'mail', 'alice', 'a@b.org', '--directory', 'people'])
    expect(other.stderr).toContain('Only users of the catalog')
  })

  it('is set with the user, changed, taken away and shown; it changes no login', async () => {
    await using server = await startServer()
    const shown = async (): Promise<unknown> => {
      const users = JSON.parse((await server.cli(['user', 'list', '--json'])).stdout) as readonly { mail?: string }[]
      return users.map(({ mail }) => mail ?? null)
    }
    const add = ['user', 'add', 'alice', '--grant', 'rw:/**', '--mail', 'alice@example.org', '--password-stdin']
    expect((await server.cli(add, 'pw\n')).code).toBe(0)
    expect(await shown()).toEqual([null, 'alice@example.org'])
    const changed = await server.cli(['user', 'mail', 'alice', 'a.l@example.net'])
    expect(changed.stdout).toBe('The address of alice is a.l@example.net.\n')
    expect(await shown()).toEqual([null, 'a.l@example.net'])
    expect((await server.cli(['user', 'mail', 'alice', 'none'])).stdout).toBe('alice has no address.\n')
    expect(await shown()).toEqual([null, null])
    expect((await server.request('GET', '/', { as: ['alice', 'pw'] })).status).toBe(200)
  })
})

import { describe, expect, it } from 'vitest'
import { startServer } from '../harness.js'

describe('the Unix user of a user', () => {
  it('can be no name that would mean something else, and never root', async () => {
    await using server = await startServer()
    await server.addUser('alice', 'rw:/**')
    for (const name of ['root', '../bob', 'a b', '', 'a\nb', '{user}', '0']) {
      const { code, stderr } = await server.cli(['user', 'unix-user', 'alice', name])
      expect([name, code, stderr]).toEqual([name, 2, expect.stringContaining('can be no Unix user') as string])
    }
    expect((await server.cli(['user', 'unix-user', 'nobody-knows', 'bob'])).stderr).toContain('There is no user')
  })

  it('is set with the user, changed, taken away and shown, and noted in the audit log', async () => {
    await using server = await startServer()
    const shown = async (): Promise<unknown> => {
      const users = JSON.parse((await server.cli(['user', 'list', '--json'])).stdout) as readonly {
        unixUser?: string
      }[]
      return users.map(({ unixUser }) => unixUser ?? null)
    }
    const add = ['user', 'add', 'alice', '--grant', 'rw:/**', '--unix-user', 'bob', '--password-stdin']
    expect((await server.cli(add, 'pw\n')).code).toBe(0)
    expect(await shown()).toEqual([null, 'bob'])
    const changed = await server.cli(['user', 'unix-user', 'alice', 'carol'])
    expect(changed.stdout).toBe('alice acts as the Unix user carol, from the next login on.\n')
    expect(await shown()).toEqual([null, 'carol'])
    expect((await server.cli(['user', 'unix-user', 'alice', 'none'])).stdout).toContain('whom the configuration says')
    expect(await shown()).toEqual([null, null])
    // It is a name only where processes are not kept apart.
    expect((await server.request('GET', '/', { as: ['alice', 'pw'] })).status).toBe(200)
  })
})

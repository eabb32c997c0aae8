import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { Server } from '../harness.js'
import { startServer } from '../harness.js'
import { expectLitmusFindsNothing } from './litmus-run.js'
import { describeForeign } from './tools.js'

describeForeign('litmus', ['program: litmus'], () => {
  let server: Server
  let byWorkers: Server
  let folder: string
  let bob: readonly [string, string]
  let atHome: Server
  let carol: readonly [string, string]

  beforeAll(async () => {
    server = await startServer()
    byWorkers = await startServer({ args: ['--workers', '2'] })
    atHome = await startServer({ config: "identity: [{ catalog: { home: '/home/{user}', quota: 1G } }]" })
    carol = await atHome.addUser('carol', 'rw:/home/{user}/**')
    folder = await mkdtemp(join(tmpdir(), 'postern-litmus-'))
    bob = await byWorkers.addUser('bob', 'rw:/bob/**')
    expect((await byWorkers.request('MKCOL', '/bob/')).status).toBe(201)
  })

  afterAll(async () => {
    await server[Symbol.asyncDispose]()
    await byWorkers[Symbol.asyncDispose]()
    await atHome[Symbol.asyncDispose]()
    await rm(folder, { recursive: true, force: true })
  })

  it.each([
    ['the admin at /, one process', () => `${server.url}/`, () => ['admin', server.adminPassword] as const],
    ['a user with a grant on a folder, two workers', () => `${byWorkers.url}/bob/`, () => bob],
    ['a user with a home and a quota', () => `${atHome.url}/`, () => carol],
  ] as const)('finds nothing: %s', async (_, url, caller) => {
    await expectLitmusFindsNothing(url(), caller(), folder)
  })
})

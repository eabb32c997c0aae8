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
  let folder: string
  let bob: readonly [string, string]

  beforeAll(async () => {
    server = await startServer()
    folder = await mkdtemp(join(tmpdir(), 'postern-litmus-'))
    bob = await server.addUser('bob', 'rw:/bob/**')
    expect((await server.request('MKCOL', '/bob/')).status).toBe(201)
  })

  afterAll(async () => {
    await server[Symbol.asyncDispose]()
    await rm(folder, { recursive: true, force: true })
  })

  it.each([
    ['the admin at /', '/', () => ['admin', server.adminPassword] as const],
    ['a user with a grant on a folder', '/bob/', () => bob],
  ] as const)('finds nothing: %s', async (_, path, caller) => {
    await expectLitmusFindsNothing(server.url + path, caller(), folder)
  })
})

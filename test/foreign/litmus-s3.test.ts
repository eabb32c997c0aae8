import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, it } from 'vitest'
import { cephNeeds, freshBucket, startCeph, type Ceph } from '../ceph.js'
import type { Server } from '../harness.js'
import { startServer } from '../harness.js'
import { expectLitmusFindsNothing } from './litmus-run.js'
import { describeForeign } from './tools.js'

describeForeign('litmus over a bucket', ['program: litmus', ...cephNeeds], () => {
  let ceph: Ceph
  let server: Server
  let folder: string

  beforeAll(async () => {
    ceph = await startCeph()
    const bucket = await freshBucket(ceph)
    const mounts = [
      { path: '/', s3: ceph.url(bucket, 'all') },
      { path: '/inner', s3: ceph.url(bucket, 'inner') },
    ]
    server = await startServer({ mounts: true, config: JSON.stringify({ mounts }) })
    folder = await mkdtemp(join(tmpdir(), 'postern-litmus-'))
  })

  afterAll(async () => {
    await server[Symbol.asyncDispose]()
    await ceph.stop()
    await rm(folder, { recursive: true, force: true })
  })

  it.each([
    ['at the root', '/'],
    ['in a mount below', '/inner/'],
  ])('finds nothing: %s', async (_, path) => {
    await expectLitmusFindsNothing(server.url + path, ['admin', server.adminPassword], folder)
  })
})

import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, expect } from 'vitest'
import { openS3Service } from '../../src/store/s3/http-service.js'
import type { S3Service } from '../../src/store/s3/service.js'
import { parseS3Url } from '../../src/store/s3/settings.js'
import { openS3Store } from '../../src/store/s3.js'
import { cephNeeds, freshBucket, startCeph, type Ceph } from '../ceph.js'
import { storeContract, type Subject } from '../contract/store.js'
import { bucketMedium, s3Lacking } from '../contract/store/bucket.js'
import { startFaultProxy, unconditional, type FaultProxy } from '../s3-fault-proxy.js'
import { describeForeign } from './tools.js'

describeForeign('S3 store over a service without conditions', cephNeeds, () => {
  let ceph: Ceph | undefined
  let proxy: FaultProxy | undefined
  let bucket = ''

  beforeAll(async () => {
    ceph = await startCeph()
    bucket = await freshBucket(ceph)
    proxy = await startFaultProxy(ceph.endpoint)
    proxy.fault = unconditional
  })

  afterAll(async () => {
    await proxy?.stop()
    await ceph?.stop()
  })

  /** Every store below a prefix of its own. */
  async function subject(): Promise<Subject> {
    if (ceph === undefined || proxy === undefined) throw new Error('radosgw does not run')
    const settings = { ...parseS3Url(ceph.url(bucket, randomUUID())), endpoint: new URL(proxy.endpoint) }
    const open = (): Promise<S3Service> => openS3Service({ settings, selfTest: true })
    const others = await open()
    const { conditionalPut, conditionalCopy, conditionalComplete, conditionalRemove } = others.abilities
    const store = await openS3Store({ service: await open() })
    expect([conditionalPut, conditionalCopy, conditionalComplete, conditionalRemove]).toEqual(Array(4).fill(false))
    return { store, medium: bucketMedium(others), dispose: () => others.close() }
  }

  const ownDigests = 'the ETag of S3 is the MD5 of the bytes'
  storeContract('S3, where every condition is answered with 501', subject, { ...s3Lacking, ownDigests })
})

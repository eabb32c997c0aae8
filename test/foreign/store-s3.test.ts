import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll } from 'vitest'
import { openS3Service } from '../../src/store/s3/http-service.js'
import type { S3Service } from '../../src/store/s3/service.js'
import { parseS3Url } from '../../src/store/s3/settings.js'
import { openS3Store } from '../../src/store/s3.js'
import { cephNeeds, freshBucket, startCeph, type Ceph } from '../ceph.js'
import { storeContract, type Subject } from '../contract/store.js'
import { bucketMedium, s3Lacking } from '../contract/store/bucket.js'
import { describeForeign } from './tools.js'

describeForeign('S3 store over radosgw', cephNeeds, () => {
  let ceph: Ceph | undefined
  let bucket = ''

  beforeAll(async () => {
    ceph = await startCeph()
    bucket = await freshBucket(ceph)
  })

  afterAll(async () => {
    await ceph?.stop()
  })

  /** Every store below a prefix of its own. */
  async function subject(selfTest: boolean): Promise<Subject> {
    if (ceph === undefined) throw new Error('radosgw does not run')
    const settings = parseS3Url(ceph.url(bucket, randomUUID()))
    const open = (): Promise<S3Service> => openS3Service({ settings, selfTest })
    const others = await open()
    const store = await openS3Store({ service: await open() })
    return { store, medium: bucketMedium(others), dispose: () => others.close() }
  }

  const ownDigests = 'the ETag of S3 is the MD5 of the bytes'
  storeContract('S3, with the conditions that radosgw judges', () => subject(true), { ...s3Lacking, ownDigests })
  // Untested, nothing is taken for granted: neither that conditions are judged nor what an ETag is.
  storeContract('S3, with turns in place of conditions', () => subject(false), s3Lacking)
})

import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, expect } from 'vitest'
import { openS3Service } from '../../src/store/s3/http-service.js'
import type { S3Service } from '../../src/store/s3/service.js'
import { parseS3Url } from '../../src/store/s3/settings.js'
import { openS3Store } from '../../src/store/s3.js'
import { cephNeeds, freshBucket, startCeph, type Ceph } from '../ceph.js'
import { storeContract, type Lacking, type Medium, type Subject } from '../contract/store.js'
import { describeForeign } from './tools.js'

const lacking: Lacking = {
  space: 'S3 tells neither what is used nor what is left',
  digest: 'S3 keeps what is noted of an object only with a new copy of it',
  sparse: 'objects are never sparse',
  links: 'a bucket holds objects only',
  ownTimes: 'S3 gives every object the time at which it was stored',
  executable: 'objects have no executable flag',
  ownEtags: 'the ETag of S3 is the MD5 of the bytes',
  notedFiles: 'a listing of S3 tells no metadata, and to ask would be a request for each object',
}

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
    return { store, medium: mediumOf(others), dispose: () => others.close() }
  }

  const ownDigests = 'the ETag of S3 is the MD5 of the bytes'
  storeContract('S3, with the conditions that radosgw judges', () => subject(true), { ...lacking, ownDigests })
  // Untested, nothing is taken for granted: neither that conditions are judged nor what an ETag is.
  storeContract('S3, with turns in place of conditions', () => subject(false), lacking)
})

function mediumOf(service: S3Service): Medium {
  async function keys(prefix = ''): Promise<readonly string[]> {
    const found: string[] = []
    let token: string | undefined
    do {
      const page = await service.list({ prefix, ...(token === undefined ? {} : { token }) })
      found.push(...page.objects.map(({ key }) => key))
      token = page.token
    } while (token !== undefined)
    return found
  }
  const none = async (): Promise<never> => Promise.reject(new Error('S3 has no such thing'))
  return {
    reserved: ['.postern-write-0123456789abcdef0', '.POSTERN-x', '.postern-', '.po\u017ftern-y'],
    isOdd: () => false,
    everything: async () => (await keys()).map((key) => `/${key.normalize('NFC').replace(/\/$/, '')}`),
    sparse: none,
    symlink: none,
    fifo: none,
    put: async (path, text) => {
      await service.put(path.slice(1), [Buffer.from(text)])
    },
    read: async (path) => {
      const chunks: Uint8Array[] = []
      for await (const chunk of (await service.get(path.slice(1))).bytes) chunks.push(chunk)
      return Buffer.concat(chunks).toString()
    },
    drop: async (path) => {
      await service.remove(path.slice(1))
      expect(await service.removeMany(await keys(path.slice(1) + '/'))).toEqual([])
    },
  }
}

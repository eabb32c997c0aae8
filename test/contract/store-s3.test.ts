import type { S3Abilities } from '../../src/store/s3/service.js'
import { openS3Store } from '../../src/store/s3.js'
import { openMemoryS3 } from '../memory-s3.js'
import { bucketMedium, s3Lacking } from './store/bucket.js'
import type { Lacking } from './store/subject.js'
import { storeContract } from './store.js'

const services: readonly (readonly [string, Partial<S3Abilities>, Lacking])[] = [
  ['judges all conditions', {}, { ownDigests: 'the ETag of S3 is the MD5 of the bytes' }],
  [
    'judges none, and whose ETags are opaque',
    {
      conditionalPut: false,
      conditionalComplete: false,
      conditionalCopy: false,
      conditionalRemove: false,
      etagIsMd5: false,
    },
    {},
  ],
]

for (const [name, abilities, lacking] of services) {
  storeContract(
    `S3 that ${name}`,
    async () => {
      const service = openMemoryS3(abilities)
      return {
        store: await openS3Store({ service }),
        medium: bucketMedium(service.again()),
        dispose: async () => undefined,
      }
    },
    { ...s3Lacking, ...lacking },
  )
}

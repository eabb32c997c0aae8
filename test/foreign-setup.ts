import { startCeph } from './ceph.js'
import { removeProgram } from './privsep-server.js'

/**
 * Where all foreign tests run (`npm test`), one S3 service serves them all: it takes twelve seconds to start. Where its
 * programs are missing the tests themselves say so.
 */
export default async function setup(): Promise<() => Promise<void>> {
  const stopCeph = process.env.POSTERN_ALL_TESTS === '1' ? await shareCeph() : undefined
  return async () => {
    removeProgram()
    await stopCeph?.()
  }
}

async function shareCeph(): Promise<(() => Promise<void>) | undefined> {
  const ceph = await startCeph().catch(() => undefined)
  if (ceph === undefined) return undefined
  process.env.S3_ENDPOINT = ceph.endpoint
  process.env.S3_ACCESS_KEY_ID = ceph.accessKeyId
  process.env.S3_SECRET_ACCESS_KEY = ceph.secretAccessKey
  return () => ceph.stop()
}
